#pragma once

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "server/api/admin_api.h"
#include "server/api/guard.h"
#include "server/api/services.h"
#include "server/api/workstation_api.h"
#include "server/core/account_steps.h"
#include "server/core/alarm.h"
#include "server/core/fido_keys.h"
#include "server/core/four_eyes.h"
#include "server/core/help_desk.h"
#include "server/core/notices.h"
#include "server/core/security_questions.h"
#include "server/core/webhook.h"
#include "server/http/router.h"
#include "server/pages/pages.h"

// Services that answer from memory, for the tests of API and pages and for the preview of the
// pages. Plain data: tests set what the services say and read what they were asked.
namespace keyferry::server::fake {

template <typename Id>
Id MakeId(std::uint8_t fill) {
  Id id;
  id.bytes.fill(fill);
  return id;
}

struct FakeSessions final : SessionService {
  Result<SignedIn> SignIn(std::string_view name, const SecureBytes& password,
                          std::string_view address, std::string_view browser) override;
  Result<Session> FindIncomplete(std::string_view token, std::string_view address) override;
  Result<std::vector<Session>> List() override;
  Result<std::vector<Session>> Of(const AccountId& account) override;
  Result<void> ProvePassword(const Session& session, const SecureBytes& password) override;
  Result<void> End(const Actor& actor, const SessionId& id) override;
  Result<std::size_t> EndOthers(const Actor& actor, const SessionId& kept) override;
  Result<std::size_t> EndAll(const Actor& actor, const AccountId& account) override;
  Result<Session> Find(std::string_view token, std::string_view address) override;
  void SignOut(std::string_view token) override;
  bool TakesTickets() const override { return takes_tickets; }
  // Knows one ticket, kTicket.
  Result<SignedInByTicket> SignInByTicket(std::span<const std::uint8_t> token,
                                          std::string_view address,
                                          std::string_view browser) override;
  static constexpr char kTicket[] = "ticket";
  bool takes_tickets = true;
  std::map<std::string, Session, std::less<>> sessions;  // by token
  std::optional<Error> sign_in_error;
  int sign_ins = 0;
  bool incomplete = false;  // sessions still owe their second factor
  std::vector<std::string> calls;
};

// Knows one code, kCode.
struct FakeSecondFactor final : SecondFactor {
  explicit FakeSecondFactor(FakeSessions& known) : sessions(known) {}
  Result<FactorProposal> Propose(const Session& session) override;
  Result<FactorConfirmed> Confirm(std::string_view token, const Session& session,
                                  const SecureBytes& first, const SecureBytes& second) override;
  Result<SignedIn> Prove(std::string_view token, const Session& session,
                         const SecureBytes& code) override;
  bool NeedsStepUp(const Session&) override { return stale; }
  Result<std::vector<FactorView>> List() override { return factors; }
  Result<std::optional<FactorView>> Of(const AccountId& account) override;
  bool On() const override { return on; }
  Result<std::vector<SecureBytes>> NewRecovery(const Session& session) override;
  Result<void> Reset(const Actor& actor, const AccountId& account) override;
  static constexpr char kCode[] = "135790";
  static constexpr char kSecret[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  static constexpr char kRecovery[] = "abcd-efgh-ijkl-mnop";
  FakeSessions& sessions;
  bool stale = false, on = true;
  std::optional<Error> reset_error;
  std::vector<FactorView> factors;
  std::vector<std::string> calls;
};

// Knows one answer, kAnswer, and one key.
struct FakeFidoKeys final : FidoKeys {
  explicit FakeFidoKeys(FakeSecondFactor& known) : factors(known) {}
  Result<std::vector<FidoKeyView>> Of(const AccountId&) override { return keys; }
  Result<FidoCeremony> BeginNew(std::string_view token, const Session& session) override;
  Result<FidoKeyAccepted> Add(std::string_view token, const Session& session,
                              const FidoKeyOffer& offer) override;
  Result<FidoCeremony> BeginProof(std::string_view token, const Session& session) override;
  Result<SignedIn> Prove(std::string_view token, const Session& session,
                         std::string_view answer) override;
  Result<void> Rename(const Actor& actor, const FidoKeyId& id, std::string_view name) override;
  Result<void> Remove(const Actor& actor, const FidoKeyId& id) override;
  static constexpr char kAnswer[] = "aWQ.Y2xpZW50.ZGF0YQ.c2ln.";
  FakeSecondFactor& factors;
  std::vector<FidoKeyView> keys{{MakeId<FidoKeyId>(0xF0), "blue", 1'700'000'000'000, 0, 0}};
  std::optional<Error> error;
  std::vector<std::string> calls;
};

struct FakeDirectory final : Directory {
  Result<PersonPage> Search(std::string_view query, std::size_t limit,
                            std::string_view cursor) override;
  Result<PersonPage> List(const PeopleQuery& query) override;
  PeopleState state = PeopleState::kAny;  // that was asked for last
  PeopleOrder order = PeopleOrder::kName;
  Result<PersonDetail> Get(const AccountId& id) override;
  Result<SignInFacts> SignIn(std::string_view, const SecureBytes&) override;
  Result<ChangeTarget> Pin(const AccountId&, const AccountId&) override;
  Result<void> SetPassword(const ChangeTarget&, const AccountId&, const SecureBytes&,
                           SetOptions) override;
  Result<PasswordStamp> Stamp(const ChangeTarget&, const AccountId&) override;
  Result<BindOutcome> TryPassword(const ChangeTarget&, const AccountId&,
                                  const SecureBytes&) override;
  Result<std::vector<std::string>> GroupsOf(const AccountId& id) override {
    const auto found = Get(id);
    if (!found) return tl::unexpected(found.error());
    return std::vector<std::string>{};
  }
  std::string CursorAfter(const Person&, PeopleOrder) override { return "cursor&2"; }
  Result<void> Unlock(const AccountId&, const AccountId&) override { return {}; }
  Result<void> RequireChange(const AccountId&, const AccountId&, bool) override { return {}; }
  Result<void> Ping() override;
  std::vector<PersonDetail> people;
  std::optional<Error> down;
  std::atomic<int> pings{0};
};

struct FakeChanges final : ChangeService {
  Result<Preflight> Check(const Actor& actor, const AccountId& account) override;
  std::vector<SourceChoice> Sources() override { return preflight.sources; }
  Result<ChangeView> Start(const Actor& actor, ChangeRequest request) override;
  Result<std::vector<ChangeView>> History(const AccountId& account, std::size_t limit) override;
  Result<ChangeView> Get(const ChangeId& id) override;
  void Proceed(const AccountId&) override {}
  void Reconcile() override {}
  Preflight preflight;
  std::map<AccountId, std::vector<ChangeView>> history;
  std::optional<Error> start_error;
  struct Started {
    std::string actor, reason, key, typed;
    bool generate = false;
    ChangeMode mode = ChangeMode::kNow;
    std::optional<std::vector<std::string>> sources;
  };
  std::vector<Started> started;
};

struct FakeKeys final : KeyService {
  Result<std::vector<KeyView>> List() override { return keys; }
  Result<std::vector<KeyView>> Page(const KeyFilter& filter) override;
  Result<std::vector<KeyView>> OfAccount(const AccountId& account) override;
  Result<std::vector<NewKeyView>> Unassigned() override { return unassigned; }
  Result<KeyView> Get(const DeviceId& device) override;
  Result<KeyView> Step(const Actor& actor, const DeviceId& device, KeyStep step,
                       std::string_view reason) override;
  Result<EnrolmentStarted> BeginEnrolment(const Actor&, const AccountId&, const DeviceId&,
                                          const WorkstationId&,
                                          const std::optional<DeviceId>& replaces) override;
  Result<EnrolmentView> Enrolment(const EnrolmentId& id) override;
  Result<EnrolmentView> ClearEnrolment(const Actor& actor, const EnrolmentId& id,
                                       std::string_view reason) override;
  Result<std::vector<std::uint8_t>> AcceptStatement(const WorkstationId&, const EnrolmentId&,
                                                    std::span<const std::uint8_t>,
                                                    std::span<const std::uint8_t>) override;
  Result<ReceiptVerdict> FinishEnrolment(const WorkstationId&, const EnrolmentId&,
                                         std::span<const std::uint8_t>) override;
  Result<void> EnrolmentProblem(const WorkstationId&, const EnrolmentId&, std::string_view,
                                std::string_view) override;
  Result<ReceiptVerdict> AcceptReceipt(const WorkstationId&, const DeviceId&,
                                       std::span<const std::uint8_t>) override;
  Result<void> Used(const WorkstationId&, const DeviceId&, std::uint64_t seq) override;
  std::vector<KeyView> keys;
  std::vector<NewKeyView> unassigned;
  EnrolmentView enrolment;
  std::optional<Error> clear_error, step_error;
  std::vector<std::string> calls;
};

struct FakeWorkstations final : WorkstationService {
  Result<std::vector<WorkstationView>> List() override { return workstations; }
  Result<std::vector<WorkstationView>> Page(const WorkstationFilter& filter) override;
  Result<WorkstationRegistered> Register(const WorkstationRequest& request) override;
  Result<WorkstationEnrolment> Enrolment(const WorkstationId&, std::string_view token) override;
  Result<void> Approve(const Actor&, const WorkstationId& id) override;
  Result<void> Revoke(const Actor&, const WorkstationId& id) override;
  Result<std::array<std::uint8_t, 32>> LoginChallenge(
      const WorkstationId&, const std::array<std::uint8_t, 32>& login_noise_pub) override;
  Result<std::vector<std::uint8_t>> CertifyLogin(
      const WorkstationId&, const std::array<std::uint8_t, 32>& login_noise_pub,
      const std::array<std::uint8_t, 32>& challenge,
      const std::array<std::uint8_t, 32>& proof) override;
  Result<void> AllowLogin(const Actor&, const WorkstationId& id) override;
  Result<WorkstationId> Authenticate(const std::array<std::uint8_t, 32>&) override;
  Result<std::vector<WorkstationMatch>> Matches(const Actor&) override;
  Result<std::vector<WorkstationDecision>> ApproveMatching(
      const Actor&, std::span<const WorkstationId> ids) override;
  Result<std::vector<WorkstationEvent>> Connected(const WorkstationId& id,
                                                  const WorkstationGreeting& greeting) override;
  void RenewDue() override {}
  Result<std::string> RenewCertificate(const WorkstationId&, std::string_view csr) override;
  void Disconnected(const WorkstationId& id) override;
  Result<void> SeenKeys(const WorkstationId&, std::span<const SeenKey> keys) override;
  Result<void> Spooled(const WorkstationId&, const JobId& job) override;
  Result<void> JobProblem(const WorkstationId&, const JobId&, std::string_view code,
                          std::string_view message) override;
  std::vector<WorkstationView> workstations;
  std::vector<WorkstationGreeting> greetings;
  WorkstationId refused{};              // by ApproveMatching
  std::optional<WorkstationId> caller;  // whose certificate every certificate is
  std::vector<std::string> calls;
  std::vector<WorkstationRequest> registered;
};

struct FakeTokens final : TokenService {
  Result<std::vector<TokenView>> List() override { return tokens; }
  Result<TokenView> Get(const TokenId& id) override;
  Result<TokenIssued> Create(const Actor& actor, const TokenRequest& request) override;
  Result<TokenView> Revoke(const Actor& actor, const TokenId& id) override;
  // Looks at `scopes`, `roles` and `verdict` for kSecret; kUnknown for anything else.
  Result<TokenVerdict> Judge(std::string_view secret, std::string_view scope, std::string_view what,
                             std::string_view address) override;
  static constexpr char kSecret[] = "kft_0123456789012345678901234567890123456789abc";
  std::vector<TokenView> tokens;
  std::vector<std::string> scopes;
  Roles roles = Role::kAdministrator;
  TokenVerdict::Kind verdict = TokenVerdict::kAllowed;
  std::vector<std::string> calls;
};

struct FakeAlarm final : AlarmService {
  Result<AlarmView> Get() override;
  Result<std::vector<AlarmRecord>> History(std::size_t) override { return former; }
  Result<AlarmView> Raise(const Actor& actor, std::string_view reason) override;
  Result<AlarmView> AgreeToEnd(const Actor& actor, std::uint64_t number,
                               std::uint64_t version) override;
  Result<AlarmView> Keep(const Actor& actor, std::uint64_t number, std::uint64_t version) override;
  void Watch() override {}
  AlarmView view;
  std::vector<AlarmRecord> former;
  std::optional<Error> error;  // of every step
  std::vector<std::string> calls;

