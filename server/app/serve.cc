#include "server/app/serve.h"

#include <signal.h>
#include <systemd/sd-daemon.h>

#include <algorithm>
#include <cstdio>
#include <optional>

#include "server/api/admin_api.h"
#include "server/api/guard.h"
#include "server/api/problem.h"
#include "server/api/workstation_api.h"
#include "server/app/audit.h"
#include "server/app/background.h"
#include "server/app/change_driver.h"
#include "server/app/host_names.h"
#include "server/app/log.h"
#include "server/app/open.h"
#include "server/app/parts.h"
#include "server/app/state.h"
#include "server/http/listener.h"
#include "server/pages/pages.h"

namespace keyferry::server {
namespace {

constexpr std::chrono::seconds kGrace{8};
constexpr std::chrono::seconds kReconcileEvery{60};
// Threads for changes at delivery; each waits for the directory.
constexpr std::size_t kDrivers = 4;
constexpr std::chrono::hours kRenewEvery{1};
constexpr std::chrono::seconds kReadAuditEvery{1};
constexpr std::chrono::milliseconds kGatherAudit{20};
constexpr std::chrono::seconds kDeliverWebhooksEvery{5};
constexpr std::chrono::seconds kWatchAlarmEvery{2};  // where another server raised it

std::string AccessLine(const AccessRecord& record) {
  if (record.method.empty()) {
    return record.listener + " " + record.address + " " + record.detail;
  }
  std::string line = record.listener + " " + record.address + " " + record.method + " " +
                     record.path + " " + std::to_string(record.status) + " " +
                     std::to_string(record.millis) + " ms id=" + record.id;
  if (!record.login.empty()) line += " by " + record.login;
  if (!record.workstation.empty()) line += " by workstation " + record.workstation;
  return line;
}

// The audit log as a readable stream: what is told here has happened, durably.
class AuditReader {
 public:
  AuditReader(Store& store, Log& log) : store_(store), log_(log) {
    if (const auto head = store_.AuditHead()) last_ = head->number;
  }

  void Read() {
    for (;;) {
      const auto rows = store_.AuditAfter(last_, 100);
      if (!rows || rows->empty()) return;
      for (const AuditStore::Row& row : *rows) {
        last_ = row.number;
        const AuditEntry& entry = row.entry;
        std::string line = "event " + entry.action;
        if (!entry.target.empty()) line += " " + entry.target;
        if (!entry.actor.empty()) line += " by " + entry.actor;
        if (!entry.address.empty()) line += " from " + entry.address;
        line += ": " + entry.outcome;
        if (!entry.detail.empty()) line += " – " + entry.detail;
        log_.Info(line);
      }
    }
  }

 private:
  Store& store_;
  Log& log_;
  std::uint64_t last_ = 0;
};

std::shared_ptr<Router> MakeRouter(Services& services, const Catalog& catalog) {
  auto router = std::make_shared<Router>();
  const auto page = MakeErrorPage(services, catalog);
  const auto guard = std::make_shared<Guard>(services, page, MakeStepUpPage(services, catalog));
  router->SetErrorPage(page);
  router->SetGuard(
      [guard](Request& request, const Route& route) { return guard->Check(request, route); });
  return router;
}

ListenerOptions ListenerOf(const ServerConfig& config, const char* name,
                           const ServerConfig::Endpoint& endpoint, const ServerIdentity& identity) {
  ListenerOptions options;
  options.name = name;
  options.address = endpoint.address;
  options.port = endpoint.port;
  options.tls.certificate_pem = identity.certificate_pem;
  options.tls.private_key_pem = identity.key_pem.Clone();
  for (const std::string& host : config.names) {
    options.hosts.push_back(host.find(':') != std::string::npos ? "[" + host + "]" : host);
  }
  options.limits.connections = static_cast<std::size_t>(config.max_connections);
  options.limits.connections_per_address =
      static_cast<std::size_t>(config.max_connections_per_address);
  return options;
}

// Until SIGINT or SIGTERM; SIGHUP reads the pages anew.
void WaitForEnd(Catalog& catalog, Log& log) {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals, signal);
  for (;;) {
    int signal = 0;
    if (sigwait(&signals, &signal) != 0) continue;
    if (signal != SIGHUP) return;
    if (const auto read = catalog.Reload(); !read) {
      log.Problem("The pages stay as they were: " + read.error().message);
    } else {
      log.Info("read the pages anew");
    }
  }
}

}  // namespace

