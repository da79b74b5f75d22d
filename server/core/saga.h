#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "server/core/audit_entry.h"
#include "server/core/evidence.h"
#include "server/core/preflight.h"
#include "server/core/services.h"

namespace keyferry::server {

inline constexpr const char* kForeignReason =
    "Another tool set this person's password at the same time, so the directory does not have the "
    "one that was made here; set a new one.";
inline constexpr const char* kLateReason =
    "The directory took this password when the change had already been given up, so no key has it; "
    "set a new one.";
inline constexpr const char* kPerhapsLateReason =
    "The directory may have taken this password when the change had already been given up, and no "
    "key has it; set a new one.";
inline constexpr const char* kUnknownReason =
    "The directory did not answer in time, so it is not known whether it took the password; the "
    "server goes on asking.";
inline constexpr const char* kDoubtReason =
    " But the change before this one may have reached the directory, and nobody has its password: "
    "set a new one.";

// Codes by which a directory says for certain that it changed nothing.
bool SurelyUnchanged(ErrorCode code);
// Where an attempt went, from its row.
ChangeTarget TargetOf(const ChangeRecord& change);
// What its person is told.
NoticeDraft NoticeOf(const ChangeRecord& change, NoticeKind kind);

// The change saga over the ports. saga.cc: requests, and mode *now*; saga_attempt.cc: the attempt
// at the directory, its evidence and what follows from it, in both modes; saga_delivery.cc: mode
// *at delivery*; saga_sources.cc: the same attempt at linked sources, once the first has the
// password. The password lives in locked memory only, here in `held_` until the key's receipt
// for the HOLD has come; a process that dies makes a fresh one.
class Saga final : public ChangeService {
 public:
  Saga(const CorePorts& ports, ChangeConfig config);

  Result<Preflight> Check(const Actor& actor, const AccountId& account) override;
  Result<ChangeView> Start(const Actor& actor, ChangeRequest request) override;
  Result<std::vector<ChangeView>> History(const AccountId& account, std::size_t limit) override;
  Result<ChangeView> Get(const ChangeId& id) override;
  void Proceed(const AccountId& account) override;
  std::vector<SourceChoice> Sources() override;
  void Reconcile() override;

 private:
  // Marks a change as driven by this thread, so that no other drives it, and who repeats the
  // request waits for it.
  class Driving {
   public:
    enum Patience { kTry, kWait };
    Driving(Saga& service, const ChangeId& id, Patience patience);
    ~Driving();
    Driving(const Driving&) = delete;
    Driving& operator=(const Driving&) = delete;
    bool mine() const { return mine_; }

   private:
    Saga& service_;
    ChangeId id_;
    bool mine_;
  };
  // A password that is sealed in a HOLD.
  struct Held {
    JobId job;
    SecureBytes password;
    std::chrono::steady_clock::time_point until;
  };

  // What was made for a change while the directory was still being asked about it: a password, and
  // its jobs for the keys, sealed for a login that the directory has to confirm.
  struct Sealed {
    SecureBytes password;
    std::string login;
    std::vector<JobRecord> jobs;
  };

  // A linked source that a change goes to, as it was when that was decided.
  struct Chosen {
    SourceRecord record;
    PasswordPolicy policy;
  };

