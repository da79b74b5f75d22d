#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/core/store.h"
#include "server/storage/database.h"

namespace keyferry::server {

// The Store port over SQL. One .cc a part: alarms, changes, sources, jobs, held, keys, enrolments,
// help_desk, notices, workstations, sessions, api, audit, audit_search, reports, restore,
// security_answers, upkeep.
class SqlStore final : public Store {
 public:
  // `node`: this server among others on the database (node_link.h); empty where it is the only one.
  explicit SqlStore(std::unique_ptr<Backend> backend, std::string node = {})
      : database_(std::move(backend)), node_(std::move(node)) {}
  Result<void> Open();
  // Without migrations: for reading a database that another process may be writing.
  Result<void> OpenForReading();

  Result<std::optional<Bytes>> Root() override;
  Result<void> BindRoot(const Bytes& root_pub) override;
  Result<void> BindAuditKey(const Bytes& audit_pub) override;

  Result<void> BeginAnew(const RestoreRecord& restore, std::string_view reason,
                         const AuditEntry& audit) override;
  Result<std::vector<RestoreRecord>> Restores() override;
  Result<bool> QueueProbe(const JobRecord& probe) override;
  Result<std::vector<JobRecord>> KilledJobs(const DeviceId& device) override;
  Result<bool> LearnKey(const LearnedKey& learned, const AuditEntry& audit) override;
  Result<void> AskAgain(const DeviceId& device, std::int64_t time,
                        const AuditEntry& audit) override;

  Result<bool> TakeLease(std::string_view name, std::string_view holder,
                         std::int64_t millis) override;
  Result<void> EndLease(std::string_view name, std::string_view holder) override;
  Result<std::uint64_t> LeasePosition(std::string_view name) override;
  Result<bool> SetLeasePosition(std::string_view name, std::string_view holder,
                                std::uint64_t position) override;
  Result<std::vector<RotationPolicy>> Policies() override;
  Result<void> PutPolicy(const RotationPolicy& policy, const AuditEntry& audit) override;
  Result<void> RemovePolicy(const PolicyId& id, const AuditEntry& audit) override;
  Result<bool> QueueMail(const MailRecord& mail, std::size_t limit,
                         const AuditEntry& audit) override;
  Result<std::vector<MailRecord>> MailsDue(std::int64_t now, std::size_t limit) override;
  Result<void> MarkMail(const MailRecord& mail, const AuditEntry* audit) override;
  Result<MailCounts> CountMails(std::int64_t since) override;
  Result<void> ForgetMails(std::int64_t before) override;

  Result<Begun> BeginChange(const ChangeRecord& change, const std::vector<JobRecord>& jobs,
                            const AuditEntry& audit, const Precondition& only_if) override;
  Result<Begun> BeginWaiting(const ChangeRecord& change, const AuditEntry& audit,
                             const Precondition& only_if) override;
  Result<Queued> HoldChange(const ChangeRecord& change, const JobId& former, const JobRecord& job,
                            bool key_seen, const AuditEntry& audit) override;
  Result<Begun> AttemptHeld(const ChangeRecord& change, const std::vector<JobRecord>& others,
                            const AuditEntry& audit) override;
  Result<Confirmed> ConfirmChange(const ChangeId& id, const AccountId& account,
                                  const JobRecord* commit, std::int64_t time,
                                  const std::function<bool(const DeviceId&)>& seen,
                                  const AuditEntry& audit) override;
  Result<ChangeRow> CloseChange(const ChangeId& id, From from, ChangeState final,
                                const Error& reason, const AuditEntry& audit) override;
  Result<ChangeRow> MarkUnknown(const ChangeId& id, std::string_view error,
                                const PasswordStamp& since, const AuditEntry& audit) override;
  Result<ChangeRow> MarkDoubt(const ChangeId& id, std::string_view error,
                              const AuditEntry& audit) override;
  Result<std::optional<ChangeRow>> FindChange(const ChangeId& id) override;
  Result<std::optional<ChangeRow>> NewestConfirmed(const AccountId& account) override;
  Result<std::optional<ChangeRow>> FindRepeated(const AccountId& actor,
                                                std::string_view idempotency_key) override;
  Result<std::vector<ChangeRow>> History(const AccountId& account, std::size_t limit) override;
  Result<std::vector<ChangeRow>> TypedHistory(const AccountId& account, std::size_t limit) override;
  Result<ChangeStore::Open> OpenChanges() override;
  Result<std::optional<ChangeRow>> OpenChangeOf(const AccountId& account) override;
  Result<void> MoveSource(const SourceRecord& source, SourceState from,
                          const AuditEntry& audit) override;
  Result<std::vector<SourceRecord>> SourcesOf(std::span<const ChangeId> changes) override;
  Result<std::vector<ChangeId>> OpenSources() override;

