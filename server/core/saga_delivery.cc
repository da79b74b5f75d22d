// Mode *at delivery*: the directory is asked only when the key has proved that it is prepared.
#include <algorithm>
#include <new>
#include <utility>

#include "protocol/failpoint.h"
#include "server/core/change_view.h"
#include "server/core/dispatch.h"
#include "server/core/encoding.h"
#include "server/core/key_choice.h"
#include "server/core/saga.h"
#include "server/core/sealing.h"

namespace keyferry::server {
namespace {

constexpr const char* kExpiredReason =
    "The employee's key was not seen in time, so this change was given up; nothing was changed.";

// Whether the key has refused to be prepared for this change.
bool HasRefused(const ChangeRow& row, const KeyRecord& key) {
  return std::any_of(row.keys.begin(), row.keys.end(), [&](const KeyJob& of) {
    return of.job.enrolment == key.enrolment && of.job.state == JobState::kRefused;
  });
}

}  // namespace

Result<ChangeView> Saga::RunAtDelivery(const Actor& actor, const ChangeRecord& draft,
                                       const Precondition& only_if) {
  ChangeRecord change = draft;
  change.state = ChangeState::kIntent;
  change.created = ports_.clock.UnixMillis();
  change.expires = change.created + config_.wait_seconds * 1000;
  AuditEntry audit = AuditOf(ports_.clock, actor, "password.wait", change.login, "ok",
                             "To be set when the key is there. " + change.reason);
  // A person's doing can be stopped before anything has happened. Rotation tells when it has.
  if (change.actor != AccountId{}) audit.notice = NoticeOf(change, NoticeKind::kPasswordWaits);
  auto begun = ports_.store.BeginWaiting(change, audit, only_if);
  if (begun && begun->claim == ChangeStore::Claim::kAccountBusy) {
    MakeWay(begun->row);
    begun = ports_.store.BeginWaiting(change, audit, only_if);
  }
  if (!begun) return tl::unexpected(std::move(begun.error()));
  if (begun->claim == ChangeStore::Claim::kRepeated) {
    return Answer(std::move(begun->row), draft.request_hash);
  }
  if (begun->claim != ChangeStore::Claim::kBegun) return Busy(begun->row);
  KEYFERRY_FAILPOINT("server.wait.begun");
  AnnounceAccount(ports_, change.account);
  return View(begun->row);
}

void Saga::Proceed(const AccountId& account) {
  const auto open = ports_.store.OpenChangeOf(account);
  if (!open) return Log(ports_, "change of " + account.Hex(), open.error());
  if (*open) {
    if ((*open)->change.mode == ChangeMode::kAtDelivery) ProceedWith(**open);
    return;
  }
  const auto keys = ports_.store.KeysOf(account);
  if (!keys) return Log(ports_, "change of " + account.Hex(), keys.error());
  for (const KeyRecord& key : *keys) {
    if (key.held) DropHeld(key);
  }
}

void Saga::ProceedWith(ChangeRow row) {
  if (auto quiet = CheckNoAlarm(ports_.store); !quiet) {  // it goes on when the alarm has ended
    if (quiet.error().code != ErrorCode::kConflict) {
      Log(ports_, "change " + row.change.id.Hex(), quiet.error());
    }
    return;
  }
  const AccountId account = row.change.account;
  // So does one of a person who said that it was not them, if it was lifted in time.
  const auto frozen = ports_.store.IsFrozen(account);
  if (!frozen) return Log(ports_, "change " + row.change.id.Hex(), frozen.error());
  if (*frozen) return;
  bool over = false;
  {
    const Driving driving(*this, row.change.id, Driving::kWait);
    constexpr int kSteps = 8;  // a change takes three; beyond that somebody moves it all the time
    for (int i = 0; i < kSteps; ++i) {
      // As it is now: who drove it before may have moved it.
      const auto fresh = ports_.store.FindChange(row.change.id);
      if (!fresh) return Log(ports_, "change " + row.change.id.Hex(), fresh.error());
      if (!*fresh) return;
      row = **fresh;
      const ChangeState state = row.change.state;
      over = state == ChangeState::kFailed || state == ChangeState::kSuperseded;
      if (state != ChangeState::kIntent && state != ChangeState::kHeld) break;
      try {
        if (!Prepare(row)) break;
      } catch (const std::bad_alloc&) {
        return Log(ports_, "change " + row.change.id.Hex(),
                   {ErrorCode::kUnavailable,
                    "The server is out of locked memory; raise its memlock limit.",
                    {},
                    0});
      }
    }
  }
  if (over) Proceed(account);  // what the key was prepared with is to be dropped
}

bool Saga::Prepare(const ChangeRow& row) {
  const ChangeRecord& change = row.change;
  auto keys = ports_.store.KeysOf(change.account);
  if (!keys) {
    Log(ports_, "change " + change.id.Hex(), keys.error());
    return false;
  }
  std::erase_if(*keys, [](const KeyRecord& key) {
    return key.state != KeyState::kActive || !key.alarm.empty();
  });
  // A HOLD for a key that was replaced meanwhile is of no use any more.
  const bool held = change.state == ChangeState::kHeld &&
                    std::any_of(keys->begin(), keys->end(),
                                [&](auto& key) { return key.enrolment == row.job.enrolment; });
  std::erase_if(*keys, [&](const KeyRecord& key) { return HasRefused(row, key); });
  if (held && row.job.state == JobState::kDelivered) {
    if (auto mine = TakeHeld(row)) return AttemptHeld(row, *std::move(mine));
    // Another process has the password in its memory, and will go on.
    if (config_.shared_store && change.holder != self_ &&
        ports_.clock.UnixMillis() < change.prepared + config_.handover_seconds * 1000) {
      return false;
    }
  } else {
    if (change.expires != 0 && change.expires <= ports_.clock.UnixMillis()) {
      GiveUp(row, {ErrorCode::kUnavailable, kExpiredReason, {}, 0});
      return true;
    }
    if (held && row.job.state == JobState::kRefused && keys->empty()) {
      GiveUp(row, {ErrorCode::kKeyRefused,
                   "The key refused to be prepared, so nothing was changed. " + row.job.last_error,
                   {},
                   0});
      return true;
    }
    // On its way to the key: whether the key takes it must be known before it gets another. Where
    // it went away before, the person's next key is prepared instead.
    const bool under_way =
        held && (row.job.state == JobState::kReady || row.job.state == JobState::kSpooled);
    if (under_way && !ports_.presence.Sightings(row.job.device).empty()) return false;
  }
  std::erase_if(*keys, [&](const KeyRecord& key) {
    return key.restored != 0 || ports_.presence.Sightings(key.device).empty();
  });
  if (keys->empty()) return false;
  // The keys may be others by now, and their owner no longer somebody to set a password for. The
  // request was authorised when it was made.
  Actor actor;
  actor.id = change.actor;
  actor.login = change.actor_login;
  actor.address = change.address;
  actor.roles = change.actor == change.account ? Role::kEmployee : Role::kAdministrator;
  auto clearance = Clear(ports_, actor, change.account, config_.respect_min_age, Purpose::kLook);
  if (!clearance) {
    Log(ports_, "change " + change.id.Hex(), clearance.error());
    return false;
  }
  if (!clearance->refusal.empty()) {
    GiveUp(row, {clearance->code, clearance->refusal, {}, 0});
    return true;
  }
  {
    const std::lock_guard lock(mutex_);
    if (held_.size() >= config_.max_held && held_.count(change.id) == 0) return false;
  }
  // The sources as well, before the key is prepared for something that one of them refuses.
  const auto chosen = ChooseAgain(actor, clearance->person->person, change);
  if (!chosen) {
    if (chosen.error().code == ErrorCode::kUnavailable ||
        chosen.error().code == ErrorCode::kDeadline) {
      Log(ports_, "change " + change.id.Hex(), chosen.error());
      return false;
    }
    GiveUp(row, chosen.error());
    return true;
  }
  auto password = MakePassword(Strictest(clearance->person->policy, *chosen));
  if (!password) {
    Log(ports_, "change " + change.id.Hex(), password.error());
    return false;
  }
  for (const KeyRecord& key : *keys) {
    const auto queued = Hold(row, key, *password);
    if (!queued) {
      Log(ports_, "change " + change.id.Hex(), queued.error());
      return false;
    }
    if (queued->claim != ChangeStore::Claim::kBegun) continue;
    KEYFERRY_FAILPOINT("server.hold.committed");
    std::vector<JobRecord> jobs;
    if (queued->hand_out) jobs.push_back(*queued->hand_out);
    Spread(queued->superseded, jobs, {key.device});
    KEYFERRY_FAILPOINT("server.hold.handed_out");
    AnnounceAccount(ports_, change.account);
    return false;
  }
  ForgetHeld(change.id);
  return false;
}

Result<ChangeStore::Queued> Saga::Hold(const ChangeRow& row, KeyRecord key,
                                       const SecureBytes& password) {
  constexpr int kTries = 5;
  ChangeStore::Queued queued;
  for (int i = 0; i < kTries; ++i) {
    ChangeRecord change = row.change;
    if (!ports_.random.Fill(change.job.bytes)) {
      return Fail(ErrorCode::kInternal, "The system gave no random numbers.");
    }
    change.device = key.device;
    change.holder = self_;
    auto job = SealPasswordJob(ports_, key, change, change.job, JobType::kHold, password);
    if (!job) return tl::unexpected(std::move(job.error()));
    KEYFERRY_FAILPOINT("server.hold.sealed");
    // Before the row: once that is durable the receipt may come at any moment.
    KeepHeld(change.id, {change.job, password.Clone(),
                         ports_.clock.Now() + std::chrono::seconds(config_.hold_seconds)});
    auto stored = ports_.store.HoldChange(
        change, row.change.job, *job, !ports_.presence.Sightings(key.device).empty(),
        Audit(change, "password.prepare", "ok",
              "Sealed for the pending slot of key " + key.device.Hex() + "."));
    if (!stored || stored->claim != ChangeStore::Claim::kSeqTaken) return stored;
    queued = *std::move(stored);
    auto fresh = ports_.store.FindKey(key.device);
    if (!fresh) return tl::unexpected(std::move(fresh.error()));
    if (!*fresh) break;
    key = **std::move(fresh);
  }
  return queued;
}

bool Saga::AttemptHeld(const ChangeRow& row, Held held) {
  auto target =
      ports_.directory.Pin(row.change.account, AskerOf(row.change.actor, row.change.account));
  if (!target) {
    const ErrorCode code = target.error().code;
    if (code == ErrorCode::kPermissionDenied || code == ErrorCode::kNotFound ||
        code == ErrorCode::kConflict || code == ErrorCode::kPolicyRefused) {
      GiveUp(row, target.error());
      return true;
    }
    // Nothing was asked: tried again every minute, for as long as the password is kept.
    Log(ports_, "change " + row.change.id.Hex(), target.error());
    KeepHeld(row.change.id, std::move(held));
    return false;
  }
  KEYFERRY_FAILPOINT("server.held.pinned");
  ChangeRecord change = row.change;
  change.server = target->server;
  change.password_last_set = target->before.last_set;
  change.password_version = target->before.version;
  change.server_time = target->before.now;
  change.attempted = ports_.clock.UnixMillis();
  const auto attempted = RecordAttempt(change, held.password);
  if (!attempted || !*attempted) {
    if (!attempted) Log(ports_, "change " + row.change.id.Hex(), attempted.error());
    if (attempted) KeepHeld(row.change.id, std::move(held));
    return false;
  }
  KEYFERRY_FAILPOINT("server.held.attempted");
  // Its outcome is in the row; there is nobody to be told it here.
  const auto done = Attempt(**attempted, std::move(held.password), target->tenure);
  if (!done) Log(ports_, "password.set " + change.id.Hex(), done.error());
  return true;
}

Result<std::optional<ChangeRow>> Saga::RecordAttempt(const ChangeRecord& change,
                                                     const SecureBytes& password) {
  constexpr int kTries = 5;
  std::vector<DeviceId> without = {change.device};
  for (int i = 0; i < kTries; ++i) {
    const auto keys = FreshKeys(change.account, without);
    if (!keys) return tl::unexpected(keys.error());
    JobId first;
    if (!ports_.random.Fill(first.bytes)) {
      return Fail(ErrorCode::kInternal, "The system gave no random numbers.");
    }
    const auto jobs = SealSets(change, *keys, first, password);
    if (!jobs) return tl::unexpected(jobs.error());
    KEYFERRY_FAILPOINT("server.held.sealed");
    auto attempted = ports_.store.AttemptHeld(
        change, *jobs,
        Audit(change, "password.attempt", "ok", "The key is prepared. " + change.reason));
    if (!attempted) return tl::unexpected(std::move(attempted.error()));
    if (attempted->claim == ChangeStore::Claim::kBegun) return std::move(attempted->row);
    // One that is behind does not keep the others from the new password, unless it is about to
    // answer: then that is what drives the change on.
    if (!LeaveOut(attempted->behind, without)) break;
  }
  return std::nullopt;
}

void Saga::GiveUp(const ChangeRow& row, const Error& reason) {
  Error why = reason;
  if (row.change.doubt) why.message += kDoubtReason;
  const auto closed = Close(row, ChangeState::kFailed, why,
                            Audit(row.change, "password.set", OutcomeName(why.code), why.message),
                            ChangeStore::From::kWaiting);
  if (!closed) Log(ports_, "change " + row.change.id.Hex(), closed.error());
}

void Saga::KeepHeld(const ChangeId& id, Held held) {
  const std::lock_guard lock(mutex_);
  held_[id] = std::move(held);
}

std::optional<Saga::Held> Saga::TakeHeld(const ChangeRow& row) {
  const std::lock_guard lock(mutex_);
  const auto found = held_.find(row.change.id);
  if (found == held_.end()) return std::nullopt;
  Held held = std::move(found->second);
  held_.erase(found);
  if (held.job != row.job.id || held.until <= ports_.clock.Now()) return std::nullopt;
  return held;
}

void Saga::ForgetHeld(const ChangeId& id) {
  const std::lock_guard lock(mutex_);
  held_.erase(id);
}

void Saga::ForgetOldHeld() {
  const std::lock_guard lock(mutex_);
  std::erase_if(
      held_, [now = ports_.clock.Now()](const auto& entry) { return entry.second.until <= now; });
}

void Saga::DropHeld(const KeyRecord& key) {
  const auto hold = ports_.store.HeldInVain(key.device);
  if (!hold) return Log(ports_, "pending slot of " + key.device.Hex(), hold.error());
  if (!*hold) return;
  auto drop = SealFollowUp(ports_, key, **hold, JobType::kDrop);
  if (!drop) return Log(ports_, "pending slot of " + key.device.Hex(), drop.error());
  KEYFERRY_FAILPOINT("server.drop.sealed");
  const auto queued = ports_.store.QueueDrop(
      *drop, !ports_.presence.Sightings(key.device).empty(),
      AuditBySystem(ports_.clock, "password.drop", key.login, "ok",
                    "What key " + key.device.Hex() + " was prepared with is to be erased."));
  if (!queued) return Log(ports_, "pending slot of " + key.device.Hex(), queued.error());
  if (queued->claim != ChangeStore::Claim::kBegun) return;
  KEYFERRY_FAILPOINT("server.drop.committed");
  std::vector<JobRecord> jobs;
  if (queued->hand_out) jobs.push_back(*queued->hand_out);
  Spread(queued->superseded, jobs, {key.device});
}

}  // namespace keyferry::server
