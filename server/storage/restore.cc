// What a database that was put back from a backup has to learn anew.
#include "server/core/after_restore.h"
#include "server/core/audit_entry.h"
#include "server/core/totp.h"
#include "server/storage/job_rows.h"
#include "server/storage/key_rows.h"
#include "server/storage/sql_store.h"

namespace keyferry::server {
namespace {

// More numbers than a server gives one key in a time that a backup can lie back, and far below the
// distance that a key allows (2^32).
constexpr long long kJump = 1 << 20;

struct RestoreColumns {
  long long time = 0, backup_time = 0, audit_number = 0;
  template <typename Prepared>
  void Into(Prepared& p) {
    p, soci::into(time), soci::into(backup_time), soci::into(audit_number);
  }
  RestoreRecord Read() const { return {time, backup_time, Unsigned(audit_number)}; }
};

}  // namespace

Result<void> SqlStore::BeginAnew(const RestoreRecord& restore, std::string_view reason,
                                 const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<void> {
    if (SelectNumber(t.sql, std::string("SELECT COUNT(*) FROM nodes WHERE alive_until > ") +
                                database_.backend().Now()) != 0) {
      return Fail(ErrorCode::kConflict,
                  "A server is running on this database; stop every one of them first.");
    }
    const std::string why(reason), unknown = OutcomeName(ErrorCode::kOutcomeUnknown),
                                   unavailable = OutcomeName(ErrorCode::kUnavailable);
    const long long now = restore.time, backup_time = restore.backup_time,
                    audit_number = Signed(restore.audit_number);
    // What the directory has, and no key will get any more.
    Execute(t.sql,
            "UPDATE changes SET state = 'superseded', error = :why, error_code = :code WHERE state "
            "IN ('attempt', 'unknown') OR (state = 'confirmed' AND EXISTS (SELECT 1 FROM jobs j "
            "WHERE j.change_id = changes.change_id AND j.state IN ('held', 'ready', 'spooled')) "
            "AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.change_id = changes.change_id AND j.type "
            "IN ('set', 'commit') AND j.state IN ('delivered', 'used')))",
            why, unknown);
    Execute(t.sql,
            "UPDATE changes SET state = 'failed', error = :why, error_code = :code, holder = '' "
            "WHERE state IN ('intent', 'held')",
            why, unavailable);
    Execute(t.sql,
            "UPDATE jobs SET state = 'cancelled', sealed = '', last_error = :why WHERE state IN "
            "('held', 'ready', 'spooled')",
            why);
    // What a stamp of now says of an attempt from before the backup is worth nothing.
    Execute(t.sql,
            "UPDATE change_sources SET state = CASE WHEN state = 'planned' THEN 'not_set' ELSE "
            "'superseded' END, error = :why, error_code = :code WHERE state IN ('planned', "
            "'attempt', 'unknown')",
            why, unknown);
    Execute(t.sql,
            "UPDATE enrolments SET state = 'failed', error = :why WHERE state IN ('waiting', "
            "'granted')",
            why);
    Execute(t.sql,
            "UPDATE device_keys SET restored = :now, lost_until = next_seq + :last, next_seq = "
            "next_seq + :jump",
            now, kJump - 1, kJump);
    t.sql << "DELETE FROM sessions";
    // Codes that were used since the backup work no second time: those of the app are spent up to
    // the newest that there can be, recovery codes are made anew.
    const long long newest_step = restore.time / 1000 / kTotpStepSeconds + kTotpWindow;
    Execute(t.sql, "UPDATE factors SET last_step = :step WHERE last_step < :same", newest_step,
            newest_step);
    t.sql << "DELETE FROM recovery_codes";
    t.sql << "DELETE FROM nodes";
    t.sql << "DELETE FROM presence";
    t.sql << "DELETE FROM events";
    Execute(t.sql,
            "UPDATE leases SET held_until = 0, position = CASE WHEN position > :number THEN :same "
            "ELSE position END",
            audit_number, audit_number);
    Execute(
        t.sql,
        "INSERT INTO restores (time, backup_time, audit_number) VALUES (:now, :backup, :number)",
        now, backup_time, audit_number);
    AppendChained(t.sql, audit);
    return {};
  });
}

