#pragma once

#include <string>
#include <string_view>

#include "protocol/result.h"
#include "server/app/config.h"

namespace keyferry::server {

// keyferry-server factor reset: takes a person's second factor away without a running server, for
// the administrator whom no other one can help. What was done, in words. kNotFound: nobody with
// that login (any case) has one.
Result<std::string> ResetFactorOf(const ServerConfig& config, std::string_view login);

}  // namespace keyferry::server
