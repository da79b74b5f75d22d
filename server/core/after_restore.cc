#include "server/core/after_restore.h"

#include <algorithm>
#include <string>
#include <utility>

#include "server/core/audit_entry.h"
#include "server/core/change_view.h"
#include "server/core/dispatch.h"
#include "server/core/encoding.h"
#include "server/core/key_choice.h"
#include "server/core/sealing.h"

namespace keyferry::server {
namespace {

constexpr std::int64_t kTicksPerMilli = 10'000;                // of pwdLastSet
constexpr std::int64_t kMillisSince1601 = 11'644'473'600'000;  // 1601 to 1970, milliseconds
// The directory's clock and this server's may differ by this much.
constexpr std::int64_t kSkewMillis = 5'000;

struct Agreement {
  const char* outcome = "ok";
  std::string note;  // empty = key and directory agree, as far as can be told
};

bool HadJob(const ChangeRow& row, const KeyRecord& key) {
  return std::any_of(row.keys.begin(), row.keys.end(),
                     [&](const KeyJob& of) { return of.job.enrolment == key.enrolment; });
}

// Compares what the directory says now with the newest change that this database knows. `moved`:
// the key accepted something that this database does not know.
Result<Agreement> CompareWithDirectory(const CorePorts& ports, const KeyRecord& key, bool moved) {
  const auto person = ports.directory.Get(key.account);
  if (!person) {
    if (person.error().code != ErrorCode::kNotFound) return tl::unexpected(person.error());
    return Agreement{"not_found", "The account is no longer in the directory."};
  }
  const auto history = ports.store.History(key.account, 1);
  if (!history) return tl::unexpected(history.error());
  const auto restores = ports.store.Restores();
  if (!restores) return tl::unexpected(restores.error());
  const std::int64_t ticks = person->state.password_last_set;
  const std::int64_t set = ticks == 0 ? 0 : ticks / kTicksPerMilli - kMillisSince1601;
  std::int64_t known = restores->empty() ? 0 : restores->front().backup_time;
  if (!history->empty() && history->front().change.confirmed != 0) {
    known = history->front().change.confirmed;
  }
  if (moved) {
    return Agreement{"unknown",
                     "After the backup was made the key got another password, and the directory as "
                     "well: probably the same one. Should a login fail, set a new one."};
  }
  if (set == 0 || set > known + kSkewMillis) {
    return Agreement{"needs_password",
                     "After the backup was made the directory got another password, which the key "
                     "does not have: set a new one."};
  }
  const auto newest = ports.store.NewestConfirmed(key.account);
  if (!newest) return tl::unexpected(newest.error());
  const bool missing =
      *newest && HadJob(**newest, key) && PasswordOn(key, *newest) != KeyPassword::kNewest;
  if (missing || (!history->empty() && ViewOf(history->front()).incident)) {
    return Agreement{"needs_password",
                     "The newest password that the backup knows did not reach the key: set a new "
                     "one."};
  }
  return Agreement{};
}

}  // namespace

Result<void> AskAfterRestore(const CorePorts& ports, const KeyRecord& seen) {
  constexpr int kTries = 5;  // the row may move between reading and claiming
  KeyRecord key = seen;
  for (int i = 0; i < kTries && key.restored != 0; ++i) {
    const auto probe = SealProbeJob(ports, key);
    if (!probe) return tl::unexpected(probe.error());
    const auto queued = ports.store.QueueProbe(*probe);
    if (!queued) return tl::unexpected(queued.error());
    if (*queued) break;
    const auto again = ports.store.FindKey(key.device);
    if (!again) return tl::unexpected(again.error());
    if (!*again || (*again)->next_seq == key.next_seq) break;  // one waits already
    key = **again;
  }
  const auto killed = ports.store.KilledJobs(key.device);
  if (!killed) return tl::unexpected(killed.error());
  for (const JobRecord& job : *killed) {
    if (job.workstation != WorkstationId{}) Send(ports, job.workstation, VoidEvent(job.id));
    SendToSeers(ports, key.device, VoidEvent(job.id));
  }
  return {};
}

Result<ReceiptVerdict> LearnFromRefusal(const CorePorts& ports, const WorkstationRecord& from,
                                        const KeyRecord& key, const JobRecord& probe,
                                        const protocol::Receipt& receipt) {
  const bool moved = receipt.receipt_ctr > key.receipt_ctr;
  // Before the answer counts: while the directory cannot be asked the key gets nothing.
  const auto finding = CompareWithDirectory(ports, key, moved);
  if (!finding) return tl::unexpected(finding.error());
  LearnedKey learned;
  learned.device = key.device;
  learned.enrolment = key.enrolment;
  learned.probe = probe.id;
  learned.expected_ctr = key.receipt_ctr;
  learned.receipt_ctr = receipt.receipt_ctr;
  learned.receipt_hash = receipt.previous_hash;  // of a refusal: the newest positive receipt's
  learned.seq = receipt.seq;
  learned.epoch = receipt.epoch;
  learned.recipient_pub = receipt.recipient_pub;
  learned.firmware = receipt.firmware;
  learned.pin_set = (receipt.flags & protocol::kReceiptPinSet) != 0;
  learned.held = (receipt.flags & protocol::kReceiptHeld) != 0;
  learned.note = finding->note;
  std::string detail =
      "Key " + key.device.Hex() + " is at number " + std::to_string(receipt.seq) +
      (moved ? ", the backup at " + std::to_string(key.last_seq) + "." : ", as the backup.");
  if (!finding->note.empty()) detail += " " + finding->note;
  const auto taken =
      ports.store.LearnKey(learned, AuditByWorkstation(ports.clock, from, "restore.checked",
                                                       key.login, finding->outcome, detail));
  if (!taken) return tl::unexpected(taken.error());
  return *taken ? ReceiptVerdict{ReceiptVerdict::kStored, "The key told how it stands."}
                : ReceiptVerdict{ReceiptVerdict::kDuplicate, "The key has told that already."};
}

Result<ReceiptVerdict> TakeFromLostTime(const CorePorts& ports, const WorkstationRecord& from,
                                        const KeyRecord& key, const protocol::Receipt& receipt) {
  constexpr const char* kKnown = "This was given out before the server was restored.";
  if (key.restored != 0 || receipt.receipt_ctr <= key.receipt_ctr) {
    return ReceiptVerdict{ReceiptVerdict::kDuplicate, kKnown};
  }
  const auto asked = ports.store.AskAgain(
      key.device, ports.clock.UnixMillis(),
      AuditByWorkstation(ports.clock, from, "restore.late", key.login, "ok",
                         "Key " + key.device.Hex() +
                             " took in a job from before the restore, number " +
                             std::to_string(receipt.seq) + "; it is asked again how it stands."));
  if (!asked) return tl::unexpected(asked.error());
  const auto fresh = ports.store.FindKey(key.device);
  if (!fresh) return tl::unexpected(fresh.error());
  if (*fresh) {
    if (auto queued = AskAfterRestore(ports, **fresh); !queued) {
      return tl::unexpected(std::move(queued.error()));
    }
    if (auto handed = HandOutReady(ports, key.device); !handed) {
      return tl::unexpected(std::move(handed.error()));
    }
  }
  return ReceiptVerdict{ReceiptVerdict::kStored, kKnown};
}

}  // namespace keyferry::server