  Result<std::vector<KeyRecord>> Keys() override;
  Result<std::vector<KeyRecord>> KeysPage(const KeyFilter& filter) override;
  Result<std::vector<KeyRecord>> KeysOf(const AccountId& account) override;
  Result<std::optional<KeyRecord>> FindKey(const DeviceId& device) override;
  Result<void> TouchKeys(const std::vector<DeviceId>& seen, std::int64_t time) override;
  Result<std::optional<std::vector<JobRecord>>> MoveKey(const KeyMove& move,
                                                        const AuditEntry& audit) override;
  Result<bool> QueueWipe(const JobRecord& wipe, const AuditEntry& audit) override;
  Result<std::optional<JobRecord>> FindJob(const JobId& id) override;
  Result<std::optional<JobRecord>> FindJobByHash(const EnrolmentId& enrolment,
                                                 const Hash32& hash) override;
  Result<std::optional<JobRecord>> TakeReady(const DeviceId& device, std::int64_t time) override;
  Result<std::vector<DeviceId>> JobsToOffer(std::int64_t now) override;
  Result<std::vector<KeyRecord>> HoldingKeys() override;
  Result<std::optional<JobRecord>> HeldInVain(const DeviceId& device) override;
  Result<Queued> QueueDrop(const JobRecord& drop, bool key_seen, const AuditEntry& audit) override;
  Result<std::uint64_t> CountUnanswered(const EnrolmentId& enrolment, std::uint64_t seq) override;
  Result<JobRecord> MarkSpooled(const JobId& id, const WorkstationId& workstation,
                                std::int64_t time) override;
  Result<JobRecord> NoteProblem(const JobId& id, const WorkstationId& workstation,
                                std::string_view message) override;
  Result<JobRecord> MarkUsed(const DeviceId& device, std::uint64_t seq, std::int64_t time,
                             const AuditEntry& audit) override;
  Result<std::optional<Journalled>> FindReceipt(const EnrolmentId& enrolment,
                                                std::uint64_t receipt_ctr) override;
  Result<bool> TakeReceipt(const ReceiptUpdate& update, const AuditEntry& audit) override;
  Result<JobRecord> TakeRefusal(const RefusalUpdate& update, const AuditEntry& audit) override;
  Result<void> RaiseAlarm(const DeviceId& device, std::string_view alarm,
                          const AuditEntry& audit) override;

  Result<void> BeginEnrolment(const EnrolmentRecord& enrolment, std::size_t per_person,
                              const AuditEntry& audit, const Precondition& only_if) override;
  Result<std::optional<EnrolmentRecord>> FindEnrolment(const EnrolmentId& id) override;
  Result<std::vector<EnrolmentRecord>> OpenEnrolments(std::int64_t now) override;
  Result<void> GrantEnrolment(const EnrolmentRecord& enrolment, const AuditEntry& audit) override;
  Result<std::vector<JobRecord>> FinishEnrolment(const EnrolmentId& id, const KeyRecord& key,
                                                 const Bytes& receipt,
                                                 const AuditEntry& audit) override;
  Result<bool> CallOffEnrolment(const EnrolmentId& id, std::string_view error,
                                const AuditEntry& audit) override;
  Result<void> FailEnrolment(const EnrolmentId& id, std::string_view error,
                             const AuditEntry& audit) override;

