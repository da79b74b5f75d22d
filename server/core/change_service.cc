#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <new>
#include <set>
#include <utility>

#include "protocol/failpoint.h"
#include "server/core/audit_entry.h"
#include "server/core/change_view.h"
#include "server/core/dispatch.h"
#include "server/core/encoding.h"
#include "server/core/evidence.h"
#include "server/core/password.h"
#include "server/core/password_history.h"
#include "server/core/preflight.h"
#include "server/core/services.h"

namespace keyferry::server {
namespace {

constexpr const char* kForeignReason =
    "Another tool set this person's password at the same time, so the directory does not have the "
    "one that was made here; set a new one.";
constexpr const char* kUnknownReason =
    "The directory did not answer in time, so it is not known whether it took the password; the "
    "server goes on asking.";

// Codes by which the directory says for certain that it changed nothing.
bool SurelyUnchanged(ErrorCode code) {
  switch (code) {
    case ErrorCode::kDeadline:
    case ErrorCode::kOutcomeUnknown:
    case ErrorCode::kInternal:
    case ErrorCode::kIo:
    case ErrorCode::kProtocol:
      return false;
    default:
      return true;
  }
}

Result<void> CheckRequest(const ChangeRequest& request, const ChangeConfig& config) {
  const std::string& key = request.idempotency_key;
  const bool printable =
      std::all_of(key.begin(), key.end(), [](char c) { return c > 0x20 && c < 0x7F; });
  if (key.size() < 8 || key.size() > 64 || !printable) {
    return Fail(ErrorCode::kInvalidArgument,
                "The request's idempotency key must have 8 to 64 printable characters.");
  }
  if (request.reason.size() > 500 || !IsPrintableUtf8(request.reason)) {
    return Fail(ErrorCode::kInvalidArgument,
                "The reason must be text of at most 500 bytes on one line.");
  }
  if (request.generate) return {};
  if (!config.allow_typing) {
    return Fail(ErrorCode::kPermissionDenied,
                "Typing a password is not allowed here; let the server make one.");
  }
  return CheckTypedPassword(request.typed);
}

ChangeTarget TargetOf(const ChangeRecord& change) {
  ChangeTarget target;
  target.server = change.server;
  target.before.last_set = change.password_last_set;
  target.before.version = change.password_version;
  target.before.now = change.server_time;
  return target;
}

// Over all of a request but the password: a stored hash of that could be searched.
Hash32 HashOf(const ChangeRequest& request) {
  const std::array<std::uint8_t, 3> flags = {request.generate, request.must_change, request.unlock};
  return protocol::Sha256Of(protocol::Label("keyferry/change-request/v1"), request.account.bytes,
                            flags, protocol::AsBytes(request.reason));
}

class SagaChangeService final : public ChangeService {
 public:
  SagaChangeService(const CorePorts& ports, ChangeConfig config) : ports_(ports), config_(config) {}

  Result<Preflight> Check(const Actor& actor, const AccountId& account) override;
  Result<ChangeView> Start(const Actor& actor, ChangeRequest request) override;
  Result<std::vector<ChangeView>> History(const AccountId& account, std::size_t limit) override;
  Result<ChangeView> Get(const ChangeId& id) override;
  void Reconcile() override;

 private:
  // Marks a change as driven by this thread, so that no other drives it, and who repeats the
  // request waits for it.
  class Driving {
   public:
    Driving(SagaChangeService& service, const ChangeId& id);
    ~Driving();
    Driving(const Driving&) = delete;
    Driving& operator=(const Driving&) = delete;
    bool mine() const { return mine_; }

   private:
    SagaChangeService& service_;
    ChangeId id_;
    bool mine_;
  };

