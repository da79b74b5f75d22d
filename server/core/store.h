#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/result.h"
#include "server/core/alarm.h"
#include "server/core/approval_records.h"
#include "server/core/audit.h"
#include "server/core/audit_checkpoint.h"
#include "server/core/audit_filters.h"
#include "server/core/directory.h"
#include "server/core/factor_store.h"
#include "server/core/help_desk_records.h"
#include "server/core/notice_store.h"
#include "server/core/question_store.h"
#include "server/core/records.h"
#include "server/core/reports.h"
#include "server/core/sources.h"
#include "server/core/upkeep_store.h"
#include "server/core/warnings.h"
#include "server/core/webhook_records.h"

namespace keyferry::server {

// The durable state of the server as a port. Every writing method is ONE transaction, durable when
// it returns (the disk has it), and carries the audit entry of what it does, chained in the same
// transaction: what is not audited did not happen. Reading methods never write. Thread-safe;
// blocks.
//
// Errors of every method: kUnavailable (database full, read-only or not reachable: nothing was
// written; the message names the volume), kInternal (damaged row). Others are named below.

class ChangeStore {
 public:
  enum class Claim {
    kBegun,
    kRepeated,     // (actor, idempotency key) exists: `row` is that change
    kAccountBusy,  // the account has another open change: `row` is that change
    kSeqTaken,     // a key's row moved since its job was sealed: read the keys again, seal again
    // Two other jobs may still reach the key without an answer having come. Each one that the key
    // takes moves its epoch on, so a third sealed to the present one could arrive when the key can
    // no longer open it (section 2). Or a password that the directory has is not on the key yet: a
    // HOLD would make it a replay before there is a newer one.
    kKeyBehind,
  };
  struct Behind {
    DeviceId device;
    std::int64_t handed = 0;  // when the newest of the jobs that it has not answered went out
  };
  struct Begun {
    Claim claim = Claim::kBegun;
    ChangeRow row;
    std::vector<Behind> behind;  // kKeyBehind: the keys of which that is true
  };
  struct Confirmed {
    bool seq_taken = false;  // as Claim::kSeqTaken, for the COMMIT: nothing was written
    ChangeRow row;
    std::vector<JobRecord> superseded;  // undelivered jobs that the new ones replace
    std::vector<JobRecord> hand_out;    // new jobs that are marked as handed out
    std::vector<DeviceId> devices;      // all keys of the person
  };
  struct Queued {
    Claim claim = Claim::kBegun;
    std::vector<JobRecord> superseded;
    std::optional<JobRecord> hand_out;
  };
  // Which open states a change may be closed from.
  enum class From { kAny, kWaiting };  // kWaiting: at delivery and kIntent or kHeld

  virtual ~ChangeStore() = default;

  // While the alarm stands (alarm.h) nothing is begun, and nothing goes on to the directory:
  // BeginChange, BeginWaiting, HoldChange and AttemptHeld are kConflict.