Result<void> Serve(const ServerConfig& config) {
  auto opened_log = Log::Open(config);
  if (!opened_log) return tl::unexpected(opened_log.error());
  Log& log = **opened_log;
  const auto failed = [&log](const Error& error) {
    log.Problem(error.message + (error.detail.empty() ? "" : " [" + error.detail + "]"));
    return tl::unexpected<Error>(error);
  };

  auto parts = Parts::Open(config, log);
  if (!parts) return failed(parts.error());
  auto catalog = LoadCatalog(config);
  if (!catalog) return failed(catalog.error());
  if (const auto& problem = (*catalog)->problem()) {
    log.Problem("The pages are shown as shipped: " + problem->message);
  }
  auto identity = LoadIdentity(config, SystemClock().UnixSeconds());
  if (!identity) return failed(identity.error());
  if (identity->renewed) log.Info("made a new server certificate");
  if (auto bound = (*parts)->Bind(*identity); !bound) return failed(bound.error());

  Services services = (*parts)->MakeServices();
  const auto streams = std::make_shared<WorkstationStreams>();
  const auto pages = MakeRouter(services, **catalog);
  AddEnrolmentRoutes(*pages, services);
  AddAdminRoutes(*pages, services, streams);
  AddPageRoutes(*pages, services, **catalog, streams);
  const auto work = MakeRouter(services, **catalog);
  AddWorkstationRoutes(*work, services, streams);

  HttpServerOptions http;
  http.workers = static_cast<std::size_t>(config.workers);
  http.log = [&log](const AccessRecord& record) {
    if (record.status >= 500) {
      log.Warning(AccessLine(record));
    } else {
      log.Debug(AccessLine(record));
    }
  };
  const auto server = HttpServer::Create(std::move(http));
  auto page_port = server->Listen(ListenerOf(config, "pages", config.listen, *identity), pages);
  if (!page_port) return failed(page_port.error());
  ListenerOptions options =
      ListenerOf(config, "workstations", config.workstation_listen, *identity);
  options.tls.client_ca_pem = identity->ca_pem;
  auto work_port = server->Listen(std::move(options), work);
  if (!work_port) return failed(work_port.error());
  identity->key_pem.Clear();

  {
    AuditReader reader((*parts)->store(), log);
    Background events(
        kReadAuditEvery, [&reader] { reader.Read(); }, kGatherAudit);
    Background alarm(kWatchAlarmEvery, [&parts] { (*parts)->alarm().Watch(); });
    std::vector<std::unique_ptr<EventBus::Subscription>> nudges;
    for (const char* topic : {"jobs", "keys", "workstations"}) {
      nudges.push_back(
          (*parts)->bus().Subscribe(topic, [&events](const BusEvent&) { events.Nudge(); }));
    }
    nudges.push_back(
        (*parts)->bus().Subscribe("alarm", [&alarm](const BusEvent&) { alarm.Nudge(); }));
    std::optional<Background> webhooks;
    if ((*parts)->webhooks() != nullptr) {
      webhooks.emplace(kDeliverWebhooksEvery, [&parts] { (*parts)->webhooks()->Tick(); });
    }
    ChangeDriver driver((*parts)->bus(), kDrivers, [&parts](const AccountId& account) {
      (*parts)->changes().Proceed(account);
    });
    auto keeping = AuditKeeping::Start(config, (*parts)->store(), (*parts)->clock(), log);
    if (!keeping) return failed(keeping.error());
    Background renewals(kRenewEvery, [&parts] { (*parts)->workstations().RenewDue(); });
    // What may be settled after a shorter time is looked at as soon.
    const std::chrono::seconds settle(config.directory.settle_seconds);
    Background reconciler(std::min(kReconcileEvery, settle), [&parts] {
      (*parts)->changes().Reconcile();
      (*parts)->help_desk().CloseOverdue();
      (*parts)->warnings().Tick();
      (*parts)->four_eyes().CloseOverdue();
    });
    (*parts)->Join([&reconciler] { reconciler.Nudge(); });
    const std::string origin = UrlOf(config.names.front(), *page_port);
    (*parts)->help_desk().SetUrl(origin);
    (*parts)->upkeep().Start(origin);
    server->Start();
    const std::string url = origin + "/";
    log.Info("ready: pages at " + url + ", workstations at " + services.daemon_url);
    std::printf("ready %s\n", url.c_str());
    std::fflush(stdout);
    sd_notify(0, "READY=1");
    WaitForEnd(**catalog, log);
    sd_notify(0, "STOPPING=1");
    log.Info("ending");
    server->Stop(kGrace);
    (*parts)->EndUpkeep();
    (*parts)->Leave();
  }
  log.Info("ended");
  return {};
}

}  // namespace keyferry::server
