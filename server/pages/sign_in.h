#pragma once

#include <string>

#include "server/core/session.h"
#include "server/http/message.h"

namespace keyferry::server {

// After the password, or what stands for it: the session's cookie, and on to the second factor
// where one is owed, else to `next` (SafeNext).
Response Welcome(Request& request, SignedIn& signed_in, const std::string& next);

}  // namespace keyferry::server