  // Claims idempotency key, the account's one open change (one whose linked sources are open
  // counts, so that the writes of two changes never cross), and for each job seq == keys.next_seq
  // of a key in use without alarm in enrolment job.enrolment; stores change and jobs as given. All
  // or nothing. The first job is change.job.
  virtual Result<Begun> BeginChange(const ChangeRecord& change, const std::vector<JobRecord>& jobs,
                                    const AuditEntry& audit, const Precondition& only_if = {}) = 0;
  // At delivery: the same claims but for the key's, stored as kIntent without a job.
  virtual Result<Begun> BeginWaiting(const ChangeRecord& change, const AuditEntry& audit,
                                     const Precondition& only_if = {}) = 0;
  // At delivery, kIntent or kHeld with the job `former` → kHeld with the HOLD `job`, ready; device
  // and holder as in `change`. Claims the key as BeginChange does, but only an active one; its
  // older undelivered HOLDs and DROPs are superseded, and so are the change's HOLDs for other keys.
  // kConflict when the change is in another state, or has another job.
  virtual Result<Queued> HoldChange(const ChangeRecord& change, const JobId& former,
                                    const JobRecord& job, bool key_seen,
                                    const AuditEntry& audit) = 0;
  // kHeld with the delivered HOLD change.job → kAttempt, with server, stamp and time of the
  // attempt, and with `others`, the held jobs of the person's other keys, claimed as BeginChange
  // does (kSeqTaken, kKeyBehind: nothing was written). kConflict as above.
  virtual Result<Begun> AttemptHeld(const ChangeRecord& change,
                                    const std::vector<JobRecord>& others,
                                    const AuditEntry& audit) = 0;
  // kAttempt, kUnknown → kConfirmed; its jobs kHeld → kReady, but for those whose keys are out of
  // use by now, which are cancelled. Older undelivered passwords for the account's keys, and its
  // older changes that are not done → superseded. `seen`, asked within the transaction: whether a
  // key's job is handed out at once if the epochs allow it. `commit`: at delivery, the job that
  // takes the HOLD's place; without it the HOLD's key is gone. kConflict when the change is in
  // another state, or not of this account.
  virtual Result<Confirmed> ConfirmChange(const ChangeId& id, const AccountId& account,
                                          const JobRecord* commit, std::int64_t time,
                                          const std::function<bool(const DeviceId&)>& seen,
                                          const AuditEntry& audit) = 0;
  // An open state → `final` (kFailed, kSuperseded) with the reason; its jobs, unless they were
  // handed out, are cancelled and erased. (A HOLD that was stays on offer: its fate must become
  // known.) Its linked sources, which were not asked yet, never are.
  // kConflict as above.
  virtual Result<ChangeRow> CloseChange(const ChangeId& id, From from, ChangeState final,
                                        const Error& reason, const AuditEntry& audit) = 0;
  // kAttempt → kUnknown. `since`: what further evidence is compared with from now on. kConflict as
  // above.
  virtual Result<ChangeRow> MarkUnknown(const ChangeId& id, std::string_view error,
                                        const PasswordStamp& since, const AuditEntry& audit) = 0;
  // kFailed, kSuperseded: the directory has taken its password after all, and no key gets it.
  // `error` takes the place of the reason, and the change is in doubt; so is the account's newest
  // one, whatever its state, which may have written before. kConflict in another state.
  virtual Result<ChangeRow> MarkDoubt(const ChangeId& id, std::string_view error,
                                      const AuditEntry& audit) = 0;

  // Rows of the following have their `keys`, but for OpenChanges and TypedHistory.
  virtual Result<std::optional<ChangeRow>> FindChange(const ChangeId& id) = 0;
  // The newest change of the account whose password the directory took.
  virtual Result<std::optional<ChangeRow>> NewestConfirmed(const AccountId& account) = 0;
  virtual Result<std::optional<ChangeRow>> FindRepeated(const AccountId& actor,
                                                        std::string_view idempotency_key) = 0;
  // Newest first.
  virtual Result<std::vector<ChangeRow>> History(const AccountId& account, std::size_t limit) = 0;
  // Of changes that may have reached the directory, newest first: those with a history_hash.
  virtual Result<std::vector<ChangeRow>> TypedHistory(const AccountId& account,
                                                      std::size_t limit) = 0;
  // kIntent, kHeld, kAttempt, kUnknown; oldest first. Of several servers on the database, none that
  // another one, which is alive, has begun: settling those is a kConflict. A damaged row is counted
  // and left out: it must not keep the others from going on.
  struct Open {
    std::vector<ChangeRow> rows;
    std::size_t damaged = 0;
  };
  virtual Result<Open> OpenChanges() = 0;
  virtual Result<std::optional<ChangeRow>> OpenChangeOf(const AccountId& account) = 0;
};

class KeyStore {
 public:
  // A positive receipt as journalled.
  struct Journalled {
    std::uint64_t receipt_ctr = 0;
    Hash32 hash{};
    Bytes receipt;
  };

  virtual ~KeyStore() = default;

  virtual Result<std::vector<KeyRecord>> Keys() = 0;
  // Some of them, by name.
  virtual Result<std::vector<KeyRecord>> KeysPage(const KeyFilter& filter) = 0;
  virtual Result<std::vector<KeyRecord>> KeysOf(const AccountId& account) = 0;
  virtual Result<std::optional<KeyRecord>> FindKey(const DeviceId& device) = 0;
  virtual Result<void> TouchKeys(const std::vector<DeviceId>& seen, std::int64_t time) = 0;

