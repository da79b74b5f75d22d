#include "server/core/receipts.h"

#include <limits>
#include <string>
#include <utility>

#include "protocol/failpoint.h"
#include "protocol/receipt.h"
#include "server/core/after_restore.h"
#include "server/core/audit_entry.h"
#include "server/core/dispatch.h"
#include "server/core/encoding.h"
#include "server/core/key_life.h"

namespace keyferry::server {
namespace {

ReceiptVerdict Refused(std::string why) { return {ReceiptVerdict::kRefused, std::move(why)}; }

const char* RefusalSentence(protocol::Status status) {
  switch (status) {
    case protocol::Status::kWrongDevice:
    case protocol::Status::kWrongAccount:
      return "The key says that this job is for another key; set a new password.";
    case protocol::Status::kUnknownIssuer:
    case protocol::Status::kIssuerRevoked:
      return "The key does not know this server's issuer; enrol it anew.";
    case protocol::Status::kBadSignature:
      return "The key found the job damaged; set a new password.";
    case protocol::Status::kReplay:
      return "The key already has a newer password than this one.";
    case protocol::Status::kGap:
      return "The key's counters do not follow the server's; enrol it anew.";
    case protocol::Status::kWrongEpoch:
      return "The key has moved on to keys that this password was not sealed to; set a new "
             "password.";
    default:
      return "The key could not open the job; set a new password.";
  }
}

const char* DoneSentence(JobType type) {
  switch (type) {
    case JobType::kHold:
      return "The key is prepared for the password.";
    case JobType::kDrop:
      return "What the key was prepared with is erased.";
    case JobType::kWipe:
      return "The key is wiped.";
    case JobType::kProbe:
    case JobType::kSet:
    case JobType::kCommit:
      break;
  }
  return "The password is on the key.";
}

Result<ReceiptVerdict> Alarm(const CorePorts& ports, const WorkstationRecord& from,
                             const KeyRecord& key, const std::string& why) {
  auto raised = ports.store.RaiseAlarm(
      key.device, why,
      AuditByWorkstation(ports.clock, from, "key.alarm", key.device.Hex(), "alarm", why));
  if (!raised) return tl::unexpected(std::move(raised.error()));
  ports.bus.Publish("keys", {"alarm", "{}"});
  AnnounceAccount(ports, key.account);
  return Refused(why);
}

// What comes after a job's fate is known: others drop it, a job that was held back may go.
void Follow(const CorePorts& ports, const WorkstationRecord& from, const JobRecord& job) {
  const WorkstationEvent event = VoidEvent(job.id);
  if (job.workstation != WorkstationId{} && job.workstation != from.id) {
    Send(ports, job.workstation, event);
  }
  for (const Presence::Sighting& sighting : ports.presence.Sightings(job.device)) {
    if (sighting.workstation != from.id && sighting.workstation != job.workstation) {
      Send(ports, sighting.workstation, event);
    }
  }
  if (auto queued = WipeIfDue(ports, job.device); !queued) {
    Log(ports, "wipe of " + job.device.Hex(), queued.error());
  }
  if (auto handed = HandOutReady(ports, job.device); !handed) {
    Log(ports, "hand out to " + job.device.Hex(), handed.error());
  }
  AnnounceAccount(ports, job.account);
}

// Compares a receipt with its neighbours in the chain; empty when they fit.
Result<std::string> CheckChain(const CorePorts& ports, const KeyRecord& key, const JobRecord& job,
                               const protocol::Receipt& receipt, const Hash32& hash) {
  constexpr const char* kFork = "The key shows two different pasts: it was cloned or rolled back.";
  if (receipt.receipt_ctr == key.receipt_ctr + 1) {
    return receipt.previous_hash == key.receipt_hash ? std::string() : std::string(kFork);
  }
  if (receipt.receipt_ctr > key.receipt_ctr) {
    // Receipts in between may still come, but only of jobs that were handed out, or may have been
    // in a time that a restore has lost.
    if (key.lost_until != 0 && receipt.prev_seq <= key.lost_until) return std::string();
    const auto unanswered = ports.store.CountUnanswered(key.enrolment, job.seq);
    if (!unanswered) return tl::unexpected(unanswered.error());
    const std::uint64_t missing = receipt.receipt_ctr - key.receipt_ctr - 1;
    return missing <= *unanswered
               ? std::string()
               : std::string("The key accepted more jobs than this server gave it: it was cloned.");
  }
  const auto before = ports.store.FindReceipt(key.enrolment, receipt.receipt_ctr - 1);
  if (!before) return tl::unexpected(before.error());
  if (*before && (*before)->hash != receipt.previous_hash) return std::string(kFork);
  const auto after = ports.store.FindReceipt(key.enrolment, receipt.receipt_ctr + 1);
  if (!after) return tl::unexpected(after.error());
  if (*after) {
    const auto next = protocol::Receipt::Parse((*after)->receipt);
    if (next && next->previous_hash != hash) return std::string(kFork);
  }
  return std::string();
}

// Empty = the key's row moved meanwhile: judge again.
using Judgement = std::optional<ReceiptVerdict>;

Result<Judgement> TakePositive(const CorePorts& ports, const WorkstationRecord& from,
                               const KeyRecord& key, const protocol::Receipt& receipt,
                               std::span<const std::uint8_t> bytes) {
  const Hash32 hash = Sha256(bytes);
  const auto known = ports.store.FindReceipt(key.enrolment, receipt.receipt_ctr);
  if (!known) return tl::unexpected(known.error());
  if (*known) {
    if ((*known)->hash == hash) {
      return Judgement({ReceiptVerdict::kDuplicate, "This receipt is known."});
    }
    return Alarm(ports, from, key,
                 "The key shows two different pasts: it was cloned or rolled back.");
  }
  const auto job = ports.store.FindJobByHash(key.enrolment, receipt.job_hash);
  if (!job) return tl::unexpected(job.error());
  const bool lost_time = receipt.seq <= key.lost_until;
  if (!*job && lost_time) {
    auto taken = TakeFromLostTime(ports, from, key, receipt);
    if (!taken) return tl::unexpected(std::move(taken.error()));
    return Judgement(*std::move(taken));
  }
  if (!*job || ((*job)->handed == 0 && !lost_time)) {
    return Alarm(ports, from, key, "The key accepted a job that this server never gave it.");
  }
  if (receipt.seq != (*job)->seq || receipt.prev_seq >= receipt.seq) {
    return Alarm(ports, from, key, "The key's receipt names another number than its job has.");
  }
  const bool held = (receipt.flags & protocol::kReceiptHeld) != 0;
  if (held != ((*job)->type == JobType::kHold)) {
    return Alarm(ports, from, key, "The key's receipt does not say what its job asked for.");
  }
  KEYFERRY_FAILPOINT("server.receipt.verified");
  const auto chain = CheckChain(ports, key, **job, receipt, hash);
  if (!chain) return tl::unexpected(chain.error());
  if (!chain->empty()) return Alarm(ports, from, key, *chain);

  ReceiptUpdate update;
  update.device = key.device;
  update.enrolment = key.enrolment;
  update.expected_ctr = key.receipt_ctr;
  update.receipt_ctr = receipt.receipt_ctr;
  // A refusal may have told of a later epoch already: that one stands.
  const bool newer = receipt.epoch >= key.epoch;
  update.seq = newer ? receipt.seq : key.last_seq;
  update.epoch = newer ? receipt.epoch : key.epoch;
  update.recipient_pub = newer ? receipt.recipient_pub : key.recipient_pub;
  update.firmware = receipt.firmware;
  update.pin_set = (receipt.flags & protocol::kReceiptPinSet) != 0;
  update.held = held;
  update.wiped = (*job)->type == JobType::kWipe;
  update.hash = hash;
  update.receipt.assign(bytes.begin(), bytes.end());
  update.job = (*job)->id;
  update.workstation = from.id;
  update.time = ports.clock.UnixMillis();
  update.late = receipt.receipt_ctr < key.receipt_ctr;
  const auto taken = ports.store.TakeReceipt(
      update,
      AuditByWorkstation(ports.clock, from, "job.delivered", key.login, "ok",
                         std::string(DoneSentence((*job)->type)) + " Key " + key.device.Hex() +
                             ", number " + std::to_string(receipt.seq) + "."));
  if (!taken) return tl::unexpected(taken.error());
  if (!*taken) return Judgement();
  KEYFERRY_FAILPOINT("server.receipt.committed");
  Follow(ports, from, **job);
  return Judgement({ReceiptVerdict::kStored, DoneSentence((*job)->type)});
}

Result<Judgement> TakeNegative(const CorePorts& ports, const WorkstationRecord& from,
                               const KeyRecord& key, const protocol::Receipt& receipt) {
  const auto found = ports.store.FindJobByHash(key.enrolment, receipt.job_hash);
  if (!found) return tl::unexpected(found.error());
  if (!*found) return Judgement(Refused("The key refused a job that is not this server's."));
  const JobRecord& job = **found;
  if (job.state == JobState::kDelivered || job.state == JobState::kUsed ||
      job.state == JobState::kRefused) {
    return Judgement({ReceiptVerdict::kDuplicate, "The fate of this job is known."});
  }
  if (receipt.seq < job.base_seq) {
    // The server held a receipt for base_seq when it sealed this job, so the key was there once.
    return Alarm(ports, from, key, "The key was rolled back to an older state.");
  }
  if (receipt.receipt_ctr < key.receipt_ctr) {
    return Judgement({ReceiptVerdict::kDuplicate, "This refusal is older than what is known."});
  }
  if (job.type == JobType::kProbe) {
    if (receipt.receipt_ctr == key.receipt_ctr && receipt.previous_hash != key.receipt_hash) {
      return Alarm(ports, from, key,
                   "The key shows two different pasts: it was cloned or rolled back.");
    }
    auto learned = LearnFromRefusal(ports, from, key, job, receipt);
    if (!learned) return tl::unexpected(std::move(learned.error()));
    Send(ports, from.id, VoidEvent(job.id));
    Follow(ports, from, job);
    return Judgement(*std::move(learned));
  }
  RefusalUpdate update;
  update.job = job.id;
  update.device = key.device;
  update.workstation = from.id;
  update.time = ports.clock.UnixMillis();
  update.reason = RefusalSentence(receipt.result);
  const bool newer = receipt.receipt_ctr > key.receipt_ctr;
  if (receipt.result == protocol::Status::kReplay && newer) {
    // The key may have accepted this very job: its own receipt is on the way.
    update.give_up = false;
    update.reason = "The key says that it has this or a newer password; waiting for its receipt.";
  }
  if (newer && receipt.epoch > key.epoch) {
    update.reseal =
        RefusalUpdate::Reseal{key.receipt_ctr, receipt.seq, receipt.epoch, receipt.recipient_pub};
  }
  const auto taken = ports.store.TakeRefusal(
      update, AuditByWorkstation(ports.clock, from, "job.refused", key.login,
                                 protocol::Name(receipt.result), update.reason));
  if (!taken) return tl::unexpected(taken.error());
  if (update.give_up) {
    Send(ports, from.id, VoidEvent(job.id));
    Follow(ports, from, job);
  } else {
    AnnounceAccount(ports, job.account);
  }
  return Judgement({ReceiptVerdict::kStored, update.reason});
}

Result<Judgement> JudgeReceipt(const CorePorts& ports, const WorkstationRecord& from,
                               const DeviceId& device, const protocol::Receipt& receipt,
                               std::span<const std::uint8_t> bytes) {
  const auto found = ports.store.FindKey(device);
  if (!found) return tl::unexpected(found.error());
  if (!*found) return Judgement(Refused("This key is not enrolled here."));
  const KeyRecord& key = **found;
  if (receipt.device_id != key.device.bytes || receipt.account_id != key.account.bytes ||
      !receipt.VerifySignature(key.sig_pub)) {
    return Judgement(Refused("The receipt was not made by this key in its present enrolment."));
  }
  if (receipt.result == protocol::Status::kWiped && receipt.job_hash == Hash32{}) {
    auto wiped = Alarm(ports, from, key, "The key was wiped by its holder; enrol it anew.");
    if (!wiped) return tl::unexpected(std::move(wiped.error()));
    return Judgement({ReceiptVerdict::kStored, wiped->reason});
  }
  if (receipt.receipt_ctr == 0 ||
      receipt.receipt_ctr > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
    return Judgement(Refused("The receipt's counter is out of range."));
  }
  return receipt.positive() ? TakePositive(ports, from, key, receipt, bytes)
                            : TakeNegative(ports, from, key, receipt);
}

}  // namespace

Result<ReceiptVerdict> TakeInReceipt(const CorePorts& ports, const WorkstationRecord& from,
                                     const DeviceId& device, std::span<const std::uint8_t> bytes) {
  const auto receipt = protocol::Receipt::Parse(bytes);
  if (!receipt) return Refused("The receipt is malformed.");
  constexpr int kTries = 5;
  for (int i = 0; i < kTries; ++i) {
    auto judgement = JudgeReceipt(ports, from, device, *receipt, bytes);
    if (!judgement) return tl::unexpected(std::move(judgement.error()));
    if (*judgement) return **std::move(judgement);
  }
  return Fail(ErrorCode::kUnavailable, "The key's record is changing all the time; try again.");
}

}  // namespace keyferry::server