 private:
  Result<AlarmView> Step(const std::string& what, const Actor& actor);
};

struct FakeJournal final : RequestJournal {
  Result<Begun> Begin(std::string_view principal, std::string_view key,
                      const Hash32& request) override;
  Result<void> Finish(std::string_view principal, std::string_view key,
                      const StoredAnswer& answer) override;
  Result<void> Forget(std::string_view principal, std::string_view key) override;
  std::map<std::pair<std::string, std::string>, std::pair<Hash32, StoredAnswer>> kept;
};

struct FakeRotation final : RotationService {
  Result<std::vector<RotationPolicy>> List() override { return policies; }
  Result<RotationPolicy> Put(const Actor& actor, RotationPolicy policy) override;
  Result<void> Remove(const Actor& actor, const PolicyId& id) override;
  Result<RotationPreview> Preview(const Actor& actor, const RotationPolicy& policy) override;
  void Tick() override {}
  std::vector<RotationPolicy> policies;
  RotationPreview preview;
  std::vector<std::string> calls;
};

struct FakeGroups final : GroupReader {
  Result<GroupMembers> Members(std::string_view group_dn, std::size_t limit) override;
  std::map<std::string, std::vector<AccountId>, std::less<>> groups;
};

struct FakeActivationMail final : ActivationMail {
  Result<std::string> Send(const Actor& actor, const AccountId& account,
                           std::string_view code) override;
  std::optional<Error> refused;
  std::vector<std::string> calls;
};

struct FakeHelpDesk final : HelpDeskService {
  Result<HelpDeskRequest> Open(const Actor& actor, const HelpDeskOpening& opening) override;
  Result<HelpDeskView> Get(const Actor& actor, const HelpDeskId& id) override;
  Result<std::vector<HelpDeskRequest>> Mine(const Actor& actor) override;
  Result<void> Choose(const Actor& actor, const HelpDeskId& id, std::uint64_t version,
                      HelpDeskProcess process) override;
  Result<void> SendCode(const Actor& actor, const HelpDeskId& id, std::uint64_t version) override;
  Result<void> AskForTouch(const Actor& actor, const HelpDeskId& id,
                           std::uint64_t version) override {
    return Step("touch", actor, id, version);
  }
  Result<KeyTouchVerdict> AnswerTouch(
      const WorkstationId&, const HelpDeskId&,
      const std::optional<std::vector<std::uint8_t>>& assertion) override {
    calls.push_back("answer " + (assertion ? std::to_string(assertion->size()) : "denied"));
    if (error) return tl::unexpected(*error);
    return KeyTouchVerdict{assertion && right, assertion && !right ? "Another number." : ""};
  }
  Result<void> SendSms(const Actor& actor, const HelpDeskId& id, std::uint64_t version) override {
    return Step("sms", actor, id, version);
  }
  Result<void> AskManager(const Actor& actor, const HelpDeskId& id,
                          std::uint64_t version) override {
    return Step("manager", actor, id, version);
  }
  Result<ShownPersonalData> ShowPersonalData(const Actor& actor, const HelpDeskId& id,
                                             std::uint64_t version) override {
    if (auto done = Step("show", actor, id, version); !done) {
      return tl::unexpected(std::move(done.error()));
    }
    return ShownPersonalData{{{PersonalField::kEmployeeId, "E <4711>"}}, version + 1};
  }
  Result<ManagerQuestion> LookAtManager(std::string_view token) override {
    if (error) return tl::unexpected(*error);
    if (token != kToken || link_used) {
      return Fail(ErrorCode::kNotFound, "This link is not good, or not any more.");
    }
    return ManagerQuestion{view.request, "Henry Desk (henry.desk)", view.request.expires};
  }
  Result<ManagerVerdict> AnswerAsManager(std::string_view token, bool knows,
                                         std::string_view number,
                                         std::string_view address) override {
    if (const auto asked = LookAtManager(token); !asked) return tl::unexpected(asked.error());
    if (knows && number.empty()) {
      return Fail(ErrorCode::kInvalidArgument, "The number has six digits.");
    }
    calls.push_back(std::string(knows ? "known " : "unknown ") + std::string(number) + " from " +
                    std::string(address));
    link_used = true;
    if (!knows) return ManagerVerdict::kDenied;
    return right ? ManagerVerdict::kTaken : ManagerVerdict::kWrongNumber;
  }
  void SetUrl(std::string) override {}
  Result<bool> Verify(const Actor& actor, const HelpDeskId& id, std::uint64_t version,
                      HelpDeskAnswer answer) override;
  Result<SecureBytes> Act(const Actor& actor, const HelpDeskId& id, std::uint64_t version) override;
  Result<void> MailInstructions(const Actor& actor, const HelpDeskId& id,
                                std::uint64_t version) override;
  Result<void> Confirm(const Actor& actor, const HelpDeskId& id, std::uint64_t version) override;
  Result<void> Cancel(const Actor& actor, const HelpDeskId& id, std::uint64_t version) override;
  void CloseOverdue() override {}
  // Of the one link that there is, until it is used.
  static constexpr char kToken[] =
      "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj9AQUJDREVGR0hJSktMTU5P";
  bool link_used = false;
  HelpDeskView view;     // of the one request that there is
  bool right = true;     // what Verify says
  std::string read_out;  // what Act gives
  std::optional<Error> error;
  std::vector<std::string> calls;

