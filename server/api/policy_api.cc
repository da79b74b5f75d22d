// Rotation policies.
#include "server/api/policy_api.h"

#include "server/api/handlers.h"
#include "server/api/json_reader.h"
#include "server/api/once.h"

namespace keyferry::server {
namespace {

// The policy in a request's body; an answer when there is none.
Result<RotationPolicy> ReadPolicy(const Request& request) {
  JsonReader in(request.body.span());
  RotationPolicy policy;
  policy.name = in.Text("name", 1, 64);
  policy.group_dn = in.Text("group_dn", 1, 1024);
  policy.max_age_days = in.Integer("max_age_days", 1, 3650);
  const auto from = ParseDayTime(in.Text("window_from", 5, 5));
  const auto until = ParseDayTime(in.Text("window_until", 5, 5));
  policy.notify_days = in.Integers("notify_days", 5, 1, 90);
  policy.enabled = in.Bool("enabled");
  if (auto bad = in.Finish(); !bad) return tl::unexpected(std::move(bad.error()));
  if (!from || !until) {
    return Fail(ErrorCode::kInvalidArgument,
                "window_from and window_until must be times of the day like \"22:30\".");
  }
  policy.window_from = *from;
  policy.window_until = *until;
  return policy;
}

Response PutPolicy(Services& services, Request& request, const PolicyId& id, int status) {
  auto policy = ReadPolicy(request);
  if (!policy) return Problem(request, policy.error());
  policy->id = id;
  const auto stored = services.rotation->Put(request.session->actor, *std::move(policy));
  return stored ? Ok(ToJson(*stored), status) : Answer(services, request, stored.error());
}

Response PreviewPolicy(Services& services, Request& request) {
  const auto policy = ReadPolicy(request);
  if (!policy) return Problem(request, policy.error());
  const auto preview = services.rotation->Preview(request.session->actor, *policy);
  if (!preview) return Answer(services, request, preview.error());
  boost::json::array members;
  for (const RotationCandidate& one : preview->members) members.push_back(ToJson(one));
  return Ok({{"members", std::move(members)}, {"complete", preview->complete}});
}

// Zero is a policy that is not stored yet, so nothing at an address has it.
template <typename Handle>
Handler WithPolicy(Services& services, Handle handle) {
  return [&services, handle](Request& request) -> Response {
    const auto id = PolicyId::Parse(request.captures[0]);
    if (id && *id != PolicyId{}) return handle(services, request, *id);
    return ProblemOf(request, "not_found", "There is no such policy.");
  };
}

}  // namespace

std::optional<std::int64_t> ParseDayTime(std::string_view text) {
  const auto digit = [&](std::size_t at) { return text[at] >= '0' && text[at] <= '9'; };
  if (text.size() != 5 || text[2] != ':' || !digit(0) || !digit(1) || !digit(3) || !digit(4)) {
    return std::nullopt;
  }
  const std::int64_t hours = (text[0] - '0') * 10 + (text[1] - '0');
  const std::int64_t minutes = (text[3] - '0') * 10 + (text[4] - '0');
  if (minutes > 59 || hours * 60 + minutes > 1440) return std::nullopt;
  return hours * 60 + minutes;
}

std::string DayTime(std::int64_t minutes) {
  const auto two = [](std::int64_t number) {
    const std::string text = std::to_string(number);
    return text.size() < 2 ? "0" + text : text;
  };
  return two(minutes / 60) + ":" + two(minutes % 60);
}

void AddPolicyRoutes(Router& router, Services& services) {
  router.Add(Reading("/policies", Right::kPoliciesRead,
                     [&services](Request& request) {
                       return PageById(services, request, "policies", services.rotation->List(),
                                       [](const RotationPolicy& policy) { return policy.name; });
                     },
                     {"cursor", "limit"}));
  router.Add(Writing("/policies", Right::kPoliciesWrite, Body::kJson,
                     Once(services, [&services](Request& request) {
                       return PutPolicy(services, request, {}, 201);
                     })));
  router.Add(Writing(
      "/policies/{id}", Right::kPoliciesWrite, Body::kJson,
      Once(services, WithPolicy(services, [](Services& all, Request& request, const PolicyId& id) {
             return PutPolicy(all, request, id, 200);
           }))));
  Route remove =
      Reading("/policies/{id}", Right::kPoliciesWrite,
              WithPolicy(services, [](Services& all, Request& request, const PolicyId& id) {
                return Done(all, request, all.rotation->Remove(request.session->actor, id));
              }));
  remove.method = Method::kDelete;
  router.Add(std::move(remove));
  // Changes nothing, so that a token which may only read can ask.
  Route preview = Writing(
      "/policies/preview", Right::kPoliciesRead, Body::kJson,
      Once(services, [&services](Request& request) { return PreviewPolicy(services, request); }));
  preview.slow = true;
  router.Add(std::move(preview));
}

}  // namespace keyferry::server
