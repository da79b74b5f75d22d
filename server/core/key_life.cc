#include "server/core/key_life.h"

#include <string>
#include <utility>

#include "server/core/audit_entry.h"
#include "server/core/dispatch.h"
#include "server/core/encoding.h"
#include "server/core/four_eyes.h"
#include "server/core/sealing.h"

namespace keyferry::server {
namespace {

constexpr std::size_t kMaxReason = 200;

struct Rule {
  KeyState to;
  const char* action;      // of the audit log
  const char* job_reason;  // of the jobs that it cancels
};

Rule RuleOf(KeyStep step) {
  switch (step) {
    case KeyStep::kSuspend:
      return {KeyState::kSuspended, "key.suspend", ""};
    case KeyStep::kResume:
      return {KeyState::kActive, "key.resume", ""};
    case KeyStep::kCompromise:
      return {KeyState::kCompromised, "key.compromise",
              "The key was reported lost or stolen; enrol another if it was the only one, and set "
              "a new "
              "password."};
    case KeyStep::kDeactivate:
      break;
  }
  return {KeyState::kDeactivated, "key.deactivate",
          "The key was deactivated; enrol another if it was the only one, and set a new password."};
}

// Empty when the step may be taken from here.
std::string Objection(const KeyRecord& key, KeyStep step) {
  if (IsOutOfUse(key.state)) return "This key is out of use for good; enrol it anew to use it.";
  if (step == KeyStep::kSuspend && key.state != KeyState::kActive) {
    return "This key is not active, so it cannot be suspended.";
  }
  if (step == KeyStep::kResume && key.state != KeyState::kSuspended) {
    return "This key is not suspended.";
  }
  if (step == KeyStep::kResume && !key.alarm.empty()) {
    return "This key is under suspicion; deactivate it and enrol another. " + key.alarm;
  }
  return {};
}

constexpr const char* kNoKey = "This key is not enrolled here.";

// What has to stand when the key of a privileged person may be used again (four_eyes.h).
Result<Precondition> GuardResume(const CorePorts& ports, const Actor& actor, const KeyRecord& key,
                                 const std::string& reason) {
  if (ports.four_eyes == nullptr) return Precondition();
  GuardedAsk ask;
  ask.action = GuardedAction::kKeyResume;
  auto person = ports.directory.Get(key.account);
  if (!person) return tl::unexpected(std::move(person.error()));
  ask.person = *std::move(person);
  ask.reason = reason;
  ask.facts = {{"device", key.device.Hex()}};
  auto cleared = ports.four_eyes->Clear(actor, ask);
  if (cleared || ApprovalNeeded(cleared.error())) return cleared;
  auto audited =
      ports.store.AppendAudit(AuditOf(ports.clock, actor, "key.resume", key.device.Hex(),
                                      OutcomeName(cleared.error().code), cleared.error().message));
  return audited ? cleared : Result<Precondition>(tl::unexpected(std::move(audited.error())));
}

Result<KeyRecord> Find(const CorePorts& ports, const DeviceId& device) {
  auto found = ports.store.FindKey(device);
  if (!found) return tl::unexpected(std::move(found.error()));
  if (!*found) return Fail(ErrorCode::kNotFound, kNoKey);
  return **std::move(found);
}

}  // namespace

Result<void> StepKey(const CorePorts& ports, const Actor& actor, const DeviceId& device,
                     KeyStep step, std::string_view reason) {
  if (!May(actor.roles, RightOf(step))) {
    return Fail(ErrorCode::kPermissionDenied,
                "You are not allowed to do this with keys; ask an administrator.");
  }
  if (reason.empty() || reason.size() > kMaxReason) {
    return Fail(ErrorCode::kInvalidArgument, "Give a reason of at most 200 bytes.");
  }
  auto key = Find(ports, device);
  if (!key) return tl::unexpected(std::move(key.error()));
  if (auto reach = CheckReach(ports, actor, RightOf(step), key->account); !reach) {
    // As if it were not there.
    if (reach.error().code == ErrorCode::kNotFound) return Fail(ErrorCode::kNotFound, kNoKey);
    return tl::unexpected(std::move(reach.error()));
  }
  if (std::string why = Objection(*key, step); !why.empty()) {
    return Fail(ErrorCode::kConflict, std::move(why));
  }
  const Rule rule = RuleOf(step);
  KeyStore::KeyMove move{device,  key->enrolment,           key->state,
                         rule.to, Presentable(reason, 200), rule.job_reason};
  if (step == KeyStep::kResume) {
    auto only_if = GuardResume(ports, actor, *key, move.reason);
    if (!only_if) return tl::unexpected(std::move(only_if.error()));
    move.only_if = *std::move(only_if);
  }
  AuditEntry audit = AuditOf(ports.clock, actor, rule.action, device.Hex(), "ok",
                             "Key of " + key->login + ": " + move.reason);
  audit.notice =
      NoticeDraft{step == KeyStep::kResume ? NoticeKind::kKeyResumed : NoticeKind::kKeyOut,
                  key->account,
                  key->login,
                  actor.id,
                  actor.login,
                  actor.address,
                  device,
                  move.reason};
  const auto moved = ports.store.MoveKey(move, audit);
  if (!moved) return tl::unexpected(moved.error());
  if (!*moved) {
    return Fail(ErrorCode::kConflict, "Somebody else changed this key meanwhile; look again.");
  }
  for (const JobRecord& job : **moved) {
    if (job.workstation != WorkstationId{}) Send(ports, job.workstation, VoidEvent(job.id));
    SendToSeers(ports, device, VoidEvent(job.id));
  }
  key->state = rule.to;
  SendToSeers(ports, device, KeyEvent(*key));
  if (!ports.presence.Sightings(device).empty()) {
    if (auto queued = WipeIfDue(ports, device); !queued) return queued;
    if (auto handed = HandOutReady(ports, device); !handed) return handed;
  }
  ports.bus.Publish("keys", {"change", "{}"});
  AnnounceAccount(ports, key->account);
  return {};
}

Result<void> WipeIfDue(const CorePorts& ports, const DeviceId& device) {
  constexpr int kTries = 5;  // the row may move between reading and claiming
  for (int i = 0; i < kTries; ++i) {
    const auto key = ports.store.FindKey(device);
    if (!key) return tl::unexpected(key.error());
    if (!*key || !IsOutOfUse((*key)->state) || (*key)->wiped != 0) return {};
    const auto job = SealWipeJob(ports, **key);
    if (!job) return tl::unexpected(job.error());
    const auto queued = ports.store.QueueWipe(
        *job, AuditBySystem(ports.clock, "key.wipe", device.Hex(), "ok",
                            "Queued for the key that was " + (*key)->login + "'s."));
    if (!queued) return tl::unexpected(queued.error());
    if (*queued) return {};
    const auto again = ports.store.FindKey(device);
    if (!again) return tl::unexpected(again.error());
    if (*again && (*again)->next_seq == (*key)->next_seq) return {};  // one waits already
  }
  return {};
}

}  // namespace keyferry::server