  // One step of a key's life. Into a state that is out of use: its undelivered jobs are cancelled
  // and erased, and returned; changes that waited for this key alone are done. Nothing, and nothing
  // written, when the key is not in `from` of this enrolment any more.
  struct KeyMove {
    DeviceId device;
    EnrolmentId enrolment;
    KeyState from = KeyState::kActive;
    KeyState to = KeyState::kActive;
    std::string reason;      // of the key
    std::string job_reason;  // of its cancelled jobs
    Precondition only_if{};
  };
  virtual Result<std::optional<std::vector<JobRecord>>> MoveKey(const KeyMove& move,
                                                                const AuditEntry& audit) = 0;
  // Queues the WIPE of a key that is out of use and not wiped. False, and nothing written, when one
  // waits already or the key's row moved since it was sealed.
  virtual Result<bool> QueueWipe(const JobRecord& wipe, const AuditEntry& audit) = 0;

  virtual Result<std::optional<JobRecord>> FindJob(const JobId& id) = 0;
  virtual Result<std::optional<JobRecord>> FindJobByHash(const EnrolmentId& enrolment,
                                                         const Hash32& hash) = 0;
  // The newest ready job of an active key, if the epochs allow it to be handed out now (queue.h)
  // and no alarm stands (alarm.h); marks it as handed out. Writes only the first time.
  virtual Result<std::optional<JobRecord>> TakeReady(const DeviceId& device, std::int64_t time) = 0;
  // Jobs that wait, whose next_try has come, of keys that are active and have no alarm: offered
  // once more. Returns the keys.
  virtual Result<std::vector<DeviceId>> JobsToOffer(std::int64_t now) = 0;
  // Keys without alarm that hold a password in their pending slot.
  virtual Result<std::vector<KeyRecord>> HoldingKeys() = 0;
  // The HOLD whose password lies in the key's pending slot for nothing: its change is over without
  // it, no other is open for the account, nothing else may still reach the key, and no DROP was
  // tried.
  virtual Result<std::optional<JobRecord>> HeldInVain(const DeviceId& device) = 0;
  // Queues the DROP for that HOLD, as long as all that still holds; else kKeyBehind.
  virtual Result<ChangeStore::Queued> QueueDrop(const JobRecord& drop, bool key_seen,
                                                const AuditEntry& audit) = 0;
  // Jobs of this enrolment that were handed out, have seq < `seq`, and no receipt yet.
  virtual Result<std::uint64_t> CountUnanswered(const EnrolmentId& enrolment,
                                                std::uint64_t seq) = 0;
  // kReady → kSpooled; any other state is left alone. kNotFound.
  virtual Result<JobRecord> MarkSpooled(const JobId& id, const WorkstationId& workstation,
                                        std::int64_t time) = 0;
  virtual Result<JobRecord> NoteProblem(const JobId& id, const WorkstationId& workstation,
                                        std::string_view message) = 0;
  // The newest delivered job with this seq → kUsed. kNotFound.
  virtual Result<JobRecord> MarkUsed(const DeviceId& device, std::uint64_t seq, std::int64_t time,
                                     const AuditEntry& audit) = 0;

  virtual Result<std::optional<Journalled>> FindReceipt(const EnrolmentId& enrolment,
                                                        std::uint64_t receipt_ctr) = 0;
  // next_seq stays above every sequence that the key has shown, also where this database is older
  // than the key. Job → kDelivered and erased, its change, unless superseded, → kDone once every
  // key in use that it sealed for has it, key advances, receipt is journalled, and ready jobs whose
  // epoch the key has left are refused. Returns false, and writes nothing, when keys.receipt_ctr is
  // no longer update.expected_ctr.
  virtual Result<bool> TakeReceipt(const ReceiptUpdate& update, const AuditEntry& audit) = 0;
  virtual Result<JobRecord> TakeRefusal(const RefusalUpdate& update, const AuditEntry& audit) = 0;
  // Sets keys.alarm unless it is set: nothing is handed out to, or sealed for, the key from here
  // on.
  virtual Result<void> RaiseAlarm(const DeviceId& device, std::string_view alarm,
                                  const AuditEntry& audit) = 0;

