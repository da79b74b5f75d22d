#include "server/app/serve.h"

#include <signal.h>
#include <systemd/sd-daemon.h>

#include <algorithm>
#include <cstdio>
#include <mutex>
#include <optional>

#include "protocol/secure/system_random.h"
#include "server/api/admin_api.h"
#include "server/api/guard.h"
#include "server/api/problem.h"
#include "server/api/workstation_api.h"
#include "server/app/audit.h"
#include "server/app/background.h"
#include "server/app/backup.h"
#include "server/app/change_driver.h"
#include "server/app/doctor.h"
#include "server/app/fido_config.h"
#include "server/app/leased_directory.h"
#include "server/app/log.h"
#include "server/app/node.h"
#include "server/app/open.h"
#include "server/app/security_questions.h"
#include "server/app/single_sign_on.h"
#include "server/app/sms.h"
#include "server/app/state.h"
#include "server/app/upkeep.h"
#include "server/app/web_folder.h"
#include "server/app/webhooks.h"
#include "server/core/agent_alarm.h"
#include "server/core/alarm.h"
#include "server/core/audit_entry.h"
#include "server/core/desk_bound_changes.h"
#include "server/core/fido_keys.h"
#include "server/core/four_eyes.h"
#include "server/core/help_desk.h"
#include "server/core/offer.h"
#include "server/core/services.h"
#include "server/directory/group_members.h"
#include "server/fido/verifier.h"
#include "server/http/listener.h"
#include "server/pages/pages.h"

#ifndef KEYFERRY_VERSION
#error "KEYFERRY_VERSION comes from CMake"
#endif