  Result<std::vector<WorkstationRecord>> Workstations() override;
  Result<std::vector<WorkstationRecord>> WorkstationsPage(const WorkstationFilter& filter) override;
  Result<std::optional<WorkstationRecord>> FindWorkstation(const WorkstationId& id) override;
  Result<std::optional<WorkstationRecord>> FindByCertificate(const Hash32& sha256) override;
  Result<void> AddWorkstation(const WorkstationRecord& record, const RegisterLimits& limits,
                              const AuditEntry& audit) override;
  Result<void> ApproveWorkstation(const WorkstationRecord& record,
                                  const AuditEntry& audit) override;
  Result<void> RevokeWorkstation(const WorkstationId& id, const AuditEntry& audit) override;
  Result<void> CertifyLogin(const WorkstationRecord& record, const AuditEntry& audit) override;
  Result<void> RequestLogin(const WorkstationRecord& record, const AuditEntry& audit) override;
  Result<void> RenewHostCerts(const WorkstationRecord& record) override;
  Result<void> TouchWorkstation(const WorkstationId& id, std::int64_t time) override;
  Result<void> GreetWorkstation(const WorkstationId& id, std::int64_t time,
                                std::string_view version, int protocol) override;
  Result<void> OfferCertificate(const WorkstationRecord& record, const AuditEntry& audit) override;
  Result<void> PromoteCertificate(const WorkstationId& id, const Hash32& next,
                                  std::int64_t former_until, const AuditEntry& audit) override;

  Result<void> AddSession(const StoredSession& session, std::int64_t now,
                          const std::vector<std::string>& cleared,
                          const AuditEntry& audit) override;
  Result<std::optional<Session>> FindSession(const Hash32& token_hash) override;
  Result<void> RenewSession(const Hash32& token_hash, std::int64_t idle_until) override;
  Result<void> EndSession(const Hash32& token_hash, const AuditEntry& audit) override;
  Result<std::vector<Session>> Sessions(std::int64_t now) override;
  Result<std::vector<Session>> SessionsOf(const AccountId& account, std::int64_t now) override;
  Result<std::size_t> EndSessions(const AccountId& account, const std::optional<SessionId>& only,
                                  const std::optional<SessionId>& kept,
                                  const AuditEntry& audit) override;
  Result<bool> ClaimSessionCheck(const Hash32& token_hash, std::int64_t former,
                                 std::int64_t now) override;
  Result<void> NoteSessionCheck(const Hash32& token_hash, std::int64_t now) override;

  Result<std::optional<FactorRecord>> FindFactor(const AccountId& account) override;
  Result<std::vector<FactorRecord>> Factors() override;
  Result<void> ProposeFactor(const FactorRecord& factor) override;
  Result<bool> ConfirmFactor(const FactorRecord& factor, const std::vector<std::string>& recovery,
                             const SessionSwap& swap, const AuditEntry& audit) override;
  Result<bool> SpendProof(const Proof& proof, const SessionSwap& swap, const std::string& counter,
                          const AuditEntry& audit) override;
  Result<bool> ReplaceRecovery(const AccountId& account, std::string_view salt,
                               const std::vector<std::string>& recovery,
                               const AuditEntry& audit) override;
  Result<bool> ResetFactor(const AccountId& account, const std::string& counter,
                           const AuditEntry& audit, const Precondition& only_if) override;
  Result<bool> PutChallenge(const Hash32& token_hash, std::string_view challenge,
                            std::int64_t until) override;
  Result<std::string> TakeChallenge(const Hash32& token_hash, std::int64_t now) override;
  Result<std::vector<FidoKeyRecord>> FidoKeysOf(const AccountId& account) override;
  Result<FidoKeyAdded> AddFidoKey(const NewFidoKey& added, const AuditEntry& audit) override;
  Result<bool> SpendFidoProof(const FidoProof& proof, const SessionSwap& swap,
                              const std::string& failures, const AuditEntry& audit) override;
  Result<void> SuspectFidoKey(const AccountId& account, const FidoKeyId& key, std::int64_t time,
                              const AuditEntry& audit) override;
  Result<bool> RenameFidoKey(const AccountId& account, const FidoKeyId& key, std::string_view name,
                             const AuditEntry& audit) override;
  Result<FidoKeyRemoved> RemoveFidoKey(const AccountId& account, const FidoKeyId& key,
                                       const AuditEntry& audit) override;
  Result<FailureCount> FindFailures(std::string_view counter) override;
  Result<void> Notice(std::string_view name, std::string_view value,
                      const std::function<AuditEntry(std::string_view before)>& audit) override;
  Result<void> AddFailure(const std::vector<FailureRule>& rules, std::int64_t now,
                          const AuditEntry& audit) override;

