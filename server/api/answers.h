#pragma once

#include "server/api/problem.h"
#include "server/api/services.h"
#include "server/core/four_eyes.h"

// What every file of routes answers when a service refuses.
namespace keyferry::server {

// Reports the error (its detail is for the log) and answers it as problem+json.
inline Response Answer(Services& services, const Request& request, const Error& error) {
  services.report(request, error);
  return Problem(request, error);
}

// The same of what may need a second person, or be too much of one: types of their own.
inline Response Refusal(Services& services, const Request& request, const Error& error) {
  if (!ApprovalNeeded(error)) return Answer(services, request, error);
  services.report(request, error);
  return ProblemOf(request, "approval_required", error.message);
}

inline Response NoSuchThing(const Request& request) {
  return Problem(request, Error{ErrorCode::kNotFound, "There is nothing at this address.", {}, 0});
}

inline Response Done(Services& services, const Request& request, const Result<void>& done) {
  return done ? Response::NoContent() : Answer(services, request, done.error());
}

}  // namespace keyferry::server