  Result<ChangeView> Run(const Actor& actor, ChangeRequest request);
  // A typed password against what is known of the policy, before the directory is asked; notes its
  // hash in the draft.
  Result<void> CheckAgainstPolicy(const SecureBytes& password, const AccountId& account,
                                  const PasswordPolicy& policy, ChangeRecord* draft);
  // Claims the change durably; seals again when the key's row moved meanwhile.
  Result<ChangeStore::Begun> Begin(const Actor& actor, const ChangeRecord& draft, KeyRecord key,
                                   const SecureBytes& password);
  Result<ChangeView> Attempt(const Actor& actor, const ChangeRow& row, SecureBytes password);
  Result<ChangeView> Answer(ChangeRow row, const Hash32& request_hash);
  Result<ChangeView> Outcome(const ChangeRow& row);

  // One look at the directory for an attempt that nobody drives any more. `superseding`: a new
  // change waits for this one, so an outcome that can never be known need not stay open.
  void Settle(const ChangeRow& row, bool superseding);
  void NoteSeen(const ChangeId& id);
  Result<ChangeRow> Confirm(const ChangeRow& row, const AuditEntry& audit);
  Result<ChangeRow> Close(const ChangeRow& row, ChangeState final, const Error& reason,
                          const AuditEntry& audit);
  void MarkUnknown(const ChangeRow& row, const PasswordStamp& since, const AuditEntry& audit);
  // After a lost answer: the directory's record and, where somebody wrote, one bind.
  Evidence Look(const ChangeRecord& change, const ChangeTarget& target, const SecureBytes& password,
                PasswordStamp* stamp);
  // Whether a request that left for this attempt can no longer be on its way.
  bool Settled(const ChangeId& id);
  Result<void> AuditRefusal(const Actor& actor, const std::string& target, const Error& error);

