#include "server/api/policy_api.h"

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include "server/api/answers.h"
#include "server/api/json_reader.h"

namespace keyferry::server {
namespace {

namespace json = boost::json;

Response PolicyAnswer(const json::object& body, int status = 200) {
  return Response::Json(json::serialize(body), status);
}

json::object PolicyJson(const RotationPolicy& policy) {
  json::array days;
  for (const std::int64_t day : policy.notify_days) days.push_back(day);
  return {{"id", policy.id.Hex()},
          {"name", policy.name},
          {"group_dn", policy.group_dn},
          {"max_age_days", policy.max_age_days},
          {"window_from", DayTime(policy.window_from)},
          {"window_until", DayTime(policy.window_until)},
          {"notify_days", std::move(days)},
          {"enabled", policy.enabled},
          {"created", policy.created},
          {"last_run", policy.last_run},
          {"last_result", policy.last_result}};
}

json::object PreviewJson(const RotationPreview& preview) {
  json::array members;
  for (const RotationCandidate& one : preview.members) {
    members.push_back(json::object{{"account", one.account.Hex()},
                                   {"login", one.login},
                                   {"display_name", one.display_name},
                                   {"password_set", one.password_set * 1000},
                                   {"due", one.due * 1000},
                                   {"verdict", Name(one.verdict)},
                                   {"reason", one.reason}});
  }
  return {{"members", std::move(members)}, {"complete", preview.complete}};
}

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

Response Put(Services& services, Request& request, const PolicyId& id, int status) {
  auto policy = ReadPolicy(request);
  if (!policy) return Problem(request, policy.error());
  policy->id = id;
  const auto stored = services.rotation->Put(request.session->actor, *std::move(policy));
  return stored ? PolicyAnswer(PolicyJson(*stored), status)
                : Answer(services, request, stored.error());
}

Response Preview(Services& services, Request& request, const RotationPolicy& policy) {
  const auto preview = services.rotation->Preview(request.session->actor, policy);
  return preview ? PolicyAnswer(PreviewJson(*preview)) : Answer(services, request, preview.error());
}

template <typename Handle>
Handler WithPolicy(Services& services, Handle handle) {
  return [&services, handle](Request& request) -> Response {
    const auto id = PolicyId::Parse(request.captures[0]);
    if (id && *id != PolicyId{}) return handle(services, request, *id);
    return Problem(request, Error{ErrorCode::kNotFound, "There is no such policy.", {}, 0});
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
  router.Add(
      {Method::kGet, "/api/v1/policies", Access::kAdministrator, [&services](Request& request) {
         const auto policies = services.rotation->List();
         if (!policies) return Answer(services, request, policies.error());
         json::array list;
         for (const RotationPolicy& policy : *policies) list.push_back(PolicyJson(policy));
         return PolicyAnswer({{"policies", std::move(list)}});
       }});
  router.Add({Method::kPost,
              "/api/v1/policies",
              Access::kAdministrator,
              [&services](Request& request) { return Put(services, request, {}, 201); },
              {},
              Body::kJson});
  router.Add({Method::kPost,
              "/api/v1/policies/{id}",
              Access::kAdministrator,
              WithPolicy(services, [](Services& all, Request& request,
                                      const PolicyId& id) { return Put(all, request, id, 200); }),
              {},
              Body::kJson});
  router.Add({Method::kDelete, "/api/v1/policies/{id}", Access::kAdministrator,
              WithPolicy(services, [](Services& all, Request& request, const PolicyId& id) {
                const auto done = all.rotation->Remove(request.session->actor, id);
                return done ? Response::NoContent() : Answer(all, request, done.error());
              })});
  router.Add({Method::kPost,
              "/api/v1/policies/preview",
              Access::kAdministrator,
              [&services](Request& request) {
                const auto policy = ReadPolicy(request);
                if (!policy) return Problem(request, policy.error());
                return Preview(services, request, *policy);
              },
              {},
              Body::kJson,
              {},
              true});
}

}  // namespace keyferry::server
