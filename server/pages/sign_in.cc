#include "server/pages/sign_in.h"

#include <utility>

#include "server/api/guard.h"
#include "server/api/problem.h"
#include "server/http/target.h"
#include "server/pages/frame.h"

namespace keyferry::server {
namespace {

Response ShowForm(const PageContext& context, const Request& request, std::string_view next,
                  std::string_view given, std::string_view problem, int status) {
  Data data = Frame(context, request, context.catalog.Text("sign_in.title"), "");
  Put(data, "next", next);
  Put(data, "given", given);
  PutMaybe(data, "problem", problem);
  data["tickets"] = Data(false);
  if (context.services.sessions.TakesTickets()) {
    Data tickets;
    Put(tickets, "next", QueryText(next));
    data["tickets"] = std::move(tickets);
  }
  return Show(context, request, "sign_in", data, status);
}

Response SignIn(const PageContext& context, Request& request) {
  const std::string next = SafeNext(request.form->Text("next"));
  const std::string_view name = request.form->Text("name");
  const SecureBytes password = request.form->TakeSecret("password");
  auto signed_in = context.services.sessions.SignIn(name, password, request.address,
                                                    request.Header("user-agent"));
  if (!signed_in) {
    const Error& error = signed_in.error();
    context.services.report(request, error);
    return ShowForm(context, request, next, name, context.catalog.Say(error.message),
                    HttpStatus(error.code));
  }
  return Welcome(request, *signed_in, next);
}

}  // namespace

Response Welcome(Request& request, SignedIn& signed_in, const std::string& next) {
  request.session = std::move(signed_in.session);  // for the access log
  std::string target = PlaceOf(*request.session, next);
  if (request.session->stage != SessionStage::kComplete) {
    target =
        request.session->stage == SessionStage::kCodeOwed ? "/sign-in/code" : "/sign-in/set-up";
    // Forms carry it from here on; an address that needs escapes is not worth any.
    if (next.find_first_of("?&=%#+") == std::string::npos) target += "?next=" + next;
  }
  return std::move(Response::SeeOther(target).With("Set-Cookie", SessionCookie(signed_in.token)));
}

void AddSignInRoutes(Router& router, const PageContext& context) {
  router.Add({Method::kGet,
              "/sign-in",
              Access::kPublic,
              [context](Request& request) {
                return ShowForm(context, request, SafeNext(request.Query("next")), "", "", 200);
              },
              {"next"}});
  router.Add({Method::kPost,
              "/sign-in",
              Access::kPublic,
              [context](Request& request) { return SignIn(context, request); },
              {},
              Body::kForm,
              {{"name", 256, false, true}, {"password", 1024, true, true}, {"next", 2048}}});
  router.Add({Method::kPost,
              "/sign-out",
              Right::kSelf,
              [context](Request& request) {
                context.services.sessions.SignOut(request.session_token);
                return std::move(Response::SeeOther("/sign-in")
                                     .With("Set-Cookie", EndedSessionCookie())
                                     .With("Clear-Site-Data", "\"cache\", \"storage\""));
              },
              {},
              Body::kForm,
              {CsrfField()}});
}

}  // namespace keyferry::server
