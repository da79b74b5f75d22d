// What waits for a second person. Only people approve: no scope allows it.
#include "server/api/handlers.h"
#include "server/api/json_reader.h"
#include "server/api/once.h"
#include "server/core/encoding.h"
#include "server/core/four_eyes.h"

namespace keyferry::server {
namespace {

namespace json = boost::json;

constexpr std::size_t kHashDigits = 64, kMostAnswer = 300;

Response Decide(Services& services, Request& request, const ApprovalId& id, bool approve) {
  JsonReader in(request.body.span());
  const std::string digits = in.Text("hash", kHashDigits, kHashDigits);
  const std::string reason = in.Text("reason", 1, kMostAnswer);
  if (const auto bad = in.Finish(); !bad) return Problem(request, bad.error());
  const auto bytes = FromHex(digits);
  Hash32 hash{};
  if (!bytes || bytes->size() != hash.size()) {
    return Problem(request, Error{ErrorCode::kInvalidArgument, "hash must be hex digits.", {}, 0});
  }
  std::copy(bytes->begin(), bytes->end(), hash.begin());
  const auto done = services.four_eyes->Decide(request.session->actor, id, hash, approve, reason);
  if (!done) return Answer(services, request, done.error());
  return One(services, request, services.four_eyes->Get(request.session->actor, id));
}

Response Withdraw(Services& services, Request& request, const ApprovalId& id) {
  const auto done = services.four_eyes->Withdraw(request.session->actor, id);
  if (!done) return Answer(services, request, done.error());
  return One(services, request, services.four_eyes->Get(request.session->actor, id));
}

}  // namespace

json::object ToJson(const ApprovalView& view) {
  const Approval& row = view.row;
  json::array facts;
  for (const auto& [name, value] : row.facts) facts.push_back({{"name", name}, {"value", value}});
  return {{"id", row.id.Hex()},
          {"action", Name(row.action)},
          {"employee", row.account.Hex()},
          {"login", row.login},
          {"display_name", row.display_name},
          {"asker", row.asker_login},
          {"reason", row.reason},
          {"facts", std::move(facts)},
          {"why", row.why},
          {"hash", ToHex(row.hash)},
          {"state", Name(row.state)},
          {"approver", row.approver_login},
          {"answer", row.answer},
          {"created", row.created},
          {"expires", row.expires},
          {"decided", row.decided},
          {"used", row.used},
          {"mine", view.mine},
          {"may_decide", view.may_decide}};
}

void AddApprovalRoutes(Router& router, Services& services) {
  router.Add(Reading("/approvals", Right::kApprovalsRead,
                     [&services](Request& request) {
                       return PageInOrder(
                           services, request, "approvals",
                           services.four_eyes->List(request.session->actor),
                           [](const ApprovalView& view) { return view.row.id.Hex(); });
                     },
                     {"cursor", "limit"}));
  router.Add(Reading(
      "/approvals/{id}", Right::kApprovalsRead,
      WithId<ApprovalId>(services, [](Services& all, Request& request, const ApprovalId& id) {
        return One(all, request, all.four_eyes->Get(request.session->actor, id));
      })));
  for (const bool approve : {true, false}) {
    router.Add(Writing(
        approve ? "/approvals/{id}/approve" : "/approvals/{id}/refuse", Right::kApprovalsWrite,
        Body::kJson,
        Once(services, WithId<ApprovalId>(services, [approve](Services& all, Request& request,
                                                              const ApprovalId& id) {
               return Decide(all, request, id, approve);
             }))));
  }
  router.Add(Writing("/approvals/{id}/withdraw", Right::kApprovalsWrite, Body::kNone,
                     Once(services, WithId<ApprovalId>(services, Withdraw))));
}

}  // namespace keyferry::server
