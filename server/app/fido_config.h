#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "server/app/config.h"
#include "server/core/services.h"

namespace keyferry::server {

// How FIDO2 keys are asked for by this configuration; nothing where they are not: switched off,
// with no second factor at all, or on a server that is known by addresses alone.
std::optional<FidoConfig> FidoOf(const ServerConfig& config);

// What is wrong with its keys sign_in.relying_party and sign_in.origins: the key, and words. A
// browser lets a FIDO2 key be used at its relying party alone: a host of that name, or below it.
std::vector<std::pair<const char*, std::string>> FidoProblems(const ServerConfig& config);

}  // namespace keyferry::server
