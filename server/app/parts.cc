#include "server/app/parts.h"

#include <mutex>
#include <optional>
#include <utility>

#include "protocol/secure/system_random.h"
#include "server/api/problem.h"
#include "server/app/audit.h"
#include "server/app/backup.h"
#include "server/app/doctor.h"
#include "server/app/fido_config.h"
#include "server/app/host_names.h"
#include "server/app/leased_directory.h"
#include "server/app/node.h"
#include "server/app/open.h"
#include "server/app/security_questions.h"
#include "server/app/settings.h"
#include "server/app/single_sign_on.h"
#include "server/app/sms.h"
#include "server/core/account_steps.h"
#include "server/core/agent_alarm.h"
#include "server/core/audit_entry.h"
#include "server/core/desk_bound_changes.h"
#include "server/core/fido_keys.h"
#include "server/core/offer.h"
#include "server/directory/group_members.h"
#include "server/fido/verifier.h"
#include "server/pages/catalog.h"

namespace keyferry::server {
namespace {

class OpenParts : public Parts {
 public:
  OpenParts(const ServerConfig& config, Log& log) : config_(config), log_(log) {}

  Store& store() override { return *store_; }
  EventBus& bus() override { return link_ ? link_->bus() : *bus_; }
  ChangeService& changes() override { return *changes_; }
  WorkstationService& workstations() override { return *workstations_; }
  const Clock& clock() const override { return clock_; }
  Upkeep& upkeep() override { return *upkeep_; }
  HelpDeskService& help_desk() override { return *help_desk_; }
  WarningService& warnings() override { return *warnings_; }
  FourEyes& four_eyes() override { return *four_eyes_; }
  AlarmService& alarm() override { return *alarm_; }
  Webhooks* webhooks() override { return webhooks_.get(); }

  Result<void> Bind(const ServerIdentity& identity) override {
    return tickets_ ? BindTickets(*tickets_, identity) : Result<void>();
  }

  void Join(std::function<void()> orphaned) override {
    if (!link_) return;
    link_->Start({offer_, std::move(orphaned), [this](std::string_view line) { log_.Info(line); }});
  }
  void EndUpkeep() override { upkeep_.reset(); }
  void Leave() override {
    if (link_) link_->Stop();
  }

  Services MakeServices() override {
    Log& log = log_;
    const ServerConfig& config = config_;
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
                    [this] {
                      const std::lock_guard lock(verifying_);
                      return VerifyAuditLog(config_, *store_, {});
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
                    config.self_service.enabled && config.self_service.passwords_per_day != 0,
                    account_steps_.get()};
  }

  // Once, first.
  Result<void> Load() {
    const ServerConfig& config = config_;
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
    account_steps_ = MakeAccountSteps(ports);
    alarm_ = MakeAlarmService(ports);
    check_up_ = MakeCheckUp(config);
    auto sms = OpenSmsGateway(config);
    if (!sms) return tl::unexpected(sms.error());
    sms_ = *std::move(sms);
    auto upkeep = Upkeep::Make(config, ports, *changes_, sms_.get(), log_);
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
    help_desk_ = MakeHelpDeskService(
        {ports, *changes_, upkeep_->outbox(), upkeep_->templates(),
         MakeDeniedAlarm(tell, administrators, config.mail.administrators), sms_.get()},
        std::move(desk));
    return {};
  }

 private:
  const ServerConfig& config_;
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
  std::unique_ptr<AccountSteps> account_steps_;
  std::unique_ptr<AlarmService> alarm_;
  std::unique_ptr<CheckUp> check_up_;
  std::unique_ptr<SmsGateway> sms_;  // null: none is configured
  std::unique_ptr<Upkeep> upkeep_;
  std::unique_ptr<Webhooks> webhooks_;
  std::unique_ptr<HelpDeskService> help_desk_;
  std::unique_ptr<WarningService> warnings_;
  std::unique_ptr<ChangeService>
      bound_changes_;  // what pages and API get, where callers are verified
};

}  // namespace

Result<std::unique_ptr<Parts>> Parts::Open(const ServerConfig& config, Log& log) {
  auto parts = std::make_unique<OpenParts>(config, log);
  if (auto done = parts->Load(); !done) return tl::unexpected(done.error());
  return parts;
}

}  // namespace keyferry::server