  Result<std::vector<TokenRecord>> Tokens() override;
  Result<std::optional<TokenRecord>> FindToken(const TokenId& id) override;
  Result<std::optional<TokenRecord>> FindTokenByHash(const Hash32& hash) override;
  Result<void> AddToken(const TokenRecord& token, const AuditEntry& audit) override;
  Result<void> RevokeToken(const TokenId& id, std::string_view by, std::int64_t time,
                           const AuditEntry& audit) override;
  Result<void> NoteTokenUse(const TokenId& id, std::int64_t time, std::string_view address,
                            const AuditEntry& audit) override;
  Result<ApiStore::RequestClaim> ClaimRequest(const RequestRecord& request, std::int64_t lost,
                                              std::int64_t forgotten) override;
  Result<void> AnswerRequest(std::string_view principal, const Hash32& key,
                             const StoredAnswer& answer) override;
  Result<void> ForgetRequest(std::string_view principal, const Hash32& key) override;

  Result<std::vector<SecurityAnswer>> SecurityAnswers(const AccountId& account) override;
  Result<void> PutSecurityAnswers(const AccountId& account,
                                  const std::vector<SecurityAnswer>& answers,
                                  const AuditEntry& audit) override;

  Result<Opened> OpenHelpDesk(const HelpDeskRequest& request, const AuditEntry& audit) override;
  Result<std::optional<HelpDeskRequest>> FindHelpDesk(const HelpDeskId& id) override;
  Result<std::optional<HelpDeskRequest>> OpenHelpDeskOf(const AccountId& account) override;
  Result<std::vector<HelpDeskRequest>> OpenHelpDeskBy(const AccountId& agent) override;
  Result<std::vector<HelpDeskRequest>> OverdueHelpDesk(std::int64_t now) override;
  Result<std::vector<HelpDeskAttempt>> HelpDeskAttempts(const HelpDeskId& id) override;
  Result<std::optional<KeyTouchQuestion>> KeyTouchOf(const AccountId& account,
                                                     std::int64_t now) override;
  Result<Stepped> StepHelpDesk(const Step& step) override;
  Result<std::uint32_t> CountHelpDesk(const AccountId& account, HelpDeskProcess process,
                                      std::int64_t since) override;

  Result<std::vector<std::string>> WebhookMarksDue(std::int64_t now) override;
  Result<std::vector<WebhookRecord>> WebhooksDue(std::string_view mark, std::int64_t now,
                                                 std::size_t limit) override;
  Result<bool> MarkWebhook(const WebhookRecord& webhook, const AuditEntry* audit) override;
  Result<bool> RetryWebhook(const WebhookId& id, std::int64_t now,
                            const AuditEntry& audit) override;
  Result<std::optional<WebhookRecord>> FindWebhook(const WebhookId& id) override;
  Result<std::vector<WebhookRecord>> Webhooks(std::size_t limit) override;
  Result<WebhookCounts> CountWebhooks(std::int64_t since) override;
  Result<void> ForgetWebhooks(std::int64_t before) override;