namespace keyferry::server {
namespace {

constexpr std::chrono::seconds kGrace{8};
constexpr std::chrono::minutes kReconcileEvery{1};
constexpr std::size_t kDrivers =
    4;  // threads for changes at delivery; each waits for the directory
constexpr std::chrono::hours kRenewEvery{1};
constexpr std::chrono::seconds kReadAuditEvery{1};
constexpr std::chrono::seconds kDeliverWebhooksEvery{5};
constexpr std::chrono::seconds kWatchAlarmEvery{2};  // where another server raised it

Result<std::unique_ptr<Catalog>> LoadCatalog(const ServerConfig& config) {
  const bool open_ldap = config.directory.kind == "openldap";
  return Catalog::Load(WebFolder(config), open_ldap ? "OpenLDAP" : "Active Directory",
                       config.own_web_dir);
}

ChangeConfig ChangesOf(const ServerConfig& config) {
  ChangeConfig out;
  out.password_length = static_cast<std::size_t>(config.passwords.length);
  out.allow_typing = config.passwords.allow_typing;
  out.settle_seconds = config.directory.settle_seconds;
  out.history = static_cast<std::size_t>(config.passwords.history);
  out.respect_min_age = config.passwords.minimum_age == "respect";
  out.wait_seconds = config.passwords.wait_days * 86400;
  if (config.self_service.enabled) {
    out.own_per_day = static_cast<std::uint32_t>(config.self_service.passwords_per_day);
  }
  out.shared_store = config.postgres.has_value();
  return out;
}

KeyConfig KeysOf(const ServerConfig& config) {
  KeyConfig out;
  out.pin_min = static_cast<std::uint8_t>(config.keys.pin_min);
  out.pin_tries = static_cast<std::uint8_t>(config.keys.pin_tries);
  out.touch_to_store = config.keys.touch_to_store;
  out.keep_previous = config.keys.keep_previous;
  out.max_offline_days = static_cast<std::uint16_t>(config.keys.max_offline_days);
  out.enrolment_seconds = config.keys.enrolment_minutes * 60;
  out.per_person = static_cast<std::size_t>(config.keys.per_person);
  return out;
}

WorkstationConfig WorkstationsOf(const ServerConfig& config) {
  WorkstationConfig out;
  out.server_version = KEYFERRY_VERSION;
  out.certificate_days = config.workstations.certificate_days;
  out.max_pending = static_cast<std::size_t>(config.workstations.max_pending);
  out.max_per_address_hour = static_cast<std::size_t>(config.workstations.max_per_address_hour);
  return out;
}

HelpDeskConfig HelpDeskOf(const ServerConfig& config) {
  const auto& desk = config.help_desk;
  HelpDeskConfig out;
  out.request_seconds = desk.request_minutes * 60;
  out.attempts = static_cast<std::uint32_t>(desk.attempts);
  out.resets_per_day = static_cast<std::uint32_t>(desk.resets_per_day);
  out.needed_points = static_cast<std::uint32_t>(desk.verification_points);
  out.needed_methods = static_cast<std::uint32_t>(desk.verification_methods);
  for (std::size_t i = 0; i < out.points.size(); ++i) {
    out.points[i] = static_cast<std::uint32_t>(desk.points[i]);
  }
  out.personal_data.clear();
  for (int i = 0; i <= static_cast<int>(kLastPersonalField); ++i) {
    const auto field = static_cast<PersonalField>(i);
    if (std::find(desk.personal_data.begin(), desk.personal_data.end(), Name(field)) !=
        desk.personal_data.end()) {
      out.personal_data.push_back(field);
    }
  }
  out.read_out = desk.read_out;
  out.sms = {config.sms.phone, config.sms.text,
             static_cast<std::uint32_t>(config.sms.per_person_day),
             static_cast<std::uint32_t>(config.sms.per_hour)};
  out.webhooks = config.webhook.targets;
  // Those who work here are privileged themselves.
  out.privileged_groups = desk.privileged_groups;
  for (const auto* groups :
       {&config.directory.administrator_groups, &config.directory.help_desk_groups,
        &config.directory.key_officer_groups, &config.directory.auditor_groups}) {
    out.privileged_groups.insert(out.privileged_groups.end(), groups->begin(), groups->end());
  }
  return out;
}

FourEyesConfig FourEyesOf(const ServerConfig& config) {
  FourEyesConfig out;
  out.on = config.four_eyes.enabled;
  out.privileged_groups = HelpDeskOf(config).privileged_groups;
  out.new_key_seconds = config.four_eyes.new_key_hours * 3600;
  out.life_seconds = config.four_eyes.approval_minutes * 60;
  out.resets_per_hour = static_cast<std::uint32_t>(config.help_desk.resets_per_agent_hour);
  out.roles_of = PeopleOf(config).roles_of;
  return out;
}

std::string UrlOf(const std::string& name, std::uint16_t port) {
  const bool v6 = name.find(':') != std::string::npos;
  return "https://" + (v6 ? "[" + name + "]" : name) + ":" + std::to_string(port);
}

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

// The adapters and services, in the order in which they stand on each other.
class Parts {
 public:
  static Result<std::unique_ptr<Parts>> Open(const ServerConfig& config, Log& log) {
    auto parts = std::unique_ptr<Parts>(new Parts(log));
    if (auto done = parts->Load(config); !done) return tl::unexpected(done.error());
    return parts;
  }

  Store& store() { return *store_; }
  EventBus& bus() { return link_ ? link_->bus() : *bus_; }
  ChangeService& changes() { return *changes_; }
  WorkstationService& workstations() { return *workstations_; }
  const Clock& clock() const { return clock_; }
  Upkeep& upkeep() { return *upkeep_; }
  HelpDeskService& help_desk() { return *help_desk_; }
  WarningService& warnings() { return *warnings_; }
  FourEyes& four_eyes() { return *four_eyes_; }
  AlarmService& alarm() { return *alarm_; }
  Webhooks* webhooks() { return webhooks_.get(); }  // null: none are configured

  // Before the first request.
  Result<void> Bind(const ServerIdentity& identity) {
    return tickets_ ? BindTickets(*tickets_, identity) : Result<void>();
  }

  // Joins the other servers on the database, where there may be some.
  void Join(std::function<void()> orphaned) {
    if (!link_) return;
    link_->Start({offer_, std::move(orphaned), [this](std::string_view line) { log_.Info(line); }});
  }
  void EndUpkeep() { upkeep_.reset(); }
  void Leave() {
    if (link_) link_->Stop();
  }

