// Signing in and out, and the second factor of a session.
#include "server/api/handlers.h"
#include "server/core/fido_keys.h"

namespace keyferry::server {
namespace {

namespace json = boost::json;

const char* StageName(SessionStage stage) {
  switch (stage) {
    case SessionStage::kComplete:
      return "done";
    case SessionStage::kCodeOwed:
      return "code";
    case SessionStage::kSetUpOwed:
      return "set_up";
  }
  return "code";
}

json::object WhoAmI(const Session& session) {
  json::array roles, rights;
  for (const Role role : kAllRoles) {
    if (session.actor.roles.Has(role)) roles.emplace_back(Name(role));
  }
  for (const RightInfo& info : AllRights()) {
    if (May(session.actor.roles, info.right)) rights.emplace_back(info.name);
  }
  return {{"login", session.actor.login},
          {"display_name", session.actor.display_name},
          {"roles", std::move(roles)},
          {"rights", std::move(rights)},
          {"csrf", session.csrf},
          {"expires", session.expires * 1000},
          {"idle_until", session.idle_until * 1000},
          {"second_factor", StageName(session.stage)}};
}

Response Signed(const SignedIn& signed_in) {
  return std::move(
      Ok(WhoAmI(signed_in.session), 201).With("Set-Cookie", SessionCookie(signed_in.token)));
}

Response SignInByForm(Services& services, Request& request) {
  const SecureBytes password = request.form->TakeSecret("password");
  auto signed_in = services.sessions.SignIn(request.form->Text("name"), password, request.address,
                                            request.Header("user-agent"));
  return signed_in ? Signed(*signed_in) : Answer(services, request, signed_in.error());
}

// A code of the second factor or the answer of a FIDO2 key, for a session that owes it or one whose
// proof is too old.
Response Prove(Services& services, Request& request) {
  const SecureBytes code = request.form->TakeSecret("code");
  const std::string_view answer = request.form->Text("assertion");
  if (code.empty() == answer.empty()) {
    return Problem(
        request,
        Error{ErrorCode::kInvalidArgument, "Send a code or an assertion, one of them.", {}, 0});
  }
  if (!answer.empty() && services.fido == nullptr) {
    return Problem(request,
                   Error{ErrorCode::kConflict, "FIDO2 keys are not used on this server.", {}, 0});
  }
  auto proven = answer.empty()
                    ? services.factors->Prove(request.session_token, *request.session, code)
                    : services.fido->Prove(request.session_token, *request.session, answer);
  if (proven) return Signed(*proven);
  // The session stands: 401 would tell a program to sign in anew.
  if (proven.error().code == ErrorCode::kUnauthenticated) {
    services.report(request, proven.error());
    return ProblemOf(request, "wrong_code", proven.error().message);
  }
  return Answer(services, request, proven.error());
}

Route Proving(const char* pattern, Services& services) {
  Route route = Writing(pattern, Right::kSession, Body::kForm,
                        [&services](Request& request) { return Prove(services, request); });
  route.form = {{"code", 64, true}, {"assertion", kFidoAnswerBytes}};
  return route;
}

}  // namespace

void AddSessionRoutes(Router& router, Services& services) {
  Route sign_in = Writing("/session", Access::kPublic, Body::kForm, [&services](Request& request) {
    return SignInByForm(services, request);
  });
  sign_in.form = {{"name", 256, false, true}, {"password", 1024, true, true}};
  router.Add(std::move(sign_in));
  router.Add(Reading("/session", Right::kSession,
                     [](Request& request) { return Ok(WhoAmI(*request.session)); }));
  Route sign_out = Reading("/session", Right::kSession, [&services](Request& request) {
    services.sessions.SignOut(request.session_token);
    return std::move(Response::NoContent()
                         .With("Set-Cookie", EndedSessionCookie())
                         .With("Clear-Site-Data", "\"cache\", \"storage\""));
  });
  sign_out.method = Method::kDelete;
  router.Add(std::move(sign_out));
  Route code = Proving("/session/code", services);
  code.incomplete = true;
  router.Add(std::move(code));
  router.Add(Proving("/session/step-up", services));
}

}  // namespace keyferry::server
