// Rotation policies: who gets a new password without anybody's asking.
#include <algorithm>
#include <charconv>

#include "server/api/policy_api.h"
#include "server/api/problem.h"
#include "server/pages/frame.h"
#include "server/pages/models.h"

namespace keyferry::server {
namespace {

constexpr std::size_t kMostMembers = 100;  // of a preview; the page stays below 100 kB

using Verdict = RotationCandidate::Verdict;

Response ListPolicies(const PageContext& context, const Request& request) {
  const Catalog& catalog = context.catalog;
  const auto policies = context.services.rotation->List();
  if (!policies) return ShowFailure(context, request, policies.error());
  Data data = Frame(context, request, catalog.Text("policies.title"), "policies");
  Data list = List();
  for (const RotationPolicy& policy : *policies) {
    Data row;
    Put(row, "id", policy.id.Hex());
    Put(row, "name", policy.name);
    Put(row, "group", policy.group_dn);
    Put(row, "age", catalog.Text("policies.days", {std::to_string(policy.max_age_days)}));
    Put(row, "window", DayTime(policy.window_from) + " – " + DayTime(policy.window_until));
    row["badge"] = policy.enabled ? Badge("ok", "check", catalog.Text("policies.on"))
                                  : Badge("info", "clock", catalog.Text("policies.off"));
    row["last_run"] = Time(policy.last_run);
    PutMaybe(row, "last_result", policy.last_result);
    list << row;
  }
  PutFlag(data, "any", !policies->empty());
  data["policies"] = std::move(list);
  return Show(context, request, "policies", data);
}

Data CandidateData(const Catalog& catalog, const RotationCandidate& one) {
  Data row;
  Put(row, "account", one.account.Hex());
  Put(row, "display_name", one.display_name);
  Put(row, "login", one.login);
  row["due"] = Time(one.due * 1000);
  PutMaybe(row, "reason", catalog.Say(one.reason));
  switch (one.verdict) {
    case Verdict::kDue:
      row["badge"] = Badge("warn", "clock", catalog.Text("policy.due"));
      break;
    case Verdict::kNotYet:
      row["badge"] = Badge("ok", "check", catalog.Text("policy.not_yet"));
      break;
    case Verdict::kWaiting:
      row["badge"] = Badge("info", "clock", catalog.Text("policy.waiting"));
      break;
    case Verdict::kSkipped:
      row["badge"] = Badge("bad", "alert", catalog.Text("policy.skipped"));
      break;
  }
  return row;
}

std::string DaysText(const RotationPolicy& policy) {
  std::string out;
  for (const std::int64_t days : policy.notify_days) {
    out += (out.empty() ? "" : ", ") + std::to_string(days);
  }
  return out;
}

// The form with `policy` in it, and who it would meet when `preview` is asked for.
Response ShowPolicy(const PageContext& context, const Request& request,
                    const RotationPolicy& policy, bool preview, std::string problem,
                    int status = 200) {
  const Catalog& catalog = context.catalog;
  const bool fresh = policy.id == PolicyId{};
  Data data = Frame(context, request,
                    fresh ? catalog.Text("policy.new") : catalog.Text("policy.title"), "policies");
  PutFlag(data, "fresh", fresh);
  PutMaybe(data, "id", fresh ? std::string() : policy.id.Hex());
  Put(data, "action", fresh ? "/policies" : "/policies/" + policy.id.Hex());
  Put(data, "name", policy.name);
  Put(data, "group", policy.group_dn);
  Put(data, "age", std::to_string(policy.max_age_days));
  Put(data, "from", DayTime(policy.window_from));
  Put(data, "until", DayTime(policy.window_until));
  Put(data, "notify", DaysText(policy));
  PutFlag(data, "enabled", policy.enabled);
  PutFlag(data, "preview", false);
  if (preview) {
    const auto looked = context.services.rotation->Preview(request.session->actor, policy);
    if (!looked) {
      context.services.report(request, looked.error());
      if (problem.empty()) problem = context.catalog.Say(looked.error().message);
      status = std::max(status, HttpStatus(looked.error().code));
    } else {
      auto members = looked->members;
      const auto rank = [](Verdict verdict) {
        return verdict == Verdict::kDue       ? 0
               : verdict == Verdict::kWaiting ? 1
               : verdict == Verdict::kSkipped ? 2
                                              : 3;
      };
      std::stable_sort(members.begin(), members.end(), [&](const auto& a, const auto& b) {
        return rank(a.verdict) < rank(b.verdict);
      });
      const auto count = [&](Verdict verdict) {
        return std::to_string(
            std::count_if(members.begin(), members.end(),
                          [&](const RotationCandidate& one) { return one.verdict == verdict; }));
      };
      Data list = List();
      const std::size_t shown = std::min(members.size(), kMostMembers);
      for (std::size_t i = 0; i < shown; ++i) list << CandidateData(catalog, members[i]);
      PutFlag(data, "preview", true);
      PutFlag(data, "any", !members.empty());
      PutFlag(data, "incomplete", !looked->complete || shown < members.size());
      Put(data, "summary",
          catalog.Text("policy.summary", {count(Verdict::kDue), count(Verdict::kWaiting),
                                          count(Verdict::kSkipped), count(Verdict::kNotYet)}));
      data["members"] = std::move(list);
    }
  }
  PutMaybe(data, "problem", problem);
  return Show(context, request, "policy", data, status);
}

Response ShowStored(const PageContext& context, Request& request, const PolicyId& id) {
  const auto policies = context.services.rotation->List();
  if (!policies) return ShowFailure(context, request, policies.error());
  for (const RotationPolicy& policy : *policies) {
    if (policy.id == id) return ShowPolicy(context, request, policy, true, {});
  }
  return ShowNotFound(context, request);
}

// "14, 3" and "HH:MM" as people type them; a sentence when they cannot be read.
std::string ReadForm(const PageContext& context, const Request& request, RotationPolicy& policy) {
  const Form& form = *request.form;
  policy.name = form.Text("name");
  policy.group_dn = form.Text("group");
  policy.enabled = form.Has("enabled");
  const auto number = [](std::string_view text, std::int64_t& out) {
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), out);
    return !text.empty() && failure == std::errc() && end == text.data() + text.size();
  };
  if (!number(form.Text("age"), policy.max_age_days)) {
    return context.catalog.Text("policy.bad_age");
  }
  const auto from = ParseDayTime(form.Text("from")), until = ParseDayTime(form.Text("until"));
  if (!from || !until) return context.catalog.Text("policy.bad_window");
  policy.window_from = *from;
  policy.window_until = *until;
  std::string_view days = form.Text("notify");
  while (!days.empty()) {
    std::string_view one = days.substr(0, days.find(','));
    days.remove_prefix(std::min(days.size(), one.size() + 1));
    while (!one.empty() && one.front() == ' ') one.remove_prefix(1);
    while (!one.empty() && one.back() == ' ') one.remove_suffix(1);
    std::int64_t value = 0;
    if (!number(one, value)) return context.catalog.Text("policy.bad_notify");
    policy.notify_days.push_back(value);
  }
  return {};
}

