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

std::span<const ProblemType> ProblemTypes() {
  static constexpr ProblemType kTypes[] = {
      {"invalid_request", 400, "The request is wrong; sending it again will not help."},
      {"mixed_credentials", 400, "A cookie and a token came together; send one of them."},
      {"idempotency_key_missing", 400,
       "The header Idempotency-Key is missing or not 8 to 64 printable characters."},
      {"unauthenticated", 401, "No session and no token, or a wrong name or password."},
      {"token_unknown", 401, "There is no such token."},
      {"token_expired", 401, "The token's life is over; let an administrator make another one."},
      {"token_revoked", 401, "The token was revoked."},
      {"permission_denied", 403, "The role does not allow it, or the request came from elsewhere."},
      {"missing_scope", 403, "The token has not the scope that `scope` names."},
      {"session_required", 403, "Tokens may never do this; a person has to sign in."},
      {"step_up_required", 403,
       "The last proof of the second factor is too old: POST /api/v1/session/step-up first."},
      {"wrong_code", 403,
       "The code or the answer of the second factor is wrong, used or too late."},
      {"token_owner_gone", 403, "Who made the token has no role any more, so it has none either."},
      {"workstation_revoked", 403, "The workstation's certificate is not, or no longer, good."},
      {"not_found", 404, "There is nothing at this address."},
      {"method_not_allowed", 405, "The address does not take that method; see Allow."},
      {"conflict", 409, "The state of things forbids it now; `detail` says why."},
      {"approval_required", 409,
       "A second person has to approve it first: see /api/v1/approvals. Then send it again."},
      {"key_refused", 409, "The key refused it."},
      {"request_running", 409,
       "The same request, with this Idempotency-Key, is being carried out."},
      {"content_too_large", 413, "The content is larger than 64 KiB."},
      {"unsupported_media_type", 415, "The address takes content of another type."},
      {"idempotency_mismatch", 422, "This Idempotency-Key was used for another request."},
      {"policy_refused", 422, "The directory's password policy said no; `detail` says which rule."},
      {"protocol", 422, "An object of a key or a workstation is damaged."},
      {"workstation_too_old", 426, "The workstation's software is too old for this server."},
      {"rate_limited", 429, "Too many requests; Retry-After says when to come back."},
      {"internal", 500, "Something went wrong inside; the server's log says more under `id`."},
      {"unsupported", 501, "The directory or this build does not offer it."},
      {"unavailable", 503, "A part is down; nothing was changed. Retry-After says when to try."},
      {"deadline", 504, "No answer came in time; nothing was changed."},
      {"outcome_unknown", 504,
       "It may have happened and is being checked; do not repeat it under another key."},
  };
  return kTypes;
}

const ProblemType* FindProblemType(std::string_view name) {
  for (const ProblemType& type : ProblemTypes()) {
    if (name == type.name) return &type;
  }
  return nullptr;
}

namespace {

Response Make(const Request& request, int status, std::string_view code, std::string_view detail,
              std::string_view scope) {
  boost::json::object body;
  body["type"] = "/api/v1/problems/" + std::string(code);
  body["title"] = ReasonPhrase(status);
  body["status"] = status;
  body["detail"] = boost::json::string_view(detail.data(), detail.size());
  body["code"] = boost::json::string_view(code.data(), code.size());
  body["id"] = request.id;
  if (!scope.empty()) body["scope"] = boost::json::string_view(scope.data(), scope.size());
  Response response = Response::Json(boost::json::serialize(body), status);
  if (status == 401) response.With("WWW-Authenticate", "Bearer");
  if (status == 429) response.With("Retry-After", "60");
  if (status == 503) response.With("Retry-After", "5");
  return response;
}

}  // namespace

Response Problem(const Request& request, int status, std::string_view code, const Error& error) {
  return Make(request, status, code, error.message, {});
}

Response Problem(const Request& request, const Error& error) {
  return Problem(request, HttpStatus(error.code), CodeName(error.code), error);
}

Response ProblemOf(const Request& request, std::string_view name, std::string message) {
  const ProblemType* const type = FindProblemType(name);
  return Make(request, type == nullptr ? 500 : type->status, type == nullptr ? "internal" : name,
              message, {});
}

Response MissingScope(const Request& request, std::string_view scope) {
  return Make(request, 403, "missing_scope",
              "This token has not the scope " + std::string(scope) + ".", scope);
}

Response ProblemOfStatus(const Request& request, int status, const Error& error) {
  const char* code = CodeName(error.code);
  // What the status alone says; several types share the others.
  for (const int plain : {405, 413, 415}) {
    if (status != plain) continue;
    for (const ProblemType& type : ProblemTypes()) {
      if (type.status == status) code = type.name;
    }
  }
  return Problem(request, status, code, error);
}

bool IsApi(const Request& request) {
  return !request.path.empty() && (request.path[0] == "api" || request.path[0] == "workstation");
}

}  // namespace keyferry::server
