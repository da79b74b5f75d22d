#pragma once

#include "protocol/result.h"
#include "server/http/message.h"

namespace keyferry::server {

// The one place where an ErrorCode becomes HTTP.
int HttpStatus(ErrorCode code);
// Stable name of a code, for programs ("policy_refused").
const char* CodeName(ErrorCode code);

// application/problem+json (RFC 9457): type, title, status, detail, code, id. Never the error's
// detail, which is for the log.
Response Problem(const Request& request, const Error& error);
Response Problem(const Request& request, int status, std::string_view code, const Error& error);

// True when the caller wants problem+json and not a page: everything under /api and /workstation.
bool IsApi(const Request& request);

}  // namespace keyferry::server