  // kConflict when the account would have more than `per_person` keys: those in use, without the
  // one that is replaced, and those of other open enrolments.
  virtual Result<void> BeginEnrolment(const EnrolmentRecord& enrolment, std::size_t per_person,
                                      const AuditEntry& audit,
                                      const Precondition& only_if = {}) = 0;
  virtual Result<std::optional<EnrolmentRecord>> FindEnrolment(const EnrolmentId& id) = 0;
  // kWaiting or kGranted and not expired at `now`.
  virtual Result<std::vector<EnrolmentRecord>> OpenEnrolments(std::int64_t now) = 0;
  // kWaiting → kGranted with statement, grant and simulator flag. kConflict in another state.
  virtual Result<void> GrantEnrolment(const EnrolmentRecord& enrolment,
                                      const AuditEntry& audit) = 0;
  // kGranted → kDone: `key` becomes the device's row (replacing one of an earlier enrolment), the
  // key that it replaces is revoked, open jobs of replaced keys are cancelled (and returned),
  // changes that waited for these alone are done, receipt number 1 is journalled. kConflict in
  // another state.
  virtual Result<std::vector<JobRecord>> FinishEnrolment(const EnrolmentId& id,
                                                         const KeyRecord& key, const Bytes& receipt,
                                                         const AuditEntry& audit) = 0;
  // kWaiting → kFailed. False, and nothing is written, in another state.
  virtual Result<bool> CallOffEnrolment(const EnrolmentId& id, std::string_view error,
                                        const AuditEntry& audit) = 0;
  // kWaiting, kGranted → kFailed; other states are left alone.
  virtual Result<void> FailEnrolment(const EnrolmentId& id, std::string_view error,
                                     const AuditEntry& audit) = 0;
};

class WorkstationStore {
 public:
  struct RegisterLimits {
    std::size_t pending = 200;
    std::size_t per_address = 20;  // registered since `address_since`
    std::int64_t address_since = 0;
    std::int64_t pending_since = 0;  // older pending requests are forgotten
  };

  virtual ~WorkstationStore() = default;
  virtual Result<std::vector<WorkstationRecord>> Workstations() = 0;
  // Some of them, newest first.
  virtual Result<std::vector<WorkstationRecord>> WorkstationsPage(
      const WorkstationFilter& filter) = 0;
  virtual Result<std::optional<WorkstationRecord>> FindWorkstation(const WorkstationId& id) = 0;
  // By its present, next or former certificate.
  virtual Result<std::optional<WorkstationRecord>> FindByCertificate(const Hash32& sha256) = 0;
  // kRateLimited when a limit is reached.
  virtual Result<void> AddWorkstation(const WorkstationRecord& record, const RegisterLimits& limits,
                                      const AuditEntry& audit) = 0;
  // kPending → kApproved with the certificates of `record`. kConflict in another state.
  virtual Result<void> ApproveWorkstation(const WorkstationRecord& record,
                                          const AuditEntry& audit) = 0;
  virtual Result<void> RevokeWorkstation(const WorkstationId& id, const AuditEntry& audit) = 0;
  // record.next_…: a TLS certificate that takes the place of the present one with its first use.
  // kConflict unless approved.
  virtual Result<void> OfferCertificate(const WorkstationRecord& record,
                                        const AuditEntry& audit) = 0;
  // The next certificate becomes the present one; the former is good until `former_until` (Unix
  // seconds). Nothing happens when it is not, or no longer, the next one.
  virtual Result<void> PromoteCertificate(const WorkstationId& id, const Hash32& next,
                                          std::int64_t former_until, const AuditEntry& audit) = 0;
  // The LOGIN hop key and certificate of `record`, which settle any request for another one.
  // kConflict unless approved.
  virtual Result<void> CertifyLogin(const WorkstationRecord& record, const AuditEntry& audit) = 0;
  // record.login_requested of an approved workstation. kConflict in another state.
  virtual Result<void> RequestLogin(const WorkstationRecord& record, const AuditEntry& audit) = 0;
  // New HostCerts for an approved workstation.
  virtual Result<void> RenewHostCerts(const WorkstationRecord& record) = 0;
  virtual Result<void> TouchWorkstation(const WorkstationId& id, std::int64_t time) = 0;
  // What it said when it connected.
  virtual Result<void> GreetWorkstation(const WorkstationId& id, std::int64_t time,
                                        std::string_view version, int protocol) = 0;
};

class SessionStore {
 public:
  virtual ~SessionStore() = default;
  // Also forgets sessions that ended before `now` (Unix seconds) and the failures of `cleared`.
  virtual Result<void> AddSession(const StoredSession& session, std::int64_t now,
                                  const std::vector<std::string>& cleared,
                                  const AuditEntry& audit) = 0;
  virtual Result<std::optional<Session>> FindSession(const Hash32& token_hash) = 0;
  virtual Result<void> RenewSession(const Hash32& token_hash, std::int64_t idle_until) = 0;
  virtual Result<void> EndSession(const Hash32& token_hash, const AuditEntry& audit) = 0;
  // Sessions that have not ended at `now` (Unix seconds), oldest first.
  virtual Result<std::vector<Session>> Sessions(std::int64_t now) = 0;
  virtual Result<std::vector<Session>> SessionsOf(const AccountId& account, std::int64_t now) = 0;
  // Those of `account` but `kept`, or where `only` is given that one; their number.
  virtual Result<std::size_t> EndSessions(const AccountId& account,
                                          const std::optional<SessionId>& only,
                                          const std::optional<SessionId>& kept,
                                          const AuditEntry& audit) = 0;
  // sessions.asked `former` → `now`: false when somebody else asks the directory already.
  virtual Result<bool> ClaimSessionCheck(const Hash32& token_hash, std::int64_t former,
                                         std::int64_t now) = 0;
  virtual Result<void> NoteSessionCheck(const Hash32& token_hash, std::int64_t now) = 0;

