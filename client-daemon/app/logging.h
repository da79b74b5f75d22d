#pragma once

#include <string>

#include "protocol/result.h"

namespace keyferry::daemon {

// Sends Log() to `file` (appended, 0600) or, when empty, to standard error: one line an event,
// "2024-06-07T12:34:56.789Z info text". `level` as in the configuration.
Result<void> StartLogging(const std::string& level, const std::string& file);

}  // namespace keyferry::daemon