 private:
  Result<void> Step(const char* name, const Actor& actor, const HelpDeskId& id,
                    std::uint64_t version);
};

// Knows the approvals that tests give it; looks at nobody's roles.
struct FakeFourEyes final : FourEyes {
  Result<Precondition> Clear(const Actor&, const GuardedAsk&) override { return Precondition(); }
  Result<std::string> Why(const Actor&, GuardedAction, const PersonDetail&) override {
    return std::string();
  }
  void Limited(const Actor&, std::string_view) override {}
  void OnLimit(std::function<void(const Actor&, std::uint32_t)>) override {}
  Result<std::vector<ApprovalView>> List(const Actor& actor) override;
  Result<ApprovalView> Get(const Actor& actor, const ApprovalId& id) override;
  Result<void> Decide(const Actor& actor, const ApprovalId& id, const Hash32& hash, bool approve,
                      std::string_view answer) override;
  Result<void> Withdraw(const Actor& actor, const ApprovalId& id) override;
  void CloseOverdue() override {}
  std::vector<Approval> approvals;
  std::optional<Error> error;
  std::vector<std::string> calls;
};

struct FakeAudit final : AuditService {
  Result<std::vector<AuditView>> List(std::uint64_t before, std::size_t limit) override;
  Result<AuditPage> Search(const AuditFilter& filter, std::uint64_t before,
                           std::size_t limit) override;
  Result<AuditExtract> Export(AuditFormat format, std::uint64_t after, std::size_t limit,
                              std::string_view version, const AuditFilter& filter) override;
  Result<std::uint64_t> Verify() override { return rows.size(); }
  std::vector<AuditView> rows;
  AuditFilter filter;  // that was asked for last
};

struct FakeAuditFilters final : AuditFilterService {
  Result<std::vector<SavedAuditFilter>> Mine(const Actor& actor) override;
  Result<void> Save(const Actor& actor, std::string_view name, std::string_view query) override;
  Result<void> Forget(const Actor& actor, const AuditFilterId& id) override;
  std::vector<SavedAuditFilter> filters;
  std::optional<Error> error;
  std::vector<std::string> calls;
};

struct FakeAccountSteps final : AccountSteps {
  Result<void> Do(const Actor& actor, const AccountId& account, AccountStep step,
                  std::string_view reason) override;
  FakeDirectory* directory = nullptr;
  std::optional<Error> error;
  std::vector<std::string> calls;
};

struct FakeAttributes final : AttributeService {
  Result<std::vector<DirectoryAttribute>> Show(const Actor& actor, const AccountId& id) override;
  FakeDirectory* directory = nullptr;
  std::vector<DirectoryAttribute> attributes;
  std::vector<std::string> calls;
};

struct FakeWarnings final : WarningService {
  Result<std::optional<Warning>> Standing() override { return warning; }
  Result<void> Acknowledge(const Actor& actor, const WarningId& id) override;
  void Tick() override {}
  std::optional<Warning> warning;
  std::vector<std::string> calls;
};

// Knows one link, kToken, which is about `notices[0]`.
struct FakeNotices final : NoticeService {
  Result<NoticeRecord> Look(std::string_view token) override;
  Result<void> Object(std::string_view token, std::string_view address) override;
  Result<void> ObjectAt(const WorkstationId& from, std::uint64_t number) override;
  Result<std::vector<NoticeRecord>> At(const WorkstationId&) override { return notices; }
  Result<std::vector<NoticeRecord>> OfAccount(const AccountId& account, std::size_t limit) override;
  Result<bool> IsFrozen(const AccountId& account) override;
  Result<std::vector<NoticeRecord>> Standing(const Actor& actor) override;
  Result<void> Lift(const Actor& actor, std::uint64_t number) override;
  void SetUrl(std::string) override {}
  void Tick() override {}
  static constexpr char kToken[] = "AAAAAAAAAAcgISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0-Pw";
  std::vector<NoticeRecord> notices;
  std::optional<Error> error;
  std::vector<std::string> calls;
};

// Answers that were set last, in clear.
struct FakeQuestions final : SecurityQuestions {
  FakeQuestions();
  const QuestionsConfig& config() const override { return offered; }
  Result<Standing> Of(const AccountId&) override { return standing; }
  Result<void> Set(const Session& session, const SecureBytes& password,
                   const std::vector<Given>& given) override;
  QuestionsConfig offered;
  Standing standing;
  std::optional<Error> error;
  std::vector<std::string> calls;
};

struct FakeReports final : ReportService {
  Result<ReportFigures> Figures() override { return figures; }
  Result<std::vector<ReportChange>> Changes(ChangeList list, std::int64_t day, std::uint64_t before,
                                            std::size_t limit) override;
  Result<std::vector<ReportRequest>> Requests(HelpDeskProcess process,
                                              std::optional<RequestEnd> end, std::uint64_t before,
                                              std::size_t limit) override;
  ReportFigures figures;
  std::vector<ReportChange> changes;    // of every list, newest first
  std::vector<ReportRequest> requests;  // of every process, newest first
  std::vector<std::string> asked;       // "reset completed"
};

struct FakeWebhooks final : WebhookService {
  Result<std::vector<WebhookRecord>> List(std::size_t limit) override {
    return std::vector<WebhookRecord>(
        rows.begin(), rows.begin() + static_cast<std::ptrdiff_t>(std::min(rows.size(), limit)));
  }
  Result<WebhookRecord> Retry(const Actor& actor, const WebhookId& id) override;
  void Tick(const std::function<bool()>&) override {}
  std::vector<WebhookRecord> rows;
  std::optional<Error> error;
  std::vector<std::string> calls;
};

// Delivers on the publisher's thread.
struct FakeBus final : EventBus {
  std::unique_ptr<Subscription> Subscribe(std::string topic, Callback callback) override;
  void Publish(std::string_view topic, BusEvent event) override;
  std::mutex mutex;
  std::map<int, std::pair<std::string, Callback>> subscribers;
  int next = 0;
};

// A stream that remembers what was sent.
struct FakeStream final : EventStream {
  bool Send(std::string_view name, std::string_view data) override;
  void Close() override;
  void OnClosed(std::function<void()> callback) override;
  std::vector<std::string> sent;  // "name data"
  bool closed = false;
  std::function<void()> on_closed;
};

// Everything together, with the router of the browser listener and that of the workstations.
class FakeCheckUp : public CheckUp {
 public:
  Report Latest() override { return report; }
  void Run() override { ++runs; }
  Report report;
  int runs = 0;
};

struct World {
  explicit World(const std::string& web_directory, PeopleConfig people_config = {});

