#pragma once

#include <string>

#include "protocol/result.h"
#include "server/app/config.h"

namespace keyferry::server {

// keyferry-server alarm agree: one of the two words that end the alarm, without a running server,
// where only one person may give theirs on the page. What came of it, in words. kNotFound: none
// stands; kPermissionDenied: the console's word is given already.
Result<std::string> AgreeOnConsole(const ServerConfig& config);

}  // namespace keyferry::server