  Result<ReportFigures> CountReport(std::int64_t since, std::int64_t long_before) override;
  Result<std::vector<ReportChange>> ListChanges(const ChangeQuery& query) override;
  Result<std::vector<ReportRequest>> ListRequests(const RequestQuery& query) override;
  Result<Asked> AskApproval(const Approval& approval, const AuditEntry& audit) override;
  Result<std::optional<Approval>> FindApproval(const ApprovalId& id) override;
  Result<std::vector<Approval>> Approvals(std::int64_t since, std::size_t limit) override;
  Result<bool> StepApproval(const ApprovalStep& step) override;
  Result<std::vector<Approval>> OverdueApprovals(std::int64_t now) override;
  Result<void> BeginGuarded(const Precondition& only_if, const AuditEntry& audit) override;
  Result<bool> GotNewKey(const AccountId& account, std::int64_t since) override;
  Result<bool> GotPassword(const AccountId& account, std::int64_t since) override;
  Result<std::uint32_t> CountResets(const AccountId& agent, std::int64_t since) override;
  Result<std::vector<AlarmRecord>> Alarms(std::size_t limit) override;
  Result<bool> BeginAlarm(const AlarmRecord& alarm, const AuditEntry& audit) override;
  Result<bool> MoveAlarm(const AlarmRecord& alarm, std::uint64_t former,
                         const AuditEntry& audit) override;

  Result<std::vector<NoticeRecord>> NoticesDue(std::int64_t now, std::size_t limit) override;
  Result<void> MarkNotice(const NoticeRecord& notice,
                          const std::vector<AuditEntry>& audits) override;
  Result<std::optional<NoticeRecord>> FindNotice(std::uint64_t number) override;
  Result<std::vector<NoticeRecord>> NoticesOf(const AccountId& account, std::size_t limit) override;
  Result<bool> ObjectTo(std::uint64_t number, std::string_view from, std::int64_t time,
                        const AuditEntry& audit) override;
  Result<std::vector<NoticeRecord>> StandingObjections() override;
  Result<bool> IsFrozen(const AccountId& account) override;
  Result<bool> LiftObjection(std::uint64_t number, std::string_view by, std::int64_t time,
                             const AuditEntry& audit) override;
  Result<void> ForgetNotices(std::int64_t before) override;

  Result<void> AppendAudit(const AuditEntry& audit) override;
  Result<std::vector<Row>> AuditBefore(std::uint64_t before, std::size_t limit) override;
  Result<std::vector<Row>> AuditAfter(std::uint64_t after, std::size_t limit) override;
  Result<Matches> MatchAudit(const AuditFilter& filter, const AuditWindow& window) override;
  Result<std::vector<SavedAuditFilter>> AuditFilters(const AccountId& owner) override;
  Result<void> SaveAuditFilter(const SavedAuditFilter& filter, std::size_t most,
                               const AuditEntry& audit) override;
  Result<void> ForgetAuditFilter(const AccountId& owner, const AuditFilterId& id,
                                 const AuditEntry& audit) override;
  Result<std::uint64_t> CountBlocked(std::int64_t since) override;
  Result<std::optional<Warning>> NewestWarning() override;
  Result<bool> RaiseWarning(const Warning& warning, const AuditEntry& audit) override;
  Result<bool> AcknowledgeWarning(const WarningId& id, const std::string& by, std::int64_t time,
                                  const AuditEntry& audit) override;
  Result<Head> AuditHead() override;
  Result<void> CutAudit(const AuditCheckpoint& cut, const AuditEntry& audit) override;
  Result<std::optional<AuditCheckpoint>> AuditCut() override;

  std::uint64_t Transactions() const override { return database_.transactions(); }

 private:
  // A condition on the rows of `changes` whose owner is this server or no server that is alive: a
  // server that has lost its lease can no more settle what it began. The condition's one value is
  // node_.
  std::string Mine(const char* changes) const;
  void Own(soci::session& sql,
           const ChangeId& change) const;  // from here on the change is this server's

  Database database_;
  std::string node_;
};

}  // namespace keyferry::server