  FakeSessions sessions;
  FakeDirectory directory;
  FakeChanges changes;
  FakeKeys keys;
  FakeWorkstations workstations;
  FakeAudit audit;
  FakeBus bus;
  SystemClock clock;
  FakeCheckUp check_up;
  FakeTokens tokens;
  FakeJournal journal;
  FakeRotation rotation;
  FakeGroups groups;
  // The real one, over the fakes.
  std::unique_ptr<PeopleService> people;
  FakeActivationMail activation_mail;
  FakeHelpDesk help_desk;
  FakeFourEyes four_eyes;
  FakeSecondFactor factors{sessions};
  FakeFidoKeys fido{factors};
  FakeReports reports;
  FakeAuditFilters audit_filters;
  FakeAttributes attributes;
  FakeAccountSteps account_steps;
  FakeWarnings warnings;
  FakeAlarm alarm;
  FakeWebhooks webhooks;
  FakeNotices notices;
  FakeQuestions questions;
  std::optional<Error> audit_damage;
  std::vector<Error> reported;
  std::mutex reported_mutex;
  Services services;
  std::unique_ptr<Catalog> catalog;
  std::shared_ptr<WorkstationStreams> streams = std::make_shared<WorkstationStreams>();
  std::shared_ptr<Router> browser = std::make_shared<Router>();
  std::shared_ptr<Router> workstation = std::make_shared<Router>();

  static constexpr char kToken[] = "administrator-token";
  static constexpr char kRenewedToken[] = "renewed-token";  // after any proof of the factor
  static constexpr char kHelpDeskToken[] = "help-desk-token";
  static constexpr char kCsrf[] = "csrf-of-the-session";

  // A request as a browser with the administrator's session would send it.
  Request Get(const std::string& target) const;
  Request Post(const std::string& target, const std::string& form) const;
  Response Send(Request request) const { return browser->Dispatch(request); }
};

// Twenty-five employees, keys, workstations and audit rows that look like a real company.
void Populate(World& world);

}  // namespace keyferry::server::fake
