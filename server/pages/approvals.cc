// What waits for a second person.
#include "server/api/once.h"
#include "server/api/problem.h"
#include "server/core/account_steps.h"
#include "server/core/encoding.h"
#include "server/core/four_eyes.h"
#include "server/pages/frame.h"
#include "server/pages/models.h"

namespace keyferry::server {
namespace {

constexpr std::size_t kAnswerBytes = 300;
constexpr std::size_t kMostSources = 4;
constexpr std::size_t kMostApprovals = 100;  // open ones come first; the page stays below 100 kB

// "approval_state.open", "approval_fact.must_change"
std::string Word(const Catalog& catalog, const char* table, std::string_view name) {
  return catalog.Text(std::string(table) + "." + std::string(name));
}

Data StateBadge(const Catalog& catalog, ApprovalState state) {
  const std::string text = Word(catalog, "approval_state", Name(state));
  switch (state) {
    case ApprovalState::kOpen:
      return Badge("warn", "clock", text);
    case ApprovalState::kApproved:
      return Badge("info", "check", text);
    case ApprovalState::kUsed:
      return Badge("ok", "check", text);
    case ApprovalState::kRefused:
      return Badge("bad", "lock", text);
    case ApprovalState::kWithdrawn:
    case ApprovalState::kExpired:
      break;
  }
  return Badge("bad", "clock", text);
}

std::string NameOf(const Approval& row) {
  return row.display_name.empty() ? row.login : row.display_name;
}

Response ListApprovals(const PageContext& context, Request& request) {
  const Catalog& catalog = context.catalog;
  const auto views = context.services.four_eyes->List(request.session->actor);
  if (!views) return ShowFailure(context, request, views.error());
  Data data =
      Frame(context, request, catalog.Text("approvals.title"), "approvals", "/events/approvals");
  Data list = List();
  std::size_t shown = 0;
  for (const ApprovalView& view : *views) {
    if (++shown > kMostApprovals) break;
    Data row;
    Put(row, "id", view.row.id.Hex());
    Put(row, "what", Word(catalog, "approval_action", Name(view.row.action)));
    Put(row, "display_name", NameOf(view.row));
    Put(row, "asker", catalog.Text("approvals.asked_by", {view.row.asker_login}));
    row["created"] = Time(view.row.created);
    row["badge"] = StateBadge(catalog, view.row.state);
    PutFlag(row, "may_decide", view.may_decide);
    list << row;
  }
  PutFlag(data, "any", !views->empty());
  PutFlag(data, "more", views->size() > kMostApprovals);
  data["approvals"] = std::move(list);
  return Show(context, request, "approvals", data);
}

std::string ValueWords(const Catalog& catalog, const std::string& name, const std::string& value) {
  if (value == "true" || value == "false") return Word(catalog, "approval_value", value);
  if (name == "mode" || name == "place") return Word(catalog, "approval_value", value);
  return value;
}

Data Hidden(std::string_view name, std::string_view value) {
  Data field;
  Put(field, "name", name);
  Put(field, "value", value);
  return field;
}

// The form by which who asked carries it out: the one that they asked with, filled in. False where
// it was asked in another way.
bool PutCarryOut(const Request& request, const Approval& row, Data& data) {
  Data fields = List();
  fields << Hidden("csrf", request.session->csrf);
  std::string action = "/employees/" + row.account.Hex();
  if (row.action == GuardedAction::kPassword) {
    action += "/password";
    fields << Hidden("once", RandomToken()) << Hidden("mode", "generate")
           << Hidden("reason", row.reason) << Hidden("sources", "given");
    std::size_t place = 0;
    for (const auto& [name, value] : row.facts) {
      if (name == "mode") fields << Hidden("when", value);
      if (name == "source" && place < kMostSources) {
        fields << Hidden("source" + std::to_string(place++), value);
      }
      if ((name == "must_change" && value != "false") || (name == "unlock" && value != "true")) {
        return false;
      }
    }
  } else if (row.action == GuardedAction::kKey) {
    action += "/key";
    for (const auto& [name, value] : row.facts) {
      fields << Hidden(name == "replaces" ? "replace" : name, value);
    }
  } else if (row.action == GuardedAction::kKeyResume) {
    for (const auto& [name, value] : row.facts) {
      if (name == "device") action = "/keys/" + value + "/step";
    }
    fields << Hidden("step", "resume") << Hidden("reason", row.reason);
  } else if (row.facts == kOnEmployeePage) {
    action = AddressOf(
        row.action == GuardedAction::kUnlock ? AccountStep::kUnlock : AccountStep::kMustChange,
        row.account);
    fields << Hidden("reason", row.reason);
  } else if (row.action == GuardedAction::kFactorReset) {
    action = "/second-factors/" + row.account.Hex() + "/reset";
  } else {
    return false;
  }
  Put(data, "carry_out_action", action);
  data["carry_out_fields"] = std::move(fields);
  return true;
}

Response ShowApproval(const PageContext& context, const Request& request, const ApprovalId& id,
                      std::string_view answer = {}, std::string_view problem = {},
                      int status = 200) {
  const Catalog& catalog = context.catalog;
  const auto view = context.services.four_eyes->Get(request.session->actor, id);
  if (!view) return ShowFailure(context, request, view.error());
  const Approval& row = view->row;
  Data data =
      Frame(context, request, catalog.Text("approvals.one"), "approvals", "/events/approvals");
  Put(data, "id", id.Hex());
  Put(data, "refresh", "/approvals/" + id.Hex());
  Put(data, "account", row.account.Hex());
  Put(data, "display_name", NameOf(row));
  Put(data, "login", row.login);
  Put(data, "what", Word(catalog, "approval_action", Name(row.action)));
  Put(data, "why", catalog.Say(row.why));
  Put(data, "asker", row.asker_login);
  PutMaybe(data, "reason", row.reason);
  PutMaybe(data, "approver", row.approver_login);
  PutMaybe(data, "answer", row.answer);
  Put(data, "hash", ToHex(row.hash));
  Put(data, "short_hash", Grouped(ToHex(row.hash).substr(0, 16)));
  data["created"] = Time(row.created);
  data["expires"] = Time(row.expires);
  data["decided"] = Time(row.decided);
  data["badge"] = StateBadge(catalog, row.state);
  Put(data, "state_text", Word(catalog, "approval_text", Name(row.state)));
  Data facts = List();
  for (const auto& [name, value] : row.facts) {
    Data fact;
    Put(fact, "name", Word(catalog, "approval_fact", name));
    Put(fact, "value", ValueWords(catalog, name, value));
    facts << fact;
  }
  data["facts"] = std::move(facts);
  const bool live = row.state == ApprovalState::kOpen || row.state == ApprovalState::kApproved;
  PutFlag(data, "may_decide", view->may_decide);
  PutFlag(data, "may_withdraw", view->mine && live);
  const bool mine_approved = view->mine && row.state == ApprovalState::kApproved;
  const bool form = mine_approved && PutCarryOut(request, row, data);
  PutFlag(data, "carry_out", form);
  PutFlag(data, "carry_out_elsewhere", mine_approved && !form);
  Put(data, "entered", answer);
  PutMaybe(data, "problem", problem);
  return Show(context, request, "approval", data, status);
}

Response Decide(const PageContext& context, Request& request, const ApprovalId& id) {
  const std::string_view wanted = request.form->Text("do");
  const auto bytes = FromHex(request.form->Text("hash"));
  Hash32 hash{};
  if (!bytes || bytes->size() != hash.size() || (wanted != "approve" && wanted != "refuse")) {
    return ShowError(context, request, 400,
                     Error{ErrorCode::kInvalidArgument, "The form is damaged.", {}, 0});
  }
  std::copy(bytes->begin(), bytes->end(), hash.begin());
  const std::string answer(request.form->Text("reason"));
  const auto done = context.services.four_eyes->Decide(request.session->actor, id, hash,
                                                       wanted == "approve", answer);
  if (done) return Response::SeeOther("/approvals/" + id.Hex());
  if (done.error().code == ErrorCode::kNotFound) return ShowNotFound(context, request);
  context.services.report(request, done.error());
  const int status = HttpStatus(done.error().code);
  return ShowApproval(context, request, id, answer, context.catalog.Say(done.error().message),
                      status == 400 ? 422 : status);
}

Response Withdraw(const PageContext& context, Request& request, const ApprovalId& id) {
  const auto done = context.services.four_eyes->Withdraw(request.session->actor, id);
  if (done) return Response::SeeOther("/approvals/" + id.Hex());
  if (done.error().code == ErrorCode::kNotFound) return ShowNotFound(context, request);
  context.services.report(request, done.error());
  return ShowApproval(context, request, id, {}, context.catalog.Say(done.error().message),
                      HttpStatus(done.error().code));
}

}  // namespace

void AddApprovalPages(Router& router, const PageContext& context) {
  router.Add({Method::kGet, "/approvals", Right::kApprovalsRead,
              [context](Request& request) { return ListApprovals(context, request); }});
  router.Add({Method::kGet, "/approvals/{id}", Right::kApprovalsRead,
              PageWithId<ApprovalId>(
                  context, [](const PageContext& page, Request& request, const ApprovalId& id) {
                    return ShowApproval(page, request, id);
                  })});
  router.Add({Method::kPost,
              "/approvals/{id}",
              Right::kApprovalsWrite,
              PageWithId<ApprovalId>(context, Decide),
              {},
              Body::kForm,
              {CsrfField(),
               {"hash", 64, false, true},
               {"do", 8, false, true},
               {"reason", 4 * kAnswerBytes}}});
  router.Add({Method::kPost,
              "/approvals/{id}/withdraw",
              Right::kApprovalsWrite,
              PageWithId<ApprovalId>(context, Withdraw),
              {},
              Body::kForm,
              {CsrfField()}});
}

}  // namespace keyferry::server
