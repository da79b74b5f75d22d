#pragma once

#include <string_view>

#include "server/api/services.h"
#include "server/http/router.h"
#include "server/pages/catalog.h"

namespace keyferry::server {

struct SecurityQuestion;
enum class AccountStep;

// What every page handler needs.
struct PageContext {
  Services& services;
  const Catalog& catalog;
};

// The data of the layout around a page. `at` names the current entry of the menu; `stream` is the
// event stream that keeps the page live (empty = none). For each right there is a flag whether
// the person has it: "may_keys_write".
Data Frame(const PageContext& context, const Request& request, std::string_view title,
           std::string_view at, std::string_view stream = {});

// Renders `page`; when that fails, the error page.
Response Show(const PageContext& context, const Request& request, std::string_view page,
              const Data& data, int status = 200);

// Whether the alarm stands, for the banner (alarm.cc).
void PutAlarm(const PageContext& context, const Request& request, Data& data);

// Objections that stand, for the page Reports; what a person was told of, for theirs (not_me.cc).
Result<void> PutObjections(const PageContext& context, const Request& request, Data& data);
Result<void> PutNotices(const PageContext& context, const AccountId& id, Data& data);

// A page of its own for what went wrong, with the request's id that the log shows too.
Response ShowError(const PageContext& context, const Request& request, int status,
                   const Error& error);
// The same, after writing the error to the log.
Response ShowFailure(const PageContext& context, const Request& request, const Error& error);
Response ShowNotFound(const PageContext& context, const Request& request);

// The page of everybody's own. Who may sign in but sees nobody else comes there, whatever page was
// asked for.
inline constexpr char kOwnPlace[] = "/me";
std::string PlaceOf(const Session& session, const std::string& next);

// A security question in the reader's language, and the field of a form for the answer to the one
// at this place, 1… (me_questions.cc).
std::string QuestionText(const Catalog& catalog, const SecurityQuestion& question);
std::string AnswerField(std::size_t place);

// One row of a list of sessions; `current` is the one that asks (sessions.cc).
Data SessionRow(const Catalog& catalog, const Session& session, const SessionId& current);

// The rows of one's own among `sessions`, the one that asks first.
void PutOwnSessions(const Catalog& catalog, const std::vector<Session>& sessions,
                    const Session& own, Data& data);

// Fresh recovery codes, on this one page; `next` is where it goes on.
Response ShowRecoveryCodes(const PageContext& context, const Request& request,
                           const std::vector<SecureBytes>& codes, const std::string& next);

// Where a step is asked for, on the employee's page: "must-change" (account_steps.cc).
std::string AddressOf(AccountStep step, const AccountId& account);

// 32 random hex digits: the idempotency key of one form.
std::string RandomToken();

// The routes of each page.
void AddSignInRoutes(Router& router, const PageContext& context);
void AddNegotiateRoute(Router& router, const PageContext& context);
void AddFactorPages(Router& router, const PageContext& context);
void AddSessionPages(Router& router, const PageContext& context);
void AddOwnPages(Router& router, const PageContext& context);
void AddQuestionPages(Router& router, const PageContext& context);
void AddEmployeePages(Router& router, const PageContext& context);
void AddPasswordPages(Router& router, const PageContext& context);
void AddAccountStepPages(Router& router, const PageContext& context);
void AddKeyPages(Router& router, const PageContext& context);
void AddOperationPages(Router& router, const PageContext& context,
                       std::function<void(const WorkstationId&)> end_stream);
void AddPolicyPages(Router& router, const PageContext& context);
void AddCheckUpPage(Router& router, const PageContext& context);
void AddTokenPage(Router& router, const PageContext& context);
void AddAlarmPage(Router& router, const PageContext& context);
void AddHelpDeskPages(Router& router, const PageContext& context);
void AddScopePages(Router& router, const PageContext& context);
void AddAuditPages(Router& router, const PageContext& context);
void AddReportPages(Router& router, const PageContext& context);
void AddApprovalPages(Router& router, const PageContext& context);
void AddWebhookPages(Router& router, const PageContext& context);
void AddNoticePages(Router& router, const PageContext& context);
void AddCallerPages(Router& router, const PageContext& context);
void AddEventRoutes(Router& router, const PageContext& context);

// A handler whose first capture is an identifier; anything else there is a page "not found".
template <typename Id, typename Handle>
Handler PageWithId(const PageContext& context, Handle handle) {
  return [context, handle](Request& request) -> Response {
    const auto id = Id::Parse(request.captures[0]);
    if (!id) return ShowNotFound(context, request);
    return handle(context, request, *id);
  };
}

// The hidden field of every form behind a session.
inline FormField CsrfField() { return {"csrf", 128, false, true}; }

}  // namespace keyferry::server
