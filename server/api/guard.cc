#include "server/api/guard.h"

#include "server/api/problem.h"
#include "server/core/fido_keys.h"
#include "server/http/target.h"

namespace keyferry::server {
namespace {

bool IsUnsafe(Method method) { return method == Method::kPost || method == Method::kDelete; }

// The media type alone, lower case.
std::string MediaType(std::string_view header) {
  std::string type(header.substr(0, header.find(';')));
  while (!type.empty() && type.back() == ' ') type.pop_back();
  for (char& c : type) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return type;
}

// A request at the help desk sets nothing until its last step but one: the others go on with
// whatever proof there is.
bool AsksForProof(const Route& route) {
  constexpr std::string_view kRequests = "/help-desk/requests", kAct = "/act";
  const std::string_view pattern = route.pattern;
  if (pattern.rfind(kRequests, 0) == 0 && !pattern.ends_with(kAct)) return false;
  return route.WantsProof();
}

}  // namespace

bool ConstantTimeEquals(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  unsigned difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference |=
        static_cast<unsigned char>(a[i]) ^ static_cast<unsigned>(static_cast<unsigned char>(b[i]));
  }
  return difference == 0;
}

bool IsSameOrigin(const Request& request) {
  const std::string_view site = request.Header("sec-fetch-site");
  if (!site.empty() && site != "same-origin" && !(site == "none" && !IsUnsafe(request.method))) {
    return false;
  }
  const std::string_view origin = request.Header("origin");
  if (origin.empty()) return true;  // not a browser: those send Origin with every change of state
  return origin == "https://" + std::string(request.Header("host"));
}

std::string_view BearerToken(const Request& request) {
  const std::string_view header = request.Header("authorization");
  constexpr std::string_view kScheme = "bearer ";
  if (header.size() < kScheme.size()) return {};
  for (std::size_t i = 0; i < kScheme.size(); ++i) {
    const char c = header[i];
    if ((c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c) != kScheme[i]) return {};
  }
  return header.substr(kScheme.size());
}

std::string SafeNext(std::string_view next) {
  const auto target = ParseTarget(next);
  if (!target || next.find('\\') != std::string_view::npos) return "/";
  if (!target->path.empty() && (target->path[0] == "api" || target->path[0] == "sign-in" ||
                                target->path[0] == "sign-out" || target->path[0] == "events")) {
    return "/";
  }
  return std::string(next);
}

Response Guard::Refuse(const Request& request, int status, ErrorCode code,
                       std::string message) const {
  return error_page_(request, status, Error{code, std::move(message), {}, 0});
}

std::optional<Response> Guard::Check(Request& request, const Route& route) const {
  const bool unsafe = IsUnsafe(route.method);
  if ((unsafe || IsApi(request)) && !IsSameOrigin(request)) {
    return Refuse(request, 403, ErrorCode::kPermissionDenied,
                  "This request came from another site and was refused.");
  }
  switch (route.needs.access) {
    case Access::kPublic:
      return CheckBody(request, route);
    case Access::kPerson:
      return CheckPerson(request, route);
    case Access::kWorkstation: {
      if (!request.certificate) {
        return Refuse(request, 403, ErrorCode::kPermissionDenied,
                      "A workstation's certificate is needed here.");
      }
      const auto workstation = services_.workstations.Authenticate(*request.certificate);
      if (!workstation && workstation.error().code == ErrorCode::kPermissionDenied) {
        return Problem(request, 403, "workstation_revoked", workstation.error());
      }
      if (!workstation) {
        services_.report(request, workstation.error());
        return Problem(request, workstation.error());
      }
      request.workstation = *workstation;
      return CheckBody(request, route);
    }
    case Access::kUndeclared:
      break;
  }
  return Refuse(request, 404, ErrorCode::kNotFound, "There is nothing at this address.");
}

std::optional<Response> Guard::FindToken(Request& request, const Route& route) const {
  if (!request.Header("cookie").empty()) {
    return ProblemOf(request, "mixed_credentials",
                     "Send a cookie or a token, not both: it would not be clear who asks.");
  }
  const std::string_view secret = BearerToken(request);
  const std::string what = std::string(Name(route.method)) + " " + route.pattern;
  const auto verdict = services_.tokens.Judge(secret, route.scope(), what, request.address);
  if (!verdict) {
    services_.report(request, verdict.error());
    return Problem(request, verdict.error());
  }
  switch (verdict->kind) {
    case TokenVerdict::kAllowed:
      break;
    case TokenVerdict::kUnknown:
      return ProblemOf(request, "token_unknown", "There is no such token.");
    case TokenVerdict::kExpired:
      return ProblemOf(request, "token_expired",
                       "This token's life is over; let an administrator make another one.");
    case TokenVerdict::kRevoked:
      return ProblemOf(request, "token_revoked", "This token was revoked.");
    case TokenVerdict::kOwnerGone:
      return ProblemOf(request, "token_owner_gone",
                       "Who made this token may not use this server any more.");
    case TokenVerdict::kMissingScope:
      return MissingScope(request, route.scope());
    case TokenVerdict::kRateLimited: {
      Response response =
          ProblemOf(request, "rate_limited", "Too many requests with this token; slow down.");
      for (auto& [name, value] : response.headers) {
        if (name == "Retry-After") value = std::to_string(verdict->retry_seconds);
      }
      return response;
    }
  }
  if (*route.scope() == '\0') {
    return ProblemOf(request, "session_required",
                     "Tokens may not do this; sign in as a person instead.");
  }
  request.session.emplace();
  request.session->actor = verdict->actor;
  request.session_token = std::string(secret);
  request.token = verdict->token.id;
  return std::nullopt;
}

