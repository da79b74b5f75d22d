#pragma once

#include <chrono>
#include <string>

#include "protocol/result.h"

namespace keyferry::daemon {

// One JSON request to the daemon's socket and its answer (docs/local-ipc.md section 1), at most 64
// KiB. kUnavailable: no daemon there; kDeadline: it did not answer within `timeout`.
Result<std::string> AskDaemon(const std::string& socket_path, const std::string& request,
                              std::chrono::milliseconds timeout);

}  // namespace keyferry::daemon
