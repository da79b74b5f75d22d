#pragma once

#include "protocol/result.h"
#include "server/app/config.h"

namespace keyferry::server {

// Runs the server until SIGTERM or SIGINT (already blocked in every thread). Prints one line
// "ready …" on standard output when both listeners are open, and tells systemd.
Result<void> Serve(const ServerConfig& config);

}  // namespace keyferry::server
