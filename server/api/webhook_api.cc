// What other systems are told of the help desk's requests.
#include "server/api/handlers.h"
#include "server/api/once.h"
#include "server/core/webhook.h"

namespace keyferry::server {
namespace {

constexpr std::size_t kWebhooksListed = 1000;

}  // namespace

boost::json::object ToJson(const WebhookRecord& one) {
  return {{"id", one.id.Hex()},          {"place", one.place},       {"ticket", one.ticket},
          {"outcome", one.outcome},      {"state", Name(one.state)}, {"attempts", one.attempts},
          {"created", one.created},      {"next_try", one.next_try}, {"sent", one.sent},
          {"last_error", one.last_error}};
}

void AddWebhookRoutes(Router& router, Services& services) {
  router.Add(Reading("/webhooks", Right::kCheckUpRead,
                     [&services](Request& request) {
                       return PageInOrder(services, request, "webhooks",
                                          services.webhooks->List(kWebhooksListed),
                                          [](const WebhookRecord& one) { return one.id.Hex(); });
                     },
                     {"cursor", "limit"}));
  router.Add(Writing(
      "/webhooks/{id}/retry", Right::kCheckUpWrite, Body::kNone,
      Once(services,
           WithId<WebhookId>(services, [](Services& all, Request& request, const WebhookId& id) {
             return One(all, request, all.webhooks->Retry(request.session->actor, id));
           }))));
}

}  // namespace keyferry::server
