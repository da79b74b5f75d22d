#include <algorithm>

#include "server/api/problem.h"
#include "server/pages/frame.h"
#include "server/pages/models.h"

namespace keyferry::server {
namespace {

constexpr std::size_t kWorkstationsOnAPage = 30;
constexpr std::size_t kMostMatches = 60;    // of each kind; the page stays below 100 kB
constexpr std::size_t kMaxIds = 33 * 1000;  // of one form

Response ListWorkstations(const PageContext& context, const Request& request,
                          std::string_view problem, int status) {
  const Catalog& catalog = context.catalog;
  // After a decision the whole list is shown: the form names no filter.
  const bool listed = request.method == Method::kGet;
  const std::string state(listed ? request.Query("state") : std::string_view());
  const std::string_view after = listed ? request.Query("after") : std::string_view();
  WorkstationFilter filter;
  filter.limit = kWorkstationsOnAPage + 1;
  std::vector<FilterChoice> choices = {{catalog.Text("workstations.all"), ""}};
  for (const WorkstationState one :
       {WorkstationState::kPending, WorkstationState::kApproved, WorkstationState::kRevoked}) {
    choices.push_back({catalog.Text(std::string("workstations.") + Name(one)), Name(one)});
    if (state == Name(one)) filter.state = one;
  }
  const auto last = WorkstationId::Parse(after);
  if ((!filter.state && !state.empty()) || (!last && !after.empty())) {
    return ShowNotFound(context, request);
  }
  if (last) filter.after = *last;
  auto workstations = context.services.workstations.Page(filter);
  if (!workstations) return ShowFailure(context, request, workstations.error());
  const bool more = workstations->size() > kWorkstationsOnAPage;
  if (more) workstations->resize(kWorkstationsOnAPage);
  Data data = Frame(context, request, catalog.Text("workstations.title"), "workstations",
                    "/events/workstations");
  Data list = List();
  for (const WorkstationView& workstation : *workstations) {
    list << WorkstationData(catalog, workstation);
  }
  data["filters"] = FilterLinks(choices, state, "/workstations");
  data["next"] = Data(false);
  if (more) {
    Put(data, "next",
        "/workstations?" + (state.empty() ? state : "state=" + state + "&") +
            "after=" + workstations->back().id.Hex());
  }
  PutFlag(data, "filtered", !state.empty() || last);
  PutFlag(data, "any", !workstations->empty());
  PutFlag(data, "waiting",
          std::any_of(workstations->begin(), workstations->end(), [](const WorkstationView& view) {
            return view.state == WorkstationState::kPending;
          }));
  data["workstations"] = std::move(list);
  PutMaybe(data, "problem", problem);
  return Show(context, request, "workstations", data, status);
}

Response ShowMatches(const PageContext& context, const Request& request, std::string_view problem,
                     int status) {
  const Catalog& catalog = context.catalog;
  const auto matches = context.services.workstations.Matches(request.session->actor);
  if (!matches) return ShowFailure(context, request, matches.error());
  Data data = Frame(context, request, catalog.Text("matches.title"), "workstations");
  Data good = List(), others = List();
  std::string ids;
  std::size_t count = 0, other_count = 0;
  for (const WorkstationMatch& match : *matches) {
    Data row = WorkstationData(catalog, match.workstation);
    Put(row, "computer_dn", match.computer_dn);
    Put(row, "why_not", match.why_not);
    if (match.computer_dn.empty()) {
      if (++other_count <= kMostMatches) others << row;
      continue;
    }
    // What is not shown is not approved.
    if (count == kMostMatches) continue;
    good << row;
    ids += (ids.empty() ? "" : ",") + match.workstation.id.Hex();
    ++count;
  }
  PutFlag(data, "any_other", other_count != 0);
  PutMaybe(data, "ids", ids);
  Put(data, "approve_all", catalog.Text("matches.approve", {std::to_string(count)}));
  data["matching"] = std::move(good);
  data["others"] = std::move(others);
  PutMaybe(data, "problem", problem);
  return Show(context, request, "matches", data, status);
}

// Approves what the person saw on the page, and of that only what still matches.
Response ApproveMatches(const PageContext& context, Request& request) {
  std::vector<WorkstationId> ids;
  std::string_view text = request.form->Text("ids");
  while (!text.empty()) {
    const std::string_view one = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), one.size() + 1));
    const auto id = WorkstationId::Parse(one);
    if (!id) return ShowNotFound(context, request);
    ids.push_back(*id);
  }
  const auto decided = context.services.workstations.ApproveMatching(request.session->actor, ids);
  if (!decided) return ShowFailure(context, request, decided.error());
  std::string refused;
  for (const WorkstationDecision& one : *decided) {
    if (!one.refused) continue;
    context.services.report(request, *one.refused);
    refused += (refused.empty() ? "" : " ") + one.name + ": " + one.refused->message;
  }
  if (refused.empty()) return Response::SeeOther("/workstations");
  return ShowMatches(context, request, refused, 409);
}

Response AfterDecision(const PageContext& context, const Request& request,
                       const Result<void>& done) {
  if (done) return Response::SeeOther("/workstations");
  context.services.report(request, done.error());
  return ListWorkstations(context, request, context.catalog.Say(done.error().message),
                          HttpStatus(done.error().code));
}

}  // namespace

void AddOperationPages(Router& router, const PageContext& context,
                       std::function<void(const WorkstationId&)> end_stream) {
  router.Add({Method::kGet,
              "/workstations",
              Right::kWorkstationsRead,
              [context](Request& request) { return ListWorkstations(context, request, "", 200); },
              {"state", "after"}});
  router.Add({Method::kGet, "/workstations/matches", Right::kWorkstationsRead,
              [context](Request& request) { return ShowMatches(context, request, "", 200); }});
  router.Add({Method::kPost,
              "/workstations/matches",
              Right::kWorkstationsWrite,
              [context](Request& request) { return ApproveMatches(context, request); },
              {},
              Body::kForm,
              {CsrfField(), {"ids", kMaxIds, false, true}}});
  router.Add({Method::kPost,
              "/workstations/{id}/approve",
              Right::kWorkstationsWrite,
              PageWithId<WorkstationId>(
                  context,
                  [](const PageContext& page, Request& request, const WorkstationId& id) {
                    return AfterDecision(
                        page, request,
                        page.services.workstations.Approve(request.session->actor, id));
                  }),
              {},
              Body::kForm,
              {CsrfField()}});
  router.Add({Method::kPost,
              "/workstations/{id}/allow-login",
              Right::kWorkstationsWrite,
              PageWithId<WorkstationId>(
                  context,
                  [](const PageContext& page, Request& request, const WorkstationId& id) {
                    return AfterDecision(
                        page, request,
                        page.services.workstations.AllowLogin(request.session->actor, id));
                  }),
              {},
              Body::kForm,
              {CsrfField()}});
  router.Add({Method::kPost,
              "/workstations/{id}/revoke",
              Right::kWorkstationsWrite,
              PageWithId<WorkstationId>(
                  context,
                  [end_stream](const PageContext& page, Request& request, const WorkstationId& id) {
                    const auto done = page.services.workstations.Revoke(request.session->actor, id);
                    end_stream(id);
                    return AfterDecision(page, request, done);
                  }),
              {},
              Body::kForm,
              {CsrfField()}});
}

}  // namespace keyferry::server
