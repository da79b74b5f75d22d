// An account is unlocked, or has to change its password, without a new one.
#include "server/core/account_steps.h"

#include "server/api/problem.h"
#include "server/core/four_eyes.h"
#include "server/pages/frame.h"
#include "server/pages/models.h"

namespace keyferry::server {
namespace {

const char* PathOf(AccountStep step) {
  return step == AccountStep::kUnlock ? "unlock" : "must-change";
}

// What the page of a step says.
struct StepWords {
  const char *title, *effect, *submit;
};
StepWords WordsOfStep(AccountStep step) {
  if (step == AccountStep::kUnlock) {
    return {"account_step.unlock", "account_step.unlock_effect", "account_step.unlock_submit"};
  }
  return {"account_step.must_change", "account_step.must_change_effect",
          "account_step.must_change_submit"};
}

Response ShowStep(const PageContext& context, const Request& request, const AccountId& id,
                  AccountStep step, std::string_view reason, std::string_view problem,
                  std::string_view reason_problem, int status) {
  const Catalog& catalog = context.catalog;
  const Actor& actor = request.session->actor;
  const auto detail = context.services.people.Get(actor, id);
  if (!detail) return ShowFailure(context, request, detail.error());
  if (const auto may = context.services.people.Check(actor, Right::kAccountsWrite, id); !may) {
    return ShowFailure(context, request, may.error());
  }
  const StepWords words = WordsOfStep(step);
  const std::string title = catalog.Text(words.title);
  Data data = Frame(context, request, title, "employees");
  Data row = PersonRow(detail->person);
  Put(data, "title", title);
  Put(data, "back", "/employees/" + id.Hex());
  Put(data, "action", AddressOf(step, id));
  Put(data, "display_name", row["display_name"].string_value());
  Put(data, "intro",
      catalog.Text("account_step.intro",
                   {row["display_name"].string_value(), detail->person.login}));
  Put(data, "effect", catalog.Text(words.effect));
  Put(data, "submit", catalog.Text(words.submit));
  Put(data, "reason", reason);
  PutMaybe(data, "problem", problem);
  PutMaybe(data, "reason_problem", reason_problem);
  return Show(context, request, "account_step", data, status);
}

Response DoStep(const PageContext& context, Request& request, const AccountId& id,
                AccountStep step) {
  const std::string reason(request.form->Text("reason"));
  if (reason.empty() || reason.size() > kMostStepReason) {
    return ShowStep(context, request, id, step, reason, "",
                    context.catalog.Text("key.reason_missing"), 422);
  }
  const auto done = context.services.account_steps->Do(request.session->actor, id, step, reason);
  if (done) return Response::SeeOther("/employees/" + id.Hex());
  context.services.report(request, done.error());
  if (const auto needed = ApprovalNeeded(done.error())) {
    return Response::SeeOther("/approvals/" + needed->Hex());
  }
  if (done.error().code == ErrorCode::kNotFound) return ShowNotFound(context, request);
  return ShowStep(context, request, id, step, reason, context.catalog.Say(done.error().message), "",
                  HttpStatus(done.error().code));
}

}  // namespace

std::string AddressOf(AccountStep step, const AccountId& account) {
  return "/employees/" + account.Hex() + "/" + PathOf(step);
}

void AddAccountStepPages(Router& router, const PageContext& context) {
  for (int i = 0; i <= static_cast<int>(kLastAccountStep); ++i) {
    const auto step = static_cast<AccountStep>(i);
    const std::string pattern = std::string("/employees/{id}/") + PathOf(step);
    router.Add({Method::kGet, pattern, Right::kAccountsWrite,
                PageWithId<AccountId>(context, [step](const PageContext& page, Request& request,
                                                      const AccountId& id) {
                  return ShowStep(page, request, id, step, "", "", "", 200);
                })});
    router.Add(
        {Method::kPost,
         pattern,
         Right::kAccountsWrite,
         PageWithId<AccountId>(
             context, [step](const PageContext& page, Request& request,
                             const AccountId& id) { return DoStep(page, request, id, step); }),
         {},
         Body::kForm,
         {CsrfField(), {"reason", 800}},
         /*slow=*/true});
  }
}

}  // namespace keyferry::server