std::optional<Response> Guard::FindSession(Request& request, const Route& route) const {
  request.session_token = std::string(request.Cookie(kSessionCookie));
  Result<Session> session =
      request.session_token.empty() ? Fail(ErrorCode::kUnauthenticated, "Please sign in first.")
      : route.incomplete ? services_.sessions.FindIncomplete(request.session_token, request.address)
                         : services_.sessions.Find(request.session_token, request.address);
  if (!session) {
    const Error& error = session.error();
    if (error.code != ErrorCode::kUnauthenticated) {
      services_.report(request, error);
      return error_page_(request, HttpStatus(error.code), error);
    }
    if (IsApi(request) || request.Header("sec-fetch-mode") == "cors" ||
        request.Header("accept") == "text/event-stream") {
      return error_page_(request, 401, error);
    }
    // A lost session brings the person back to where they were; a lost form is not sent again.
    Response response = Response::SeeOther(route.method == Method::kGet && !request.path.empty()
                                               ? "/sign-in?next=" + request.PathText()
                                               : "/sign-in");
    if (!request.session_token.empty()) response.With("Set-Cookie", EndedSessionCookie());
    return response;
  }
  request.session = std::move(*session);
  return std::nullopt;
}

std::optional<Response> Guard::CheckPerson(Request& request, const Route& route) const {
  const bool by_token = IsApi(request) && !request.Header("authorization").empty();
  if (auto refused = by_token ? FindToken(request, route) : FindSession(request, route)) {
    return refused;
  }
  if (!route.needs.right || !May(request.session->actor.roles, *route.needs.right)) {
    return Refuse(request, 403, ErrorCode::kPermissionDenied,
                  "You are not allowed to do this; ask an administrator.");
  }
  if (auto refused = CheckBody(request, route)) return refused;
  if (IsUnsafe(route.method) && !request.token) {
    const std::string_view given = !request.Header("x-keyferry-csrf").empty()
                                       ? request.Header("x-keyferry-csrf")
                                   : request.form ? request.form->Text("csrf")
                                                  : std::string_view();
    if (request.session->csrf.empty() || !ConstantTimeEquals(given, request.session->csrf)) {
      return Refuse(request, 403, ErrorCode::kPermissionDenied,
                    "This form is no longer valid. Please reload the page and try again.");
    }
  }
  return CheckProof(request, route);
}

std::optional<Response> Guard::CheckProof(Request& request, const Route& route) const {
  if (!AsksForProof(route) || request.token) return std::nullopt;
  SecureBytes code = request.form ? request.form->TakeSecret(kStepUpField) : SecureBytes();
  const std::string_view answer =
      request.form ? request.form->Text(kStepUpKeyField) : std::string_view();
  if (!services_.factors->NeedsStepUp(*request.session)) return std::nullopt;
  if (IsApi(request)) {
    return ProblemOf(request, "step_up_required",
                     "Prove your second factor anew first: POST /api/v1/session/step-up.");
  }
  const bool by_key = !answer.empty() && services_.fido != nullptr;
  if (code.empty() && !by_key) return step_up_page_(request, route, {}, 403);
  auto proven = by_key ? services_.fido->Prove(request.session_token, *request.session, answer)
                       : services_.factors->Prove(request.session_token, *request.session, code);
  if (!proven) {
    services_.report(request, proven.error());
    return step_up_page_(request, route, proven.error().message, HttpStatus(proven.error().code));
  }
  request.session_token = std::move(proven->token);
  request.session = std::move(proven->session);
  request.renewed_cookie = SessionCookie(request.session_token);
  return std::nullopt;
}

std::optional<Response> Guard::CheckBody(Request& request, const Route& route) const {
  const std::string type = MediaType(request.Header("content-type"));
  const bool is_form = type == "application/x-www-form-urlencoded";
  const bool is_json = type == "application/json";
  switch (route.body) {
    case Body::kNone:
      // An empty JSON object says as little as no content, and some clients cannot send less.
      if (request.body.empty() || (is_json && request.body.view() == "{}")) return std::nullopt;
      return Refuse(request, 400, ErrorCode::kInvalidArgument, "This address takes no content.");
    case Body::kForm:
      if (!is_form) {
        return Refuse(request, 415, ErrorCode::kInvalidArgument, "This address takes a form.");
      }
      break;
    case Body::kJson:
      if (!is_json) {
        return Refuse(request, 415, ErrorCode::kInvalidArgument, "This address takes JSON.");
      }
      break;
    case Body::kFormOrJson:
      if (!is_form && !is_json) {
        return Refuse(request, 415, ErrorCode::kInvalidArgument,
                      "This address takes JSON or a form.");
      }
      break;
  }
  if (!is_form) return std::nullopt;
  std::vector<FormField> fields = route.form;
  if (AsksForProof(route) && !IsApi(request)) {
    fields.push_back({kStepUpField, 64, true});
    fields.push_back({kStepUpKeyField, kFidoAnswerBytes});
  }
  auto form = ParseForm(request.body.span(), fields);
  request.body.Clear();
  if (!form) return error_page_(request, 400, form.error());
  request.form = std::move(*form);
  return std::nullopt;
}

}  // namespace keyferry::server
