#pragma once

#include <string>

#include "protocol/result.h"

namespace keyferry::sim {

// Sends one command to a running simulator's control socket and returns its answer, one line of
// JSON. kUnavailable when none runs there.
Result<std::string> SendControl(const std::string& control_path, const std::string& command);

}  // namespace keyferry::sim
