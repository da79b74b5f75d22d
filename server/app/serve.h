#pragma once

#include "protocol/result.h"
#include "server/app/config.h"

namespace keyferry::server {

// Runs the server until SIGTERM or SIGINT (already blocked in every thread). Prints one line
// "ready …" on standard output when both listeners are open, and tells systemd.
Result<void> Serve(const ServerConfig& config);

// Everything that Serve would need, opened and closed again, with the directory asked once. Each
// line says what is in order or how to mend it; false when something is not.
bool CheckConfig(const ServerConfig& config);

}  // namespace keyferry::server
