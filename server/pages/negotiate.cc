#include "server/api/guard.h"
#include "server/api/problem.h"
#include "server/core/encoding.h"
#include "server/core/tickets.h"
#include "server/http/target.h"
#include "server/pages/frame.h"
#include "server/pages/sign_in.h"

namespace keyferry::server {
namespace {

// Only a person who goes there is signed in: no other site sends them, and no image, frame or
// script asks in their place. Browsers without these headers cannot be told apart.
bool IsVisit(const Request& request) {
  const std::string_view mode = request.Header("sec-fetch-mode");
  const std::string_view dest = request.Header("sec-fetch-dest");
  return request.method == Method::kGet && IsSameOrigin(request) &&
         (mode.empty() || mode == "navigate") && (dest.empty() || dest == "document");
}

Response ShowNegotiate(const PageContext& context, const Request& request, std::string_view problem,
                       int status) {
  Data data = Frame(context, request, context.catalog.Text("negotiate.title"), "");
  const std::string next = SafeNext(request.Query("next"));
  Put(data, "next", QueryText(next));
  PutMaybe(data, "problem", problem);
  PutFlag(data, "asked", problem.empty());
  return Show(context, request, "negotiate", data, status);
}

Response Negotiate(const PageContext& context, Request& request) {
  SessionService& sessions = context.services.sessions;
  if (!sessions.TakesTickets()) return ShowNotFound(context, request);
  const std::string next = SafeNext(request.Query("next"));
  if (!IsVisit(request)) return Response::SeeOther("/sign-in?next=" + QueryText(next));
  const auto failed = [&](const Error& error, int status) {
    context.services.report(request, error);
    return ShowNegotiate(context, request, context.catalog.Say(error.message), status);
  };
  const auto token = NegotiateToken(request.Header("authorization"));
  if (!token) return failed(token.error(), HttpStatus(token.error().code));
  if (token->empty()) {
    return std::move(
        ShowNegotiate(context, request, "", 401).With("WWW-Authenticate", "Negotiate"));
  }
  auto by_ticket = sessions.SignInByTicket(*token, request.address, request.Header("user-agent"));
  if (!by_ticket) {
    // Another 401 would make the browser ask for a name and password of its own.
    const int status = HttpStatus(by_ticket.error().code);
    return failed(by_ticket.error(), status == 401 ? 403 : status);
  }
  Response response = Welcome(request, by_ticket->signed_in, next);
  if (!by_ticket->answer.empty()) {
    response.With("WWW-Authenticate", "Negotiate " + ToBase64(by_ticket->answer));
  }
  return response;
}

}  // namespace

void AddNegotiateRoute(Router& router, const PageContext& context) {
  router.Add({Method::kGet,
              "/sign-in/negotiate",
              Access::kPublic,
              [context](Request& request) { return Negotiate(context, request); },
              {"next"}});
}

}  // namespace keyferry::server