  Services MakeServices(const ServerConfig& config) {
    Log& log = log_;
    return Services{*sessions_,
                    bound_changes_ ? *bound_changes_ : *changes_,
                    *keys_,
                    *workstations_,
                    *audit_,
                    *directory_,
                    bus(),
                    clock_,
                    KEYFERRY_VERSION,
                    UrlOf(config.names.front(), config.workstation_listen.port),
                    [&log](const Request& request, const Error& error) {
                      log.Warning("request " + request.id + ": " + CodeName(error.code) + ": " +
                                  error.message +
                                  (error.detail.empty() ? "" : " [" + error.detail + "]"));
                    },
                    *check_up_,
                    *tokens_,
                    *journal_,
                    [this, &config] {
                      const std::lock_guard lock(verifying_);
                      return VerifyAuditLog(config, *store_, {});
                    },
                    *people_,
                    &upkeep_->rotation(),
                    upkeep_->activation_mail(),
                    help_desk_.get(),
                    factors_.get(),
                    reports_.get(),
                    audit_filters_.get(),
                    attributes_.get(),
                    warnings_.get(),
                    four_eyes_.get(),
                    alarm_.get(),
                    webhooks_ ? &webhooks_->service() : nullptr,
                    fido_.get(),
                    &upkeep_->notices(),
                    config.self_service.enabled,
                    questions_.get(),
                    config.self_service.enabled && config.self_service.passwords_per_day != 0};
  }

 private:
  explicit Parts(Log& log) : log_(log) {}