Response SavePolicy(const PageContext& context, Request& request, const PolicyId& id) {
  RotationPolicy policy;
  policy.id = id;
  if (std::string bad = ReadForm(context, request, policy); !bad.empty()) {
    return ShowPolicy(context, request, policy, false, std::move(bad), 400);
  }
  if (request.form->Text("do") == "preview") return ShowPolicy(context, request, policy, true, {});
  const auto stored = context.services.rotation->Put(request.session->actor, policy);
  if (stored) return Response::SeeOther("/policies");
  context.services.report(request, stored.error());
  return ShowPolicy(context, request, policy, false, context.catalog.Say(stored.error().message),
                    HttpStatus(stored.error().code));
}

}  // namespace

void AddPolicyPages(Router& router, const PageContext& context) {
  const std::vector<FormField> fields = {CsrfField(),    {"name", 64},   {"group", 1024},
                                         {"age", 8},     {"from", 8},    {"until", 8},
                                         {"notify", 64}, {"enabled", 8}, {"do", 8}};
  router.Add({Method::kGet, "/policies", Right::kPoliciesRead,
              [context](Request& request) { return ListPolicies(context, request); }});
  router.Add({Method::kGet, "/policies/new", Right::kPoliciesWrite, [context](Request& request) {
                RotationPolicy policy;
                policy.notify_days = {14, 3};
                policy.window_from = 8 * 60;
                policy.window_until = 18 * 60;
                return ShowPolicy(context, request, policy, false, {});
              }});
  router.Add({Method::kGet, "/policies/{id}", Right::kPoliciesRead,
              PageWithId<PolicyId>(context, ShowStored)});
  router.Add({Method::kPost,
              "/policies",
              Right::kPoliciesWrite,
              [context](Request& request) { return SavePolicy(context, request, PolicyId{}); },
              {},
              Body::kForm,
              fields,
              true});
  router.Add({Method::kPost,
              "/policies/{id}",
              Right::kPoliciesWrite,
              PageWithId<PolicyId>(context, SavePolicy),
              {},
              Body::kForm,
              fields,
              true});
  router.Add({Method::kPost,
              "/policies/{id}/remove",
              Right::kPoliciesWrite,
              PageWithId<PolicyId>(
                  context,
                  [](const PageContext& page, Request& request, const PolicyId& id) {
                    const auto done = page.services.rotation->Remove(request.session->actor, id);
                    return done ? Response::SeeOther("/policies")
                                : ShowFailure(page, request, done.error());
                  }),
              {},
              Body::kForm,
              {CsrfField()}});
}

}  // namespace keyferry::server