Result<std::vector<RestoreRecord>> SqlStore::Restores() {
  return database_.Read([](soci::session& sql) -> Result<std::vector<RestoreRecord>> {
    return Select<RestoreColumns>(
        sql, "SELECT time, backup_time, audit_number FROM restores ORDER BY number DESC");
  });
}

Result<bool> SqlStore::QueueProbe(const JobRecord& probe) {
  return database_.Write([&](Transaction& t) -> Result<bool> {
    const long long seq = Signed(probe.seq), next = seq + 1, epoch = probe.epoch,
                    base_seq = Signed(probe.base_seq);
    const std::string device = probe.device.Hex(), enrolment = probe.enrolment.Hex();
    t.commit =
        SelectNumber(t.sql,
                     "SELECT COUNT(*) FROM jobs WHERE enrolment_id = :enrolment AND type = 'probe' "
                     "AND state IN ('ready', 'spooled')",
                     enrolment) == 0 &&
        Execute(t.sql,
                "UPDATE device_keys SET next_seq = :next WHERE device_id = :device AND "
                "enrolment_id = :enrolment AND next_seq = :seq AND epoch = :epoch AND last_seq = "
                ":base AND restored <> 0",
                next, device, enrolment, seq, epoch, base_seq) != 0;
    if (t.commit) InsertJob(t.sql, probe);
    return t.commit;
  });
}

Result<std::vector<JobRecord>> SqlStore::KilledJobs(const DeviceId& device) {
  return database_.Read([&](soci::session& sql) -> Result<std::vector<JobRecord>> {
    const std::string reason = kRestoredReason;
    return Select<JobColumns>(
        sql,
        SelectJobs("WHERE j.device_id = :device AND j.state = 'cancelled' AND j.handed > 0 AND "
                   "j.receipt_ctr = 0 AND j.last_error = :reason"),
        device.Hex(), reason);
  });
}

Result<bool> SqlStore::LearnKey(const LearnedKey& learned, const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<bool> {
    const long long ctr = Signed(learned.receipt_ctr), expected = Signed(learned.expected_ctr),
                    seq = Signed(learned.seq), beyond = seq + 1, epoch = learned.epoch,
                    firmware = learned.firmware, pin_set = learned.pin_set, held = learned.held;
    const std::string device = learned.device.Hex(), enrolment = learned.enrolment.Hex();
    t.commit = Execute(t.sql,
                       "UPDATE device_keys SET restored = 0, receipt_ctr = :ctr, receipt_hash = "
                       ":hash, last_seq = :seq, epoch = :epoch, recipient_pub = :recipient, "
                       "firmware = :firmware, pin_set = :pin, held = :held, note = :note, next_seq "
                       "= CASE WHEN next_seq <= :reached THEN :beyond ELSE next_seq END WHERE "
                       "device_id = :device AND enrolment_id = :enrolment AND receipt_ctr = "
                       ":expected AND restored <> 0",
                       ctr, ToHex(learned.receipt_hash), seq, epoch, ToHex(learned.recipient_pub),
                       firmware, pin_set, held, learned.note, seq, beyond, device, enrolment,
                       expected) != 0;
    if (!t.commit) return false;
    Execute(t.sql,
            "UPDATE jobs SET state = 'refused', sealed = '', last_error = '' WHERE job_id = :probe",
            learned.probe.Hex());
    // What workstations may still have spooled from before the restore: it counts as under way no
    // more, or it would hold new jobs back for ever. Should the key take it, it tells again.
    Execute(
        t.sql,
        "UPDATE jobs SET handed = 0 WHERE enrolment_id = :enrolment AND state = 'cancelled' AND "
        "seq > :seq",
        enrolment, seq);
    AppendChained(t.sql, audit);
    return true;
  });
}

Result<void> SqlStore::AskAgain(const DeviceId& device, std::int64_t time,
                                const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<void> {
    const long long now = time;
    t.commit = Execute(t.sql,
                       "UPDATE device_keys SET restored = :now WHERE device_id = :device AND "
                       "restored = 0",
                       now, device.Hex()) != 0;
    if (t.commit) AppendChained(t.sql, audit);
    return {};
  });
}

}  // namespace keyferry::server