  Result<void> Load(const ServerConfig& config) {
    auto self = DescribeNode(config);
    if (!self) return tl::unexpected(self.error());
    auto store = OpenStore(config, config.postgres ? self->id : std::string());
    if (!store) return tl::unexpected(store.error());
    store_ = std::move(*store);
    auto issuer = LoadIssuer(config, clock_.UnixSeconds());
    if (!issuer) return tl::unexpected(issuer.error());
    issuer_ = std::move(*issuer);
    if (auto bound = store_->BindRoot(issuer_->root_pub()); !bound) return bound;
    if (auto kept = CheckAuditKept(config, *store_); !kept) return kept;
    auto ca = LoadAuthority(config);
    if (!ca) return tl::unexpected(ca.error());
    ca_ = std::move(*ca);
    auto attestation = LoadAttestation(config);
    if (!attestation) return tl::unexpected(attestation.error());
    attestation_ = std::move(*attestation);
    auto directory = OpenDirectory(config.directory, kFirstSection);
    if (!directory) return tl::unexpected(directory.error());
    directory_ = std::move(*directory);
    for (const ServerConfig::Source& source : config.sources) {
      auto linked = OpenDirectory(source, kLinkedSection);
      if (!linked) {
        return Fail(linked.error().code,
                    "Password source \"" + source.name + "\": " + linked.error().message,
                    linked.error().detail);
      }
      linked_.push_back(std::move(*linked));
    }
    if (config.postgres) {
      auto link = OpenNodeLink(*config.postgres, *std::move(self), presence_);
      if (!link) return tl::unexpected(link.error());
      link_ = std::move(*link);
      const auto tenure = [&link_held = *link_] { return link_held.Tenure(); };
      directory_ = MakeLeasedDirectory(std::move(directory_), tenure);
      for (auto& linked : linked_) linked = MakeLeasedDirectory(std::move(linked), tenure);
    } else {
      bus_ = MakeEventBus();
    }
    waiter_ = MakeThreadWaiter();
    Log& log = log_;
    std::vector<LinkedSource> sources;
    for (std::size_t i = 0; i < linked_.size(); ++i) {
      sources.push_back(LinkOf(config.sources[i], *linked_[i]));
    }
    auto ldap = LdapConfigOf(config.directory, kFirstSection);
    if (!ldap) return tl::unexpected(ldap.error());
    ldap->connections = 1;
    auto groups = MakeGroupReader(std::move(*ldap));
    if (!groups) return tl::unexpected(groups.error());
    groups_ = *std::move(groups);
    people_ = MakePeopleService(*directory_, *groups_, clock_, PeopleOf(config));
    std::string scopes;
    for (const PeopleScope& scope : config.scopes) {
      scopes += (scopes.empty() ? "" : " | ") + Describe(scope);
    }
    if (auto noticed = store_->Notice(
            "scopes", scopes,
            [&](std::string_view before) {
              return AuditBySystem(clock_, "scopes.change", "configuration", "ok",
                                   "Now: " + (scopes.empty() ? "none" : scopes) + ". Before: " +
                                       (before.empty() ? "none" : std::string(before)));
            });
        !noticed) {
      return noticed;
    }
    CorePorts ports{*store_,
                    *directory_,
                    clock_,
                    OsRandom(),
                    bus(),
                    *issuer_,
                    *ca_,
                    *attestation_,
                    *waiter_,
                    presence_,
                    [&log](std::string_view line) { log.Warning(line); },
                    std::move(sources),
                    people_.get()};
    four_eyes_ = MakeFourEyes(ports, FourEyesOf(config));
    ports.four_eyes = four_eyes_.get();
    offer_ = [ports](const std::vector<DeviceId>& devices) { OfferHere(ports, devices); };
    auto tickets = OpenTickets(config);
    if (!tickets) return tl::unexpected(tickets.error());
    tickets_ = *std::move(tickets);
    sessions_ = MakeSessionService(ports, SessionsOf(config), tickets_.get());
    factors_ = MakeSecondFactor(ports, SessionsOf(config));
    if (auto fido = FidoOf(config)) {
      fido_verifier_ = MakeFidoVerifier();
      fido_ = MakeFidoKeys(ports, SessionsOf(config), *std::move(fido), *fido_verifier_);
    } else if (config.sign_in.fido_keys && config.sign_in.second_factor != "off") {
      log.Info("FIDO2 keys are off: server.names has no DNS name, and they know no other");
    }
    const auto texts = LoadCatalog(config);
    if (!texts) return tl::unexpected(texts.error());
    const QuestionsConfig questions = QuestionsOf(config, **texts);
    if (!questions.offered.empty()) {
      questions_ = MakeSecurityQuestions(ports, *sessions_, questions);
    }
    tokens_ = MakeTokenService({*store_, *directory_, clock_, OsRandom()}, TokensOf(config),
                               SessionsOf(config));
    journal_ = MakeRequestJournal(*store_, clock_);
    changes_ = MakeChangeService(ports, ChangesOf(config));
    keys_ = MakeKeyService(ports, KeysOf(config));
    workstations_ = MakeWorkstationService(ports, WorkstationsOf(config));
    audit_ = MakeAuditService(*store_);
    reports_ = MakeReportService(*store_, clock_);
    if (!config.directory.shown_attributes.empty()) attributes_ = MakeAttributeService(ports);
    audit_filters_ = MakeAuditFilterService(*store_, clock_, OsRandom());
    alarm_ = MakeAlarmService(ports);
    check_up_ = MakeCheckUp(config);
    auto upkeep = Upkeep::Make(config, ports, *changes_, log_);
    if (!upkeep) return tl::unexpected(upkeep.error());
    upkeep_ = std::move(*upkeep);
    auto webhooks = Webhooks::Make(config, *store_, clock_, log_);
    if (!webhooks) return tl::unexpected(webhooks.error());
    webhooks_ = *std::move(webhooks);
    WarningConfig warnings;
    warnings.administrators = config.mail.administrators;
    warnings_ = MakeWarningService(
        {*store_, clock_, OsRandom(), upkeep_->outbox(), upkeep_->templates(), ports.log},
        std::move(warnings));
    const AgentAlarmPorts tell{*groups_, upkeep_->outbox(), upkeep_->templates(), clock_,
                               [&log](std::string_view line) { log.Warning(line); }};
    const auto& administrators = config.directory.administrator_groups;
    four_eyes_->OnLimit(MakeAgentAlarm(tell, administrators, config.mail.administrators));
    if (config.help_desk.required) bound_changes_ = MakeDeskBoundChanges(ports, *changes_);
    HelpDeskConfig desk = HelpDeskOf(config);
    desk.questions = questions;
    auto sms = OpenSmsGateway(config);
    if (!sms) return tl::unexpected(sms.error());
    sms_ = *std::move(sms);
    help_desk_ = MakeHelpDeskService(
        {ports, *changes_, upkeep_->outbox(), upkeep_->templates(),
         MakeDeniedAlarm(tell, administrators, config.mail.administrators), sms_.get()},
        std::move(desk));
    return {};
  }

