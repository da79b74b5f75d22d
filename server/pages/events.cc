#include <vector>

#include "server/pages/frame.h"

namespace keyferry::server {
namespace {

using Subscriptions = std::vector<std::unique_ptr<EventBus::Subscription>>;

// A stream that only ever says "look again": what there is to see comes with the page itself, under
// the session's rights.
Response Follow(const PageContext& context, std::vector<std::string> topics) {
  topics.emplace_back("alarm");  // its banner stands on every page
  EventBus& bus = context.services.bus;
  return Response::Events([&bus, topics](std::shared_ptr<EventStream> stream) {
    auto subscriptions = std::make_shared<Subscriptions>();
    for (const std::string& topic : topics) {
      subscriptions->push_back(
          bus.Subscribe(topic, [stream](const BusEvent&) { stream->Send("change", "{}"); }));
    }
    stream->OnClosed([subscriptions] { subscriptions->clear(); });
  });
}

}  // namespace

void AddEventRoutes(Router& router, const PageContext& context) {
  router.Add({Method::kGet, "/events/accounts/{id}", Right::kChangesRead,
              PageWithId<AccountId>(
                  context, [](const PageContext& page, Request& request, const AccountId& id) {
                    const auto seen =
                        page.services.people.Check(request.session->actor, Right::kChangesRead, id);
                    if (!seen) return ShowNotFound(page, request);
                    return Follow(page, {"account/" + id.Hex(), "keys"});
                  })});
  if (context.services.four_eyes != nullptr) {
    router.Add({Method::kGet, "/events/approvals", Right::kApprovalsRead,
                [context](Request&) { return Follow(context, {"approvals"}); }});
  }
  router.Add({Method::kGet, "/events/keys", Right::kKeysRead, [context](Request&) {
                return Follow(context, {"keys", "jobs"});
              }});
  if (context.services.reports != nullptr) {
    // Every step of a change or of a help desk request is told as one of "jobs".
    router.Add({Method::kGet, "/events/reports", Right::kReportsRead, [context](Request&) {
                  return Follow(context, {"jobs", "keys", "workstations"});
                }});
  }
  if (context.services.alarm != nullptr) {
    router.Add({Method::kGet, "/events/alarm", Right::kAlarmRead,
                [context](Request&) { return Follow(context, {"workstations"}); }});
  }
  router.Add({Method::kGet, "/events/workstations", Right::kWorkstationsRead, [context](Request&) {
                return Follow(context, {"workstations", "keys"});
              }});
}

}  // namespace keyferry::server
