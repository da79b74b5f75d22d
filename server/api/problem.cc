#include "server/api/problem.h"

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

namespace keyferry::server {

int HttpStatus(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return 400;
    case ErrorCode::kNotFound:
      return 404;
    case ErrorCode::kConflict:
    case ErrorCode::kKeyRefused:
      return 409;
    case ErrorCode::kUnauthenticated:
      return 401;
    case ErrorCode::kPermissionDenied:
      return 403;
    case ErrorCode::kPolicyRefused:
    case ErrorCode::kProtocol:
      return 422;
    case ErrorCode::kUnavailable:
      return 503;
    case ErrorCode::kDeadline:
    case ErrorCode::kOutcomeUnknown:
      return 504;
    case ErrorCode::kRateLimited:
      return 429;
    case ErrorCode::kUnsupported:
      return 501;
    case ErrorCode::kIo:
    case ErrorCode::kInternal:
      return 500;
  }
  return 500;
}

const char* CodeName(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return "invalid_request";
    case ErrorCode::kNotFound:
      return "not_found";
    case ErrorCode::kConflict:
      return "conflict";
    case ErrorCode::kUnauthenticated:
      return "unauthenticated";
    case ErrorCode::kPermissionDenied:
      return "permission_denied";
    case ErrorCode::kPolicyRefused:
      return "policy_refused";
    case ErrorCode::kUnavailable:
      return "unavailable";
    case ErrorCode::kDeadline:
      return "deadline";
    case ErrorCode::kOutcomeUnknown:
      return "outcome_unknown";
    case ErrorCode::kRateLimited:
      return "rate_limited";
    case ErrorCode::kKeyRefused:
      return "key_refused";
    case ErrorCode::kProtocol:
      return "protocol";
    case ErrorCode::kUnsupported:
      return "unsupported";
    case ErrorCode::kIo:
    case ErrorCode::kInternal:
      return "internal";
  }
  return "internal";
}

Response Problem(const Request& request, int status, std::string_view code, const Error& error) {
  boost::json::object body;
  body["type"] = "about:blank";
  body["title"] = ReasonPhrase(status);
  body["status"] = status;
  body["detail"] = error.message;
  body["code"] = boost::json::string_view(code.data(), code.size());
  body["id"] = request.id;
  Response response = Response::Json(boost::json::serialize(body), status);
  if (status == 429) response.With("Retry-After", "60");
  if (status == 503) response.With("Retry-After", "5");
  return response;
}

Response Problem(const Request& request, const Error& error) {
  return Problem(request, HttpStatus(error.code), CodeName(error.code), error);
}

bool IsApi(const Request& request) {
  return !request.path.empty() && (request.path[0] == "api" || request.path[0] == "workstation");
}

}  // namespace keyferry::server