  // Remembers `value` under `name` and writes the audit row that `audit` makes of the value before
  // it (empty = none), in one transaction; does neither when it is the same. Empty = forget it.
  virtual Result<void> Notice(std::string_view name, std::string_view value,
                              const std::function<AuditEntry(std::string_view before)>& audit) = 0;

  // Counters are named "account/HEX", "name/…" or "address/…"; unknown ones are zero.
  virtual Result<FailureCount> FindFailures(std::string_view counter) = 0;
  struct FailureRule {
    std::string counter;
    std::uint32_t limit = 10;       // failures of one run until the counter blocks
    std::int64_t window = 900'000;  // ms: a run ends when it is that old
    std::int64_t block = 900'000;   // ms
  };
  virtual Result<void> AddFailure(const std::vector<FailureRule>& rules, std::int64_t now,
                                  const AuditEntry& audit) = 0;
};

// Tokens of the API, and requests with idempotency keys.
class ApiStore {
 public:
  struct RequestClaim {
    bool fresh = false;  // it is the caller's to carry out; else what there is already:
    Hash32 request{};
    StoredAnswer answer;
  };

  virtual ~ApiStore() = default;
  virtual Result<std::vector<TokenRecord>> Tokens() = 0;  // newest first
  virtual Result<std::optional<TokenRecord>> FindToken(const TokenId& id) = 0;
  virtual Result<std::optional<TokenRecord>> FindTokenByHash(const Hash32& hash) = 0;
  // kConflict: one that is not revoked has the name.
  virtual Result<void> AddToken(const TokenRecord& token, const AuditEntry& audit) = 0;
  // kConflict unless it is not revoked.
  virtual Result<void> RevokeToken(const TokenId& id, std::string_view by, std::int64_t time,
                                   const AuditEntry& audit) = 0;
  virtual Result<void> NoteTokenUse(const TokenId& id, std::int64_t time, std::string_view address,
                                    const AuditEntry& audit) = 0;

  // Takes the pair of principal and key. One that was begun before `lost` and has no answer is
  // taken over; what was begun before `forgotten` is removed.
  virtual Result<RequestClaim> ClaimRequest(const RequestRecord& request, std::int64_t lost,
                                            std::int64_t forgotten) = 0;
  virtual Result<void> AnswerRequest(std::string_view principal, const Hash32& key,
                                     const StoredAnswer& answer) = 0;
  virtual Result<void> ForgetRequest(std::string_view principal, const Hash32& key) = 0;
};

class AuditStore {
 public:
  struct Row {
    std::uint64_t number = 0;
    AuditEntry entry;
    Hash32 previous{};
    Hash32 hash{};
  };
  struct Head {
    std::uint64_t number = 0;
    Hash32 hash{};
  };