  // Requests.
  Result<ChangeView> Run(const Actor& actor, ChangeRequest request);
  Result<ChangeView> RunNow(const Actor& actor, ChangeRequest request, ChangeRecord draft,
                            Clearance clearance, std::optional<Sealed> sealed,
                            const std::vector<Chosen>& chosen, const Precondition& only_if);
  Result<ChangeView> RunAtDelivery(const Actor& actor, const ChangeRecord& draft,
                                   const Precondition& only_if);
  // Whether the actor reaches the account, or may set their own now (saga_own.cc). Roles alone are
  // Clear's.
  Result<void> Authorise(const Actor& actor, const AccountId& account);
  AgentQuota OwnQuota(const AccountId& account) const;
  Error OwnLimit() const;
  // The record of a request as far as the request tells.
  Result<ChangeRecord> Draft(const Actor& actor, const ChangeRequest& request,
                             const Hash32& request_hash);
  // Nothing when it cannot be made, or not for these keys.
  std::optional<Sealed> SealAhead(ChangeRecord draft, const ChangeRequest& request,
                                  const std::vector<KeyRecord>& keys);
  // What has to stand when this request is begun (four_eyes.h).
  Result<Precondition> Guard(const Actor& actor, const ChangeRequest& request,
                             const PersonDetail& person, const std::vector<Chosen>& chosen);
  // The sources that a request names, or the preset ones; an error names the source, and nothing is
  // written anywhere.
  Result<std::vector<Chosen>> Choose(const Actor& actor, const Person& person,
                                     const std::optional<std::vector<std::string>>& names,
                                     const Directory::SetOptions& options);
  // The sources that the change was begun with.
  Result<std::vector<Chosen>> ChooseAgain(const Actor& actor, const Person& person,
                                          const ChangeRecord& change);
  // The person's account there: nobody, or one that may get a new password now.
  Result<std::optional<Chosen>> Consider(const LinkedSource& source, const Actor& actor,
                                         const Person& person,
                                         const Directory::SetOptions& options);
  std::vector<SourceChoice> Choices(const Actor& actor, const Person& person);
  const LinkedSource* FindSource(std::string_view name) const;
  // A typed password against what is known of the policy, before the directory is asked; notes its
  // hash in the draft.
  Result<void> CheckAgainstPolicy(const SecureBytes& password, const AccountId& account,
                                  const PasswordPolicy& policy, ChangeRecord* draft);
  static Result<void> CheckAgainstSources(const SecureBytes& password,
                                          const std::vector<Chosen>& chosen);
  // What a password that is made has to fit everywhere.
  static PasswordPolicy Strictest(PasswordPolicy policy, const std::vector<Chosen>& chosen);
  std::size_t LengthFor(const PasswordPolicy& policy) const;
  Result<SecureBytes> MakePassword(const PasswordPolicy& policy);
  // Claims the change durably; seals again when a key's row moved meanwhile, and leaves out those
  // that are behind as long as another one is active. One that is here and may answer at any moment
  // is not left out: kKeyBehind. `ahead`: what has been sealed of this password for these keys.
  Result<ChangeStore::Begun> Begin(const Actor& actor, ChangeRecord draft,
                                   std::vector<KeyRecord> keys, const SecureBytes& password,
                                   const Precondition& only_if, std::vector<JobRecord> ahead = {});
  // One SET a key, held; the first is `first`.
  Result<std::vector<JobRecord>> SealSets(const ChangeRecord& change,
                                          const std::vector<KeyRecord>& keys, const JobId& first,
                                          const SecureBytes& password);
  // Adds those to `without`; false when an answer of one of them is due any moment.
  bool LeaveOut(const std::vector<ChangeStore::Behind>& behind, std::vector<DeviceId>& without);
  // The account's keys to seal for as they are now, without those.
  Result<std::vector<KeyRecord>> FreshKeys(const AccountId& account,
                                           const std::vector<DeviceId>& without);
  // Another change of the account is open: ends it if that can be, so that a newer one may begin.
  void MakeWay(const ChangeRow& row);
  Result<ChangeView> Busy(const ChangeRow& row);
  Result<ChangeView> Answer(ChangeRow row, const Hash32& request_hash);
  Result<ChangeView> Outcome(const ChangeRow& row);
  Result<void> AuditRefusal(const Actor& actor, const std::string& target, const Error& error);

