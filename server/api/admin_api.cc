#include "server/api/admin_api.h"

#include <chrono>
#include <mutex>
#include <optional>

#include "server/api/handlers.h"
#include "server/api/policy_api.h"

namespace keyferry::server {
namespace {

// Whether the directory answers. Anybody may ask, so it is looked up at most every five seconds.
class Health {
 public:
  bool DirectoryAnswers(Services& services, const Request& request) {
    const std::lock_guard lock(mutex_);
    const auto now = services.clock.Now();
    if (!asked_ || now - *asked_ >= std::chrono::seconds(5)) {
      const auto ping = services.directory.Ping();
      if (!ping) services.report(request, ping.error());
      answers_ = ping.has_value();
      asked_ = services.clock.Now();
    }
    return answers_;
  }

 private:
  std::mutex mutex_;
  std::optional<std::chrono::steady_clock::time_point> asked_;
  bool answers_ = false;
};

void AddPublicRoutes(Router& router, Services& services) {
  auto health = std::make_shared<Health>();
  router.Add(Reading("/health", Access::kPublic, [&services, health](Request& request) {
    const bool ok = health->DirectoryAnswers(services, request);
    return Ok({{"status", ok ? "ok" : "degraded"}, {"directory", ok ? "ok" : "unavailable"}});
  }));
  router.Add(Reading("/openapi.json", Access::kPublic,
                     [](Request&) { return Response::Json(std::string(OpenApiDocument())); }));
  router.Add(Reading("/problems/{name}", Access::kPublic, [](Request& request) {
    const ProblemType* const type = FindProblemType(request.captures[0]);
    if (type == nullptr) return NoSuchThing(request);
    return Ok({{"code", type->name}, {"status", type->status}, {"meaning", type->meaning}});
  }));
}

}  // namespace

void AddAdminRoutes(Router& router, Services& services,
                    std::shared_ptr<WorkstationStreams> streams) {
  AddSessionRoutes(router, services);
  AddSignInRoutesOfApi(router, services);
  AddFidoRoutes(router, services);
  AddPeopleRoutes(router, services);
  AddKeyRoutes(router, services);
  AddWorkstationAdminRoutes(router, services,
                            [streams](const WorkstationId& id) { streams->Close(id); });
  if (services.rotation != nullptr) AddPolicyRoutes(router, services);
  AddAuditRoutes(router, services);
  AddTokenRoutes(router, services);
  AddScopeRoutes(router, services);
  if (services.four_eyes != nullptr) AddApprovalRoutes(router, services);
  if (services.alarm != nullptr) AddAlarmRoutes(router, services);
  if (services.webhooks != nullptr) AddWebhookRoutes(router, services);
  if (services.notices != nullptr) AddNoticeRoutes(router, services);
  AddPublicRoutes(router, services);
}

}  // namespace keyferry::server