  Log& log_;
  SystemClock clock_;
  Presence presence_;
  std::unique_ptr<NodeLink> link_;  // with other servers on a PostgreSQL database
  std::function<void(const std::vector<DeviceId>&)> offer_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<Issuer> issuer_;
  std::unique_ptr<CertificateAuthority> ca_;
  std::unique_ptr<AttestationVerifier> attestation_;
  std::unique_ptr<Directory> directory_;
  std::vector<std::unique_ptr<Directory>> linked_;  // of [[source]], in their order
  std::unique_ptr<EventBus> bus_;                   // without a link
  std::unique_ptr<Waiter> waiter_;
  std::unique_ptr<KerberosReader> tickets_;  // null: nobody signs in by a ticket
  std::unique_ptr<SessionService> sessions_;
  std::unique_ptr<SecondFactor> factors_;
  std::unique_ptr<FidoVerifier> fido_verifier_;
  std::unique_ptr<FidoKeys> fido_;
  std::unique_ptr<SecurityQuestions> questions_;  // null: none are asked here
  std::unique_ptr<TokenService> tokens_;
  std::unique_ptr<RequestJournal> journal_;
  std::mutex verifying_;  // one reads the whole audit log at a time
  std::unique_ptr<GroupReader> groups_;
  std::unique_ptr<PeopleService> people_;
  std::unique_ptr<FourEyes> four_eyes_;
  std::unique_ptr<ChangeService> changes_;
  std::unique_ptr<KeyService> keys_;
  std::unique_ptr<WorkstationService> workstations_;
  std::unique_ptr<AuditService> audit_;
  std::unique_ptr<ReportService> reports_;
  std::unique_ptr<AttributeService> attributes_;  // null: none are configured
  std::unique_ptr<AuditFilterService> audit_filters_;
  std::unique_ptr<AlarmService> alarm_;
  std::unique_ptr<CheckUp> check_up_;
  std::unique_ptr<Upkeep> upkeep_;
  std::unique_ptr<Webhooks> webhooks_;
  std::unique_ptr<SmsGateway> sms_;  // null: none is configured
  std::unique_ptr<HelpDeskService> help_desk_;
  std::unique_ptr<WarningService> warnings_;
  std::unique_ptr<ChangeService>
      bound_changes_;  // what pages and API get, where callers are verified
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

  Services services = (*parts)->MakeServices(config);
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
    Background events(kReadAuditEvery, [&reader] { reader.Read(); });
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
    Background reconciler(kReconcileEvery, [&parts] {
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

bool CheckConfig(const ServerConfig& config) {
  bool good = true;
  const auto say = [&good](const char* what, const Error* error, const std::string& fine = {}) {
    if (error == nullptr) {
      std::printf("ok       %s%s\n", what, fine.c_str());
    } else {
      std::printf("problem  %s: %s\n", what, OneLine(error->message).c_str());
      good = false;
    }
  };
  const std::int64_t now = SystemClock().UnixSeconds();
  const auto store = OpenStore(config);
  say("database", store ? nullptr : &store.error());
  const auto issuer = LoadIssuer(config, now);
  say("issuer of the keys", issuer ? nullptr : &issuer.error());
  const auto ca = LoadAuthority(config);
  say("TLS authority", ca ? nullptr : &ca.error());
  const auto signer = LoadAuditSigner(config);
  say("audit key", signer ? nullptr : &signer.error());
  const auto attestation = LoadAttestation(config);
  say("CA of the keys' makers", attestation ? nullptr : &attestation.error());
  if (!config.single_sign_on.keytab.empty()) {
    const auto tickets = OpenTickets(config);
    say("keytab of sign-in with Windows", tickets ? nullptr : &tickets.error());
  }
  const auto catalog = LoadCatalog(config);
  const Error* own = catalog && (*catalog)->problem() ? &*(*catalog)->problem() : nullptr;
  say("pages", catalog ? own : &catalog.error());
  const auto ask = [&say](const ServerConfig::Ldap& settings, const char* section,
                          const std::string& what) {
    auto directory = OpenDirectory(settings, section);
    say((what + " settings").c_str(), directory ? nullptr : &directory.error());
    if (!directory) return;
    const auto ping = (*directory)->Ping();
    say((what + " answers").c_str(), ping ? nullptr : &ping.error());
  };
  ask(config.directory, kFirstSection, "directory");
  for (const ServerConfig::Source& source : config.sources) {
    ask(source, kLinkedSection, "password source \"" + source.name + "\"");
  }
  return good;
}

}  // namespace keyferry::server
