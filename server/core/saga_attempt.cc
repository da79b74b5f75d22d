#include <algorithm>
#include <utility>

#include "protocol/failpoint.h"
#include "server/core/change_view.h"
#include "server/core/dispatch.h"
#include "server/core/saga.h"
#include "server/core/sealing.h"

namespace keyferry::server {
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

ChangeTarget TargetOf(const ChangeRecord& change) {
  ChangeTarget target;
  target.server = change.server;
  target.before.last_set = change.password_last_set;
  target.before.version = change.password_version;
  target.before.now = change.server_time;
  return target;
}

NoticeDraft NoticeOf(const ChangeRecord& change, NoticeKind kind) {
  return {kind, change.account, change.login, change.actor, change.actor_login, change.address,
          {},   change.reason};
}

AuditEntry Saga::Audit(const ChangeRecord& change, std::string_view action,
                       std::string_view outcome, std::string_view detail) const {
  Actor actor;
  actor.login = change.actor_login;
  actor.address = change.address;
  return AuditOf(ports_.clock, actor, action, change.login, outcome, detail);
}

Result<ChangeView> Saga::Attempt(const ChangeRow& row, SecureBytes password, std::uint64_t tenure) {
  const ChangeRecord& change = row.change;
  NoteSeen(change.id);
  bool announced = false;
  const auto announce = [&] {
    if (!std::exchange(announced, true)) AnnounceAccount(ports_, change.account);
  };
  ChangeTarget target = TargetOf(change);
  target.tenure = tenure;
  Directory::SetOptions options;
  options.must_change = change.must_change;
  options.unlock = change.unlock;
  options.actor = AskerOf(change.actor, change.account);
  options.sent = announce;  // nobody need wait for those who watch
  const auto set = ports_.directory.SetPassword(target, change.account, password, options);
  announce();
  if (!set && SurelyUnchanged(set.error().code)) password.Clear();

  if (set) {
    KEYFERRY_FAILPOINT("server.change.set");
    return Took(row, std::move(password), change.reason);
  }
  if (SurelyUnchanged(set.error().code)) {
    KEYFERRY_FAILPOINT("server.change.refused");
    Error refusal = set.error();
    if (change.doubt) refusal.message += kDoubtReason;
    auto closed = Close(row, ChangeState::kFailed, refusal,
                        Audit(change, "password.set", OutcomeName(refusal.code), refusal.message));
    // Where even that could not be stored the reconciler will: the answer is true all the same.
    if (!closed) Log(ports_, "password.set " + change.id.Hex(), closed.error());
    return tl::unexpected(refusal);
  }
  Log(ports_, "password.set " + change.id.Hex(), set.error());
  PasswordStamp since = target.before;
  const Evidence evidence = Look(ports_.directory, change, target, password, &since);
  if (evidence == Evidence::kApplied) {
    return Took(row, std::move(password), "The answer was lost; the directory's record shows it.");
  }
  const bool open = MarkUnknown(
      row, since,
      Audit(change, "password.set", OutcomeName(ErrorCode::kOutcomeUnknown), kUnknownReason));
  if (!open) return SettledMeanwhile(row, false);
  return Fail(ErrorCode::kOutcomeUnknown, kUnknownReason, set.error().detail);
}

Result<ChangeView> Saga::Took(const ChangeRow& row, SecureBytes password, std::string_view how) {
  auto confirmed = Confirm(row, Audit(row.change, "password.set", "ok", how));
  if (confirmed) return Applied(*confirmed, std::move(password));
  Log(ports_, "password.set " + row.change.id.Hex(), confirmed.error());
  if (confirmed.error().code == ErrorCode::kConflict) return SettledMeanwhile(row, true);
  return Fail(ErrorCode::kOutcomeUnknown,
              "The directory took the new password, but the server could not record it; it will "
              "deliver it to the key as soon as it can.",
              confirmed.error().detail);
}

Result<ChangeView> Saga::SettledMeanwhile(const ChangeRow& row, bool taken) {
  const auto again = [&](const Error& error) {
    Log(ports_, "password.set " + row.change.id.Hex(), error);
    const std::lock_guard lock(mutex_);
    late_.emplace_back(row, taken);
  };
  const auto now = ports_.store.FindChange(row.change.id);
  if (!now) again(now.error());
  if (!now || !*now) return Fail(ErrorCode::kOutcomeUnknown, kUnknownReason);
  switch ((*now)->change.state) {
    case ChangeState::kConfirmed:
    case ChangeState::kDone:
      return ViewOf(**now);
    case ChangeState::kFailed:
    case ChangeState::kSuperseded:
      break;
    default:
      return Fail(ErrorCode::kOutcomeUnknown, kUnknownReason);
  }
  const char* const late = taken ? kLateReason : kPerhapsLateReason;
  AuditEntry audit = Audit(row.change, "password.set", OutcomeName(ErrorCode::kConflict), late);
  if (taken) audit.notice = NoticeOf(row.change, NoticeKind::kPasswordSet);
  const auto marked = ports_.store.MarkDoubt(row.change.id, late, audit);
  if (!marked) again(marked.error());
  AnnounceAccount(ports_, row.change.account);
  return Fail(ErrorCode::kConflict, late);
}

ChangeView Saga::Applied(const ChangeRow& row, SecureBytes password) {
  // A change that was begun here cannot go to a source that is not configured here.
  if (ports_.sources.empty()) return ViewOf(row);
  WriteSources(row, password);
  password.Clear();
  return View(row);
}

Evidence Saga::Look(Directory& directory, const ChangeRecord& change, const ChangeTarget& target,
                    const SecureBytes& password, PasswordStamp* stamp) {
  const auto now = directory.Stamp(target, change.account);
  if (!now) return Evidence::kUndecidable;
  Evidence evidence = Judge(change, *now, config_.settle_seconds);
  if (evidence == Evidence::kNotApplied) return evidence;
  // Somebody has written. While the password is still in memory one bind tells whether it was us.
  const auto tried = directory.TryPassword(target, change.account, password);
  if (tried) {
    evidence = Weigh(evidence, *tried);
  } else {
    Log(ports_, "try " + change.id.Hex(), tried.error());
  }
  // What another tool wrote is the past from now on: ours may still be on its way.
  if (evidence == Evidence::kForeign) *stamp = *now;
  return evidence;
}

Result<ChangeStore::Confirmed> Saga::ConfirmInStore(const ChangeRow& row, const AuditEntry& audit) {
  const auto seen = [&](const DeviceId& device) {
    return !ports_.presence.Sightings(device).empty();
  };
  const auto confirm = [&](const JobRecord* commit) {
    return ports_.store.ConfirmChange(row.change.id, row.change.account, commit,
                                      ports_.clock.UnixMillis(), seen, audit);
  };
  if (row.change.mode == ChangeMode::kNow) return confirm(nullptr);
  constexpr int kTries = 5;
  for (int i = 0; i < kTries; ++i) {
    const auto key = ports_.store.FindKey(row.job.device);
    if (!key) return tl::unexpected(key.error());
    const bool gone = !*key || (*key)->enrolment != row.job.enrolment || IsOutOfUse((*key)->state);
    if (gone) return confirm(nullptr);
    auto commit = SealFollowUp(ports_, **key, row.job, JobType::kCommit);
    if (!commit) return tl::unexpected(std::move(commit.error()));
    KEYFERRY_FAILPOINT("server.commit.sealed");
    auto confirmed = confirm(&*commit);
    if (!confirmed || !confirmed->seq_taken) return confirmed;
  }
  return Fail(ErrorCode::kUnavailable, "The key's record is changing all the time.");
}

void Saga::Spread(const std::vector<JobRecord>& superseded, const std::vector<JobRecord>& jobs,
                  const std::vector<DeviceId>& devices) {
  for (const JobRecord& old : superseded) {
    const WorkstationEvent event = VoidEvent(old.id);
    // Whoever spooled it may not see the key any more, and must drop it all the same.
    if (old.workstation != WorkstationId{}) Send(ports_, old.workstation, event);
    for (const Presence::Sighting& sighting : ports_.presence.Sightings(old.device)) {
      if (sighting.workstation != old.workstation) Send(ports_, sighting.workstation, event);
    }
  }
  for (const JobRecord& job : jobs) SendToSeers(ports_, job.device, JobEvent(job));
  for (const DeviceId& device : devices) {
    const bool told = std::any_of(jobs.begin(), jobs.end(),
                                  [&](const JobRecord& job) { return job.device == device; });
    if (told) continue;
    if (auto handed = HandOutReady(ports_, device); !handed) {
      Log(ports_, "hand out to " + device.Hex(), handed.error());
    }
  }
}

Result<ChangeRow> Saga::Confirm(const ChangeRow& row, AuditEntry audit) {
  audit.notice = NoticeOf(row.change, NoticeKind::kPasswordSet);
  auto confirmed = ConfirmInStore(row, audit);
  if (!confirmed) return tl::unexpected(std::move(confirmed.error()));
  {
    const std::lock_guard lock(mutex_);
    first_seen_.erase(row.change.id);
  }
  KEYFERRY_FAILPOINT("server.change.confirmed");
  Spread(confirmed->superseded, confirmed->hand_out, confirmed->devices);
  KEYFERRY_FAILPOINT("server.change.handed_out");
  AnnounceAccount(ports_, row.change.account);
  return std::move(confirmed->row);
}

Result<ChangeRow> Saga::Close(const ChangeRow& row, ChangeState final, const Error& reason,
                              const AuditEntry& audit, ChangeStore::From from) {
  auto closed = ports_.store.CloseChange(row.change.id, from, final, reason, audit);
  if (closed) {
    const std::lock_guard lock(mutex_);
    first_seen_.erase(row.change.id);
    held_.erase(row.change.id);
  }
  AnnounceAccount(ports_, row.change.account);
  return closed;
}

bool Saga::MarkUnknown(const ChangeRow& row, const PasswordStamp& since, const AuditEntry& audit) {
  if (row.change.state != ChangeState::kAttempt) return true;
  const auto marked = ports_.store.MarkUnknown(row.change.id, kUnknownReason, since, audit);
  if (!marked) Log(ports_, "change " + row.change.id.Hex(), marked.error());
  AnnounceAccount(ports_, row.change.account);
  return marked || marked.error().code != ErrorCode::kConflict;
}

void Saga::NoteSeen(const ChangeId& id) {
  const std::lock_guard lock(mutex_);
  first_seen_.try_emplace(id, ports_.clock.Now());
}

bool Saga::Settled(const ChangeId& id) {
  const std::lock_guard lock(mutex_);
  const auto found = first_seen_.find(id);
  return found != first_seen_.end() &&
         ports_.clock.Now() - found->second >= std::chrono::seconds(config_.settle_seconds);
}

void Saga::Settle(const ChangeRow& row, bool superseding) {
  const ChangeRecord& change = row.change;
  const Driving driving(*this, change.id, Driving::kTry);
  if (!driving.mine()) return;
  NoteSeen(change.id);
  const auto fail = [&](ErrorCode code, std::string why) {
    if (change.doubt) why += kDoubtReason;
    return Error{code, std::move(why), {}, 0};
  };
  const auto audit = [&](std::string_view outcome, std::string_view detail) {
    return AuditBySystem(ports_.clock, "password.set", change.login, outcome, detail);
  };
  Result<ChangeRow> done = row;
  if (change.state == ChangeState::kIntent || change.state == ChangeState::kHeld) {
    const Error reason =
        fail(ErrorCode::kUnavailable,
             "The server stopped before it asked the directory; nothing was changed.");
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
      const Error reason =
          gone ? fail(ErrorCode::kNotFound, "The account is no longer in the directory.")
               : fail(ErrorCode::kUnavailable,
                      "The directory did not take the password; nothing was changed.");
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

}  // namespace keyferry::server
