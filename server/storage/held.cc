// What lies in the pending slots of keys.
#include "protocol/failpoint.h"
#include "server/storage/job_rows.h"
#include "server/storage/key_rows.h"
#include "server/storage/sql_store.h"

namespace keyferry::server {
namespace {

// Every DROP waits for the receipt of its HOLD: before, the key would refuse it today and take the
// HOLD tomorrow. And it is sealed only while nothing else is on its way, which its higher sequence
// would turn into a replay.
std::optional<JobRecord> InVain(soci::session& sql, const DeviceId& device) {
  auto hold = FirstOf(Select<JobColumns>(
      sql,
      SelectJobs(
          "JOIN device_keys k ON k.device_id = j.device_id AND k.enrolment_id = j.enrolment_id "
          "JOIN changes c ON c.change_id = j.change_id WHERE j.device_id = :device AND k.held <> 0 "
          "AND k.state = 'active' AND k.alarm = '' AND j.type = 'hold' AND j.receipt_ctr > 0 AND "
          "(c.state = 'failed' OR (c.state = 'superseded' AND c.error_code <> 'unknown') OR "
          // Another key was prepared instead, and this one was not sealed for.
          "(c.state IN ('confirmed', 'done') AND NOT EXISTS (SELECT 1 FROM jobs m WHERE "
          "m.change_id = j.change_id AND m.enrolment_id = j.enrolment_id AND m.type IN ('set', "
          "'commit')))) "
          "AND NOT EXISTS (SELECT 1 FROM changes o WHERE o.account_id = j.account_id AND o.state "
          "IN ('intent', 'held', 'attempt', 'unknown')) AND NOT EXISTS (SELECT 1 FROM jobs n WHERE "
          "n.enrolment_id = j.enrolment_id AND n.seq > j.seq AND (n.receipt_ctr > 0 OR (n.type = "
          "'drop' AND n.state IN ('ready', 'spooled', 'refused')))) ORDER BY j.seq DESC LIMIT 1"),
      device.Hex()));
  if (!hold) return std::nullopt;
  const long long last_seq =
      SelectNumber(sql, "SELECT last_seq FROM device_keys WHERE device_id = :device", device.Hex());
  if (MayStillPass(sql, hold->enrolment, last_seq) != 0) return std::nullopt;
  return hold;
}

}  // namespace

Result<std::vector<KeyRecord>> SqlStore::HoldingKeys() {
  return database_.Read([](soci::session& sql) -> Result<std::vector<KeyRecord>> {
    return Select<KeyColumns>(
        sql, SelectKeys("WHERE held <> 0 AND state = 'active' AND alarm = '' ORDER BY device_id"));
  });
}

Result<std::optional<JobRecord>> SqlStore::HeldInVain(const DeviceId& device) {
  return database_.Read(
      [&](soci::session& sql) -> Result<std::optional<JobRecord>> { return InVain(sql, device); });
}

Result<ChangeStore::Queued> SqlStore::QueueDrop(const JobRecord& drop, bool key_seen,
                                                const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<Queued> {
    Queued queued;
    const auto hold = InVain(t.sql, drop.device);
    const bool due = hold && hold->change == drop.change;
    if (!due || !ClaimSequence(t.sql, drop, Fit::kActive)) {
      t.commit = false;
      queued.claim = due ? Claim::kSeqTaken : Claim::kKeyBehind;
      return queued;
    }
    InsertJob(t.sql, drop);
    if (key_seen) {
      bool wrote = false;
      queued.hand_out = TakeReadyJob(t.sql, drop.device, drop.created, wrote);
    }
    AppendChained(t.sql, audit);
    KEYFERRY_FAILPOINT("server.drop.before_commit");
    return queued;
  });
}

}  // namespace keyferry::server