  // What a search looks at: numbers below `edge` (0 = from the newest) newest first, or above it
  // oldest first; `limit` rows at most, out of `most_read`.
  struct AuditWindow {
    bool newest_first = true;
    std::uint64_t edge = 0;
    std::size_t limit = 50;
    std::size_t most_read = 0;
  };
  struct Matches {
    std::vector<Row> rows;
    std::uint64_t edge = 0;  // the last number that was looked at: where to go on
    bool more = false;       // there are others beyond it
  };

  virtual ~AuditStore() = default;
  virtual Result<void> AppendAudit(const AuditEntry& audit) = 0;
  // Newest first; `before` 0 = from the newest.
  virtual Result<std::vector<Row>> AuditBefore(std::uint64_t before, std::size_t limit) = 0;
  // Oldest first, numbers above `after`.
  virtual Result<std::vector<Row>> AuditAfter(std::uint64_t after, std::size_t limit) = 0;
  virtual Result<Matches> MatchAudit(const AuditFilter& filter, const AuditWindow& window) = 0;
  virtual Result<Head> AuditHead() = 0;

  // Removes rows 1 … cut.number and keeps `cut`, the signed head of what is gone.
  virtual Result<void> CutAudit(const AuditCheckpoint& cut, const AuditEntry& audit) = 0;
  // The newest of these.
  virtual Result<std::optional<AuditCheckpoint>> AuditCut() = 0;
};

// What a database that was put back from a backup has to learn anew.
class RestoreStore {
 public:
  virtual ~RestoreStore() = default;
  // Ends what the backup had under way: undelivered jobs are cancelled and erased, their changes
  // and all open ones are over (an outcome that the directory alone knows is kOutcomeUnknown),
  // enrolments that were begun fail, sessions end. Every key's numbers jump over those that may
  // have been given out since the backup, and every key has to tell how it stands. `reason` of all
  // that, a sentence.
  virtual Result<void> BeginAnew(const RestoreRecord& restore, std::string_view reason,
                                 const AuditEntry& audit) = 0;
  virtual Result<std::vector<RestoreRecord>> Restores() = 0;  // newest first
  // Queues the question to a key that has to tell how it stands. False, and nothing written, when
  // one waits already, the key has told, or its row moved since it was sealed.
  virtual Result<bool> QueueProbe(const JobRecord& probe) = 0;
  // Jobs of the key that a restore cancelled after workstations had got them.
  virtual Result<std::vector<JobRecord>> KilledJobs(const DeviceId& device) = 0;
  // The key's answer. False, and nothing written, when it has answered already.
  virtual Result<bool> LearnKey(const LearnedKey& learned, const AuditEntry& audit) = 0;
  // The key took in something from the time that is lost: it has to tell again.
  virtual Result<void> AskAgain(const DeviceId& device, std::int64_t time,
                                const AuditEntry& audit) = 0;
};

class Store : public ChangeStore,
              public SourceStore,
              public KeyStore,
              public WorkstationStore,
              public SessionStore,
              public FactorStore,
              public QuestionStore,
              public ApiStore,
              public AuditStore,
              public RestoreStore,
              public UpkeepStore,
              public HelpDeskStore,
              public WebhookStore,
              public ReportStore,
              public AuditFilterStore,
              public WarningStore,
              public ApprovalStore,
              public AlarmStore,
              public NoticeStore {
 public:
  ~Store() override = default;
  // The root that all keys in this database trust, once a server of that root has opened it.
  virtual Result<std::optional<Bytes>> Root() = 0;
  // Binds the database to a root for ever. kConflict when it is bound to another one.
  virtual Result<void> BindRoot(const Bytes& root_pub) = 0;
  // Binds the audit log to the key that signs its checkpoints: the same on every server. kConflict
  // when it is bound to another one.
  virtual Result<void> BindAuditKey(const Bytes& audit_pub) = 0;
  // Durable transactions since it was opened (each costs one sync).
  virtual std::uint64_t Transactions() const = 0;
};

}  // namespace keyferry::server
