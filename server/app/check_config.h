#pragma once

#include "server/app/config.h"

namespace keyferry::server {

// Everything that Serve would need, opened and closed again, with the directory asked once. Each
// line says what is in order or how to mend it; false when something is not.
bool CheckConfig(const ServerConfig& config);

}  // namespace keyferry::server
