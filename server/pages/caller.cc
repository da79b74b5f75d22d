// Does this person call the help desk? The page that the link of a manager's mail leads to, which
// needs no session.
#include "server/api/problem.h"
#include "server/core/help_desk.h"
#include "server/pages/frame.h"
#include "server/pages/models.h"

namespace keyferry::server {
namespace {

constexpr std::size_t kCallerTokenBytes = 80;
constexpr std::size_t kCallerNumberBytes = 32;

// Looks, and changes nothing: mail programs open links before people do.
Response ShowCaller(const PageContext& context, const Request& request, std::string_view token,
                    const Error* problem = nullptr) {
  const Catalog& catalog = context.catalog;
  Data data = Frame(context, request, catalog.Text("caller.title"), "");
  const auto asked = context.services.help_desk->LookAtManager(token);
  if (!asked && asked.error().code != ErrorCode::kNotFound) {
    return ShowFailure(context, request, asked.error());
  }
  // What was wrong with the number is said beside it; a link that is none has one answer.
  const Error* const said = problem != nullptr ? problem : asked ? nullptr : &asked.error();
  PutFlag(data, "open", asked.has_value());
  PutMaybe(data, "problem", said == nullptr ? std::string() : catalog.Say(said->message));
  if (asked) {
    const HelpDeskRequest& row = asked->request;
    Put(data, "person", row.display_name.empty() ? row.login : row.display_name);
    Put(data, "login", row.login);
    Put(data, "agent", asked->asked_by);
    Put(data, "process_text", catalog.Text(std::string("help_desk_process.") + Name(row.process)));
    Put(data, "reason_text", row.reason);
    Put(data, "ticket_number", row.ticket);
    data["until"] = Time(asked->until);
    Put(data, "token", token);
  }
  const int status = said == nullptr ? 200 : HttpStatus(said->code);
  return Show(context, request, "caller", data, status == 400 ? 422 : status);
}

Response AnswerCaller(const PageContext& context, const Request& request) {
  const std::string_view token = request.form->Text("t"), answer = request.form->Text("answer");
  if (answer != "known" && answer != "unknown") {
    return ShowError(context, request, 400,
                     Error{ErrorCode::kInvalidArgument, "The form is damaged.", {}, 0});
  }
  const auto verdict = context.services.help_desk->AnswerAsManager(
      token, answer == "known", request.form->Text("number"), request.address);
  if (verdict) {
    switch (*verdict) {
      case ManagerVerdict::kTaken:
        return Response::SeeOther("/caller/known");
      case ManagerVerdict::kDenied:
        return Response::SeeOther("/caller/unknown");
      case ManagerVerdict::kWrongNumber:
        return Response::SeeOther("/caller/wrong");
    }
  }
  const Error& error = verdict.error();
  context.services.report(request, error);
  if (error.code == ErrorCode::kNotFound || error.code == ErrorCode::kInvalidArgument ||
      error.code == ErrorCode::kRateLimited) {
    return ShowCaller(context, request, token, &error);
  }
  return ShowFailure(context, request, error);
}

}  // namespace

void AddCallerPages(Router& router, const PageContext& context) {
  router.Add(
      {Method::kGet,
       "/caller",
       Access::kPublic,
       [context](Request& request) { return ShowCaller(context, request, request.Query("t")); },
       {"t"}});
  router.Add({Method::kPost,
              "/caller",
              Access::kPublic,
              [context](Request& request) { return AnswerCaller(context, request); },
              {},
              Body::kForm,
              {{"t", kCallerTokenBytes, false, true},
               {"answer", 8, false, true},
               {"number", kCallerNumberBytes}},
              /*slow=*/true});
  struct Done {
    const char *path, *title, *said;
  };
  for (const Done& done : {Done{"/caller/known", "caller.known_title", "caller.known_said"},
                           Done{"/caller/unknown", "caller.unknown_title", "caller.unknown_said"},
                           Done{"/caller/wrong", "caller.wrong_title", "caller.wrong_said"}}) {
    router.Add({Method::kGet, done.path, Access::kPublic, [context, done](Request& request) {
                  const std::string heading = context.catalog.Text(done.title);
                  Data data = Frame(context, request, heading, "");
                  Put(data, "heading", heading);
                  Put(data, "said", context.catalog.Text(done.said));
                  return Show(context, request, "caller_done", data);
                }});
  }
}

}  // namespace keyferry::server
