#pragma once

#include "server/app/config.h"

namespace keyferry::server {

class ConfigReader;

// Reads single_sign_on.service, and refuses what cannot work: no principal of HTTP, one of a host
// that is none of server.names, one without the other key, a directory that has no Kerberos.
void ReadSingleSignOn(ConfigReader& reader, ServerConfig& config);

}  // namespace keyferry::server
