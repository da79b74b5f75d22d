#pragma once

#include <optional>

#include "server/app/config.h"
#include "server/core/services.h"

namespace keyferry::server {

// How FIDO2 keys are asked for by this configuration; nothing where they are not: switched off,
// with no second factor at all, or on a server that is known by addresses alone.
std::optional<FidoConfig> FidoOf(const ServerConfig& config);

class ConfigReader;

// Reads sign_in.fido_keys and what belongs to it. A browser lets a FIDO2 key be used at its relying
// party alone: a host of that name, or below it.
void ReadFido(ConfigReader& reader, ServerConfig& config);

}  // namespace keyferry::server