  CorePorts ports_;
  ChangeConfig config_;
  std::mutex mutex_;
  std::condition_variable ended_;
  std::set<ChangeId> driven_;
  // When this process first saw an attempt open: measured, so that no jump of the wall clock can
  // make an outcome final too early.
  std::map<ChangeId, std::chrono::steady_clock::time_point> first_seen_;
};

SagaChangeService::Driving::Driving(SagaChangeService& service, const ChangeId& id)
    : service_(service), id_(id) {
  const std::lock_guard lock(service_.mutex_);
  mine_ = service_.driven_.insert(id_).second;
}

SagaChangeService::Driving::~Driving() {
  if (!mine_) return;
  {
    const std::lock_guard lock(service_.mutex_);
    service_.driven_.erase(id_);
  }
  service_.ended_.notify_all();
}

Result<Preflight> SagaChangeService::Check(const Actor& actor, const AccountId& account) {
  auto clearance = Clear(ports_, actor, account, config_.respect_min_age);
  if (!clearance) return tl::unexpected(std::move(clearance.error()));
  Preflight preflight;
  preflight.allowed = clearance->refusal.empty();
  preflight.reason = clearance->refusal;
  preflight.note = clearance->note;
  preflight.typing_allowed = config_.allow_typing;
  if (clearance->key) {
    preflight.device = clearance->key->device;
    const auto sightings = ports_.presence.Sightings(clearance->key->device);
    preflight.key_seen = !sightings.empty();
    if (!sightings.empty()) preflight.seen_at = sightings.front().workstation_name;
  }
  return preflight;
}

Result<ChangeView> SagaChangeService::Start(const Actor& actor, ChangeRequest request) {
  try {
    return Run(actor, std::move(request));
  } catch (const std::bad_alloc&) {
    return Fail(ErrorCode::kUnavailable,
                "The server is out of locked memory; try again, and raise its memlock limit.");
  }
}

Result<ChangeView> SagaChangeService::Run(const Actor& actor, ChangeRequest request) {
  if (auto checked = CheckRequest(request, config_); !checked) {
    return tl::unexpected(std::move(checked.error()));
  }
  const Hash32 request_hash = HashOf(request);
  auto repeated = ports_.store.FindRepeated(actor.id, request.idempotency_key);
  if (!repeated) return tl::unexpected(std::move(repeated.error()));
  if (*repeated) return Answer(**std::move(repeated), request_hash);

  auto clearance = Clear(ports_, actor, request.account, config_.respect_min_age);
  if (!clearance) return tl::unexpected(std::move(clearance.error()));
  if (!clearance->refusal.empty()) {
    const Error refusal{clearance->code, clearance->refusal, {}, 0};
    const std::string target =
        clearance->person ? clearance->person->person.login : request.account.Hex();
    if (auto audited = AuditRefusal(actor, target, refusal); !audited) {
      return tl::unexpected(std::move(audited.error()));
    }
    return tl::unexpected(refusal);
  }

  KEYFERRY_FAILPOINT("server.change.cleared");
  auto target = ports_.directory.Pin(request.account, actor.id);
  if (!target) {
    const auto audited = AuditRefusal(actor, clearance->person->person.login, target.error());
    if (!audited) Log(ports_, "audit", audited.error());
    return tl::unexpected(std::move(target.error()));
  }

  KEYFERRY_FAILPOINT("server.change.pinned");
  ChangeRecord draft;
  const PasswordPolicy& policy = clearance->person->policy;
  SecureBytes password = std::move(request.typed);
  if (!request.generate) {
    if (auto fits = CheckAgainstPolicy(password, request.account, policy, &draft); !fits) {
      return tl::unexpected(std::move(fits.error()));
    }
  } else {
    const std::size_t length =
        std::clamp<std::size_t>(policy.min_length, config_.password_length, kMaxPasswordLength);
    auto made = GeneratePassword(length, ports_.random);
    if (!made) return tl::unexpected(std::move(made.error()));
    password = *std::move(made);
  }

  if (!ports_.random.Fill(draft.id.bytes) || !ports_.random.Fill(draft.job.bytes)) {
    return Fail(ErrorCode::kInternal, "The system gave no random numbers.");
  }
  draft.account = request.account;
  draft.login = clearance->person->person.login;
  draft.actor = actor.id;
  draft.actor_login = actor.login;
  draft.address = actor.address;
  draft.idempotency_key = request.idempotency_key;
  draft.request_hash = request_hash;
  draft.reason = request.reason;
  draft.generated = request.generate;
  draft.must_change = request.must_change;
  draft.unlock = request.unlock;
  draft.server = target->server;
  draft.password_last_set = target->before.last_set;
  draft.password_version = target->before.version;
  draft.server_time = target->before.now;
  draft.device = clearance->key->device;

  const Driving driving(*this, draft.id);
  auto begun = Begin(actor, draft, *std::move(clearance->key), password);
  if (begun && begun->claim == ChangeStore::Claim::kAccountBusy) {
    // The other change may be one whose outcome is still open: ask once, then try once more.
    Settle(begun->row, true);
    auto key = ports_.store.FindKey(draft.device);
    if (!key) return tl::unexpected(std::move(key.error()));
    if (!*key) return Fail(ErrorCode::kConflict, "The employee's key is gone; look again.");
    begun = Begin(actor, draft, **std::move(key), password);
  }
  if (!begun) return tl::unexpected(std::move(begun.error()));
  switch (begun->claim) {
    case ChangeStore::Claim::kRepeated:
      password.Clear();
      return Answer(std::move(begun->row), request_hash);
    case ChangeStore::Claim::kAccountBusy:
      return Fail(ErrorCode::kConflict,
                  begun->row.change.state == ChangeState::kUnknown
                      ? "The outcome of this employee's last change is still being checked; try "
                        "again in a minute."
                      : "Another change for this employee is running; look again in a moment.");
    case ChangeStore::Claim::kKeyBehind:
      return Fail(
          ErrorCode::kConflict,
          "Two passwords are on their way to the employee's key and it has not answered yet. "
          "Connect the key, so that it can; then set the next one. Nothing was changed.");
    case ChangeStore::Claim::kSeqTaken:
      return Fail(ErrorCode::kConflict, "The employee's key is changing just now; try again.");
    case ChangeStore::Claim::kBegun:
      break;
  }
  return Attempt(actor, begun->row, std::move(password));
}

Result<void> SagaChangeService::CheckAgainstPolicy(const SecureBytes& password,
                                                   const AccountId& account,
                                                   const PasswordPolicy& policy,
                                                   ChangeRecord* draft) {
  if (Utf16Length(password) < policy.min_length) {
    return Fail(ErrorCode::kPolicyRefused,
                "The password is too short: " + policy.source + " asks for at least " +
                    std::to_string(policy.min_length) + " characters. Nothing was changed.");
  }
  // A directory that holds resets to its own history needs no second one here.
  if (config_.history == 0 || policy.history_checked) return {};
  const auto former =
      ports_.store.TypedHistory(account, std::max<std::size_t>(config_.history, policy.history));
  if (!former) return tl::unexpected(former.error());
  if (former->empty()) {
    std::array<std::uint8_t, kHistorySaltSize> salt{};
    if (!ports_.random.Fill(salt)) {
      return Fail(ErrorCode::kInternal, "The system gave no random numbers.");
    }
    draft->history_salt = ToHex(salt);
  } else {
    draft->history_salt = former->front().change.history_salt;
  }
  auto hash = HistoryHash(password, draft->history_salt);
  if (!hash) return tl::unexpected(hash.error());
  for (const ChangeRow& row : *former) {
    if (row.change.history_salt == draft->history_salt && row.change.history_hash == *hash) {
      return Fail(ErrorCode::kPolicyRefused,
                  "This password was used before. Choose another one; nothing was changed.");
    }
  }
  draft->history_hash = *std::move(hash);
  return {};
}

Result<ChangeStore::Begun> SagaChangeService::Begin(const Actor& actor, const ChangeRecord& draft,
                                                    KeyRecord key, const SecureBytes& password) {
  constexpr int kTries = 5;
  ChangeStore::Begun begun;
  for (int i = 0; i < kTries; ++i) {
    ChangeRow row;
    row.change = draft;
    row.job.id = draft.job;
    row.job.device = key.device;
    row.job.enrolment = key.enrolment;
    row.job.account = draft.account;
    row.job.change = draft.id;
    row.job.seq = key.next_seq;
    row.job.base_seq = key.last_seq;
    row.job.epoch = key.epoch;
    const std::int64_t now = ports_.clock.UnixMillis();
    auto sealed = ports_.issuer.SealPassword(
        {draft.job, key.device, draft.account, key.epoch, key.recipient_pub, key.next_seq,
         key.last_seq, now / 1000, draft.login},
        password, ports_.random);
    if (!sealed) return tl::unexpected(std::move(sealed.error()));
    row.job.sealed = std::move(sealed->bytes);
    KEYFERRY_FAILPOINT("server.change.sealed");
    row.job.hash = sealed->hash;
    row.job.created = now;
    // Intent, held job and attempt become durable together: between them the server does nothing
    // that anybody else could see, and the first byte to the directory leaves after this returns.
    row.change.state = ChangeState::kAttempt;
    row.change.created = now;
    row.change.attempted = now;
    auto claimed = ports_.store.BeginChange(
        row.change, row.job,
        AuditOf(ports_.clock, actor, "password.attempt", draft.login, "ok", draft.reason));
    KEYFERRY_FAILPOINT("server.change.begun");
    if (!claimed || claimed->claim != ChangeStore::Claim::kSeqTaken) return claimed;
    begun = *std::move(claimed);
    auto fresh = ports_.store.FindKey(draft.device);
    if (!fresh) return tl::unexpected(std::move(fresh.error()));
    if (!*fresh || (*fresh)->state != KeyState::kActive || !(*fresh)->alarm.empty() ||
        (*fresh)->account != draft.account) {
      return Fail(ErrorCode::kConflict, "The employee's key is no longer active; look again.");
    }
    key = **std::move(fresh);
  }
  return begun;
}

Result<ChangeView> SagaChangeService::Attempt(const Actor& actor, const ChangeRow& row,
                                              SecureBytes password) {
  const ChangeRecord& change = row.change;
  NoteSeen(change.id);
  AnnounceAccount(ports_, change.account);
  const ChangeTarget target = TargetOf(change);
  Directory::SetOptions options;
  options.must_change = change.must_change;
  options.unlock = change.unlock;
  options.actor = change.actor;
  const auto set = ports_.directory.SetPassword(target, change.account, password, options);
  if (set || SurelyUnchanged(set.error().code)) password.Clear();

  if (set) {
    KEYFERRY_FAILPOINT("server.change.set");
    auto confirmed = Confirm(
        row, AuditOf(ports_.clock, actor, "password.set", change.login, "ok", change.reason));
    if (!confirmed) {
      Log(ports_, "password.set " + change.id.Hex(), confirmed.error());
      return Fail(ErrorCode::kOutcomeUnknown,
                  "The directory took the new password, but the server could not record it; it "
                  "will deliver it to the key as soon as it can.",
                  confirmed.error().detail);
    }
    return ViewOf(*confirmed);
  }
  if (SurelyUnchanged(set.error().code)) {
    KEYFERRY_FAILPOINT("server.change.refused");
    auto closed = Close(row, ChangeState::kFailed, set.error(),
                        AuditOf(ports_.clock, actor, "password.set", change.login,
                                OutcomeName(set.error().code), set.error().message));
    // Where even that could not be stored the reconciler will: the answer is true all the same.
    if (!closed) Log(ports_, "password.set " + change.id.Hex(), closed.error());
    return tl::unexpected(set.error());
  }
  Log(ports_, "password.set " + change.id.Hex(), set.error());
  PasswordStamp since = target.before;
  const Evidence evidence = Look(change, target, password, &since);
  password.Clear();
  if (evidence == Evidence::kApplied) {
    auto confirmed = Confirm(row, AuditOf(ports_.clock, actor, "password.set", change.login, "ok",
                                          "The answer was lost; the directory's record shows it."));
    if (confirmed) return ViewOf(*confirmed);
    Log(ports_, "password.set " + change.id.Hex(), confirmed.error());
  } else {
    MarkUnknown(row, since,
                AuditOf(ports_.clock, actor, "password.set", change.login,
                        OutcomeName(ErrorCode::kOutcomeUnknown), kUnknownReason));
  }
  return Fail(ErrorCode::kOutcomeUnknown, kUnknownReason, set.error().detail);
}

Evidence SagaChangeService::Look(const ChangeRecord& change, const ChangeTarget& target,
                                 const SecureBytes& password, PasswordStamp* stamp) {
  const auto now = ports_.directory.Stamp(target, change.account);
  if (!now) return Evidence::kUndecidable;
  Evidence evidence = Judge(change, *now, config_.settle_seconds);
  if (evidence == Evidence::kNotApplied) return evidence;
  // Somebody has written. While the password is still in memory one bind tells whether it was us.
  const auto tried = ports_.directory.TryPassword(target, change.account, password);
  if (tried) {
    evidence = Weigh(evidence, *tried);
  } else {
    Log(ports_, "try " + change.id.Hex(), tried.error());
  }
  // What another tool wrote is the past from now on: ours may still be on its way.
  if (evidence == Evidence::kForeign) *stamp = *now;
  return evidence;
}

Result<ChangeView> SagaChangeService::Answer(ChangeRow row, const Hash32& request_hash) {
  if (row.change.request_hash != request_hash) {
    return Fail(ErrorCode::kConflict,
                "This request was already used for something else; open the page anew.");
  }
  {
    std::unique_lock lock(mutex_);
    ended_.wait(lock, [&] { return driven_.count(row.change.id) == 0; });
  }
  auto latest = ports_.store.FindChange(row.change.id);
  if (!latest) return tl::unexpected(std::move(latest.error()));
  return Outcome(*latest ? **latest : row);
}

Result<ChangeView> SagaChangeService::Outcome(const ChangeRow& row) {
  switch (row.change.state) {
    case ChangeState::kFailed:
      return Fail(row.change.error_code, row.change.error);
    case ChangeState::kIntent:
    case ChangeState::kHeld:
    case ChangeState::kAttempt:
    case ChangeState::kUnknown:
      return Fail(ErrorCode::kOutcomeUnknown, kUnknownReason);
    default:
      return ViewOf(row);
  }
}

Result<ChangeRow> SagaChangeService::Confirm(const ChangeRow& row, const AuditEntry& audit) {
  const auto sightings = ports_.presence.Sightings(row.job.device);
  auto confirmed = ports_.store.ConfirmChange(row.change.id, ports_.clock.UnixMillis(),
                                              !sightings.empty(), audit);
  if (!confirmed) return tl::unexpected(std::move(confirmed.error()));
  {
    const std::lock_guard lock(mutex_);
    first_seen_.erase(row.change.id);
  }
  KEYFERRY_FAILPOINT("server.change.confirmed");
  for (const JobRecord& old : confirmed->superseded) {
    const WorkstationEvent event = VoidEvent(old.id);
    // Whoever spooled it may not see the key any more, and must drop it all the same.
    if (old.workstation != WorkstationId{}) Send(ports_, old.workstation, event);
    for (const Presence::Sighting& sighting : sightings) {
      if (sighting.workstation != old.workstation) Send(ports_, sighting.workstation, event);
    }
  }
  if (confirmed->hand_out) {
    const WorkstationEvent event = JobEvent(*confirmed->hand_out);
    for (const Presence::Sighting& sighting : sightings) Send(ports_, sighting.workstation, event);
  } else if (auto handed = HandOutReady(ports_, row.job.device); !handed) {
    Log(ports_, "hand out " + row.job.id.Hex(), handed.error());
  }
  KEYFERRY_FAILPOINT("server.change.handed_out");
  AnnounceAccount(ports_, row.change.account);
  return std::move(confirmed->row);
}

Result<ChangeRow> SagaChangeService::Close(const ChangeRow& row, ChangeState final,
                                           const Error& reason, const AuditEntry& audit) {
  auto closed = ports_.store.CloseChange(row.change.id, final, reason, audit);
  if (closed) {
    const std::lock_guard lock(mutex_);
    first_seen_.erase(row.change.id);
  }
  AnnounceAccount(ports_, row.change.account);
  return closed;
}

void SagaChangeService::MarkUnknown(const ChangeRow& row, const PasswordStamp& since,
                                    const AuditEntry& audit) {
  if (row.change.state != ChangeState::kAttempt) return;
  const auto marked = ports_.store.MarkUnknown(row.change.id, kUnknownReason, since, audit);
  if (!marked) Log(ports_, "change " + row.change.id.Hex(), marked.error());
  AnnounceAccount(ports_, row.change.account);
}

void SagaChangeService::NoteSeen(const ChangeId& id) {
  const std::lock_guard lock(mutex_);
  first_seen_.try_emplace(id, ports_.clock.Now());
}

bool SagaChangeService::Settled(const ChangeId& id) {
  const std::lock_guard lock(mutex_);
  const auto found = first_seen_.find(id);
  return found != first_seen_.end() &&
         ports_.clock.Now() - found->second >= std::chrono::seconds(config_.settle_seconds);
}

void SagaChangeService::Settle(const ChangeRow& row, bool superseding) {
  const ChangeRecord& change = row.change;
  const Driving driving(*this, change.id);
  if (!driving.mine()) return;
  NoteSeen(change.id);
  const auto audit = [&](std::string_view outcome, std::string_view detail) {
    return AuditBySystem(ports_.clock, "password.set", change.login, outcome, detail);
  };
  Result<ChangeRow> done = row;
  if (change.state == ChangeState::kIntent || change.state == ChangeState::kHeld) {
    const Error reason{ErrorCode::kUnavailable,
                       "The server stopped before it asked the directory; nothing was changed.",
                       {},
                       0};
    done =
        Close(row, ChangeState::kFailed, reason, audit(OutcomeName(reason.code), reason.message));
  } else {
    const ChangeTarget target = TargetOf(change);
    const auto now_set = ports_.directory.Stamp(target, change.account);
    const bool settled = Settled(change.id);
    const bool gone = !now_set && now_set.error().code == ErrorCode::kNotFound;
    const Evidence evidence =
        now_set ? Judge(change, *now_set, config_.settle_seconds) : Evidence::kUndecidable;
    if (evidence == Evidence::kApplied) {
      done = Confirm(row, audit("ok", "Found in the directory's record after an unknown outcome."));
    } else if (settled && (evidence == Evidence::kNotApplied || gone)) {
      const Error reason{gone ? ErrorCode::kNotFound : ErrorCode::kUnavailable,
                         gone ? "The account is no longer in the directory."
                              : "The directory did not take the password; nothing was changed.",
                         {},
                         0};
      done =
          Close(row, ChangeState::kFailed, reason, audit(OutcomeName(reason.code), reason.message));
    } else if (settled && evidence == Evidence::kForeign) {
      const Error reason{ErrorCode::kConflict, kForeignReason, {}, 0};
      done =
          Close(row, ChangeState::kFailed, reason, audit(OutcomeName(reason.code), reason.message));
    } else if (settled && now_set && superseding) {
      const Error reason{ErrorCode::kOutcomeUnknown,
                         "The directory could not say whether it took this password.",
                         {},
                         0};
      done = Close(row, ChangeState::kSuperseded, reason,
                   audit(OutcomeName(reason.code), reason.message));
    } else {
      MarkUnknown(row, target.before,
                  audit(OutcomeName(ErrorCode::kOutcomeUnknown), kUnknownReason));
    }
  }
  if (!done) Log(ports_, "change " + change.id.Hex(), done.error());
}

void SagaChangeService::Reconcile() {
  const auto open = ports_.store.OpenChanges();
  if (!open) {
    Log(ports_, "reconcile", open.error());
    return;
  }
  for (const ChangeRow& row : *open) Settle(row, false);
}

Result<std::vector<ChangeView>> SagaChangeService::History(const AccountId& account,
                                                           std::size_t limit) {
  auto rows = ports_.store.History(account, limit);
  if (!rows) return tl::unexpected(std::move(rows.error()));
  std::vector<ChangeView> views;
  views.reserve(rows->size());
  for (const ChangeRow& row : *rows) views.push_back(ViewOf(row));
  return views;
}

Result<ChangeView> SagaChangeService::Get(const ChangeId& id) {
  auto row = ports_.store.FindChange(id);
  if (!row) return tl::unexpected(std::move(row.error()));
  if (!*row) return Fail(ErrorCode::kNotFound, "There is no such change.");
  return ViewOf(**row);
}

Result<void> SagaChangeService::AuditRefusal(const Actor& actor, const std::string& target,
                                             const Error& error) {
  return ports_.store.AppendAudit(AuditOf(ports_.clock, actor, "password.refused", target,
                                          OutcomeName(error.code), error.message));
}

}  // namespace

std::unique_ptr<ChangeService> MakeChangeService(const CorePorts& ports, ChangeConfig config) {
  return std::make_unique<SagaChangeService>(ports, config);
}

}  // namespace keyferry::server
