#pragma once

#include <span>
#include <string_view>

#include "protocol/result.h"
#include "server/http/message.h"

namespace keyferry::server {

// What can go wrong, for programs. `name` is stable: it ends the problem's `type` and is its
// `code`. docs/api.md lists them all; a test compares.
struct ProblemType {
  const char* name;
  int status;
  const char* meaning;
};
std::span<const ProblemType> ProblemTypes();
const ProblemType* FindProblemType(std::string_view name);  // null = there is none

// The one place where an ErrorCode becomes HTTP.
int HttpStatus(ErrorCode code);
// Stable name of a code, for programs ("policy_refused").
const char* CodeName(ErrorCode code);

// application/problem+json (RFC 9457): type, title, status, detail, code, id. Never the error's
// detail, which is for the log.
Response Problem(const Request& request, const Error& error);
Response Problem(const Request& request, int status, std::string_view code, const Error& error);
// … of a type with that name.
Response ProblemOf(const Request& request, std::string_view name, std::string message);
// The same with the scope that a token lacks.
Response MissingScope(const Request& request, std::string_view scope);
// … for an error that no handler answered: what the status says goes before the code.
Response ProblemOfStatus(const Request& request, int status, const Error& error);

// True when the caller wants problem+json and not a page: everything under /api and /workstation.
bool IsApi(const Request& request);

}  // namespace keyferry::server