  // The attempt. Entries are made in the name of who asked for the change.
  AuditEntry Audit(const ChangeRecord& change, std::string_view action, std::string_view outcome,
                   std::string_view detail) const;
  Result<ChangeView> Attempt(const ChangeRow& row, SecureBytes password, std::uint64_t tenure);
  // The directory has the password; `how` that is known goes into the audit log.
  Result<ChangeView> Took(const ChangeRow& row, SecureBytes password, std::string_view how);
  // What is said of a change whose request has left, but that another server has settled: this one
  // stood still for longer than its lease between its last look and the send. `taken`: it is known
  // that the directory has the password; else it may have it. What cannot be stored now is tried
  // again with the next Reconcile.
  Result<ChangeView> SettledMeanwhile(const ChangeRow& row, bool taken);
  // The first directory has the password: the linked sources get it, and it is forgotten.
  ChangeView Applied(const ChangeRow& row, SecureBytes password);
  // One look at the directory for an attempt that nobody drives any more. `superseding`: a new
  // change waits for this one, so an outcome that can never be known need not stay open.
  void Settle(const ChangeRow& row, bool superseding);
  void NoteSeen(const ChangeId& id);
  Result<ChangeRow> Confirm(const ChangeRow& row, AuditEntry audit);
  // In the store; at delivery with the COMMIT, sealed again when the key's row moved meanwhile.
  Result<ChangeStore::Confirmed> ConfirmInStore(const ChangeRow& row, const AuditEntry& audit);
  Result<ChangeRow> Close(const ChangeRow& row, ChangeState final, const Error& reason,
                          const AuditEntry& audit,
                          ChangeStore::From from = ChangeStore::From::kAny);
  // False: another server has settled it meanwhile.
  bool MarkUnknown(const ChangeRow& row, const PasswordStamp& since, const AuditEntry& audit);
  // After a lost answer: the directory's record and, where somebody wrote, one bind.
  Evidence Look(Directory& directory, const ChangeRecord& change, const ChangeTarget& target,
                const SecureBytes& password, PasswordStamp* stamp);
  // Whether a request that left for this attempt can no longer be on its way.
  bool Settled(const ChangeId& id);

  // The linked sources. Writes the change's password, which the first has, to those that wait for
  // it.
  void WriteSources(const ChangeRow& row, const SecureBytes& password);
  void WriteSource(const ChangeRecord& change, SourceRecord source, const SecureBytes& password);
  // One look at each source of a change that nobody drives any more.
  void SettleSources(const ChangeId& id, bool superseding);
  void SettleSource(const ChangeRecord& change, SourceRecord source, bool superseding);
  // Stores what became of a source. `by`: who the entry in the audit log is made in the name of.
  enum class By { kActor, kSystem };
  bool EndSource(const ChangeRecord& change, SourceRecord source, SourceState state,
                 const Error* reason, By by, std::string_view how = {});
  // With its sources.
  Result<std::vector<ChangeView>> ViewsOf(const std::vector<ChangeRow>& rows);
  ChangeView View(const ChangeRow& row);

  // At delivery.
  void ProceedWith(ChangeRow row);
  // One step; true when there may be another. kIntent, or a HOLD whose password is lost: seal one.
  bool Prepare(const ChangeRow& row);
  Result<ChangeStore::Queued> Hold(const ChangeRow& row, KeyRecord key,
                                   const SecureBytes& password);
  bool AttemptHeld(const ChangeRow& row, Held held);
  // The attempt's row, with the password sealed for the person's other keys. Nothing when their
  // rows move all the time.
  Result<std::optional<ChangeRow>> RecordAttempt(const ChangeRecord& change,
                                                 const SecureBytes& password);
  void KeepHeld(const ChangeId& id, Held held);
  void GiveUp(const ChangeRow& row, const Error& reason);
  std::optional<Held> TakeHeld(const ChangeRow& row);
  void ForgetHeld(const ChangeId& id);
  void ForgetOldHeld();
  // Erases what lies in the pending slots of the account's keys for nothing.
  void DropHeld(const KeyRecord& key);

  // Tells those who may have spooled them that these jobs are void, and hands `jobs` out; of the
  // keys among `devices` that have none of these, what is ready.
  void Spread(const std::vector<JobRecord>& superseded, const std::vector<JobRecord>& jobs,
              const std::vector<DeviceId>& devices);

  CorePorts ports_;
  ChangeConfig config_;
  std::string self_;  // of this process, random
  std::mutex mutex_;  // all below
  std::condition_variable ended_;
  std::set<ChangeId> driven_;
  // When this process first saw an attempt open: measured, so that no jump of the wall clock can
  // make an outcome final too early.
  std::map<ChangeId, std::chrono::steady_clock::time_point> first_seen_;
  std::map<std::pair<ChangeId, std::string>, std::chrono::steady_clock::time_point> sources_seen_;
  std::map<ChangeId, Held> held_;
  // Written late, and not told yet; true: taken (SettledMeanwhile).
  std::vector<std::pair<ChangeRow, bool>> late_;
};

}  // namespace keyferry::server
