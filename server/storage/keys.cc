#include <string>

#include "protocol/failpoint.h"
#include "server/storage/approval_rows.h"
#include "server/storage/job_rows.h"
#include "server/storage/key_rows.h"
#include "server/storage/sql_store.h"

namespace keyferry::server {
namespace {

struct ReceiptColumns {
  long long receipt_ctr = 0;
  std::string hash, receipt;
  template <typename Prepared>
  void Into(Prepared& p) {
    p, soci::into(receipt_ctr), soci::into(hash), soci::into(receipt);
  }
  KeyStore::Journalled Read() const {
    return {Unsigned(receipt_ctr), ReadFixed<32>(hash), ReadBytes(receipt)};
  }
};

}  // namespace

KeyRecord KeyColumns::Read() const {
  KeyRecord key;
  key.device = ReadId<DeviceId>(device);
  key.enrolment = ReadId<EnrolmentId>(enrolment);
  key.account = ReadId<AccountId>(account);
  key.login = login;
  key.display_name = display_name;
  key.state = ReadState(state, KeyState::kRevoked);
  key.simulator = simulator != 0;
  key.sig_pub = ReadFixed<65>(sig_pub);
  key.record = ReadBytes(record);
  key.next_seq = Unsigned(next_seq);
  key.firmware = static_cast<std::uint32_t>(firmware);
  key.pin_set = pin_set != 0;
  key.epoch = static_cast<std::uint32_t>(epoch);
  key.recipient_pub = ReadFixed<32>(recipient_pub);
  key.last_seq = Unsigned(last_seq);
  key.receipt_ctr = Unsigned(receipt_ctr);
  key.receipt_hash = ReadFixed<32>(receipt_hash);
  key.enrolled = enrolled;
  key.last_seen = last_seen;
  key.alarm = alarm;
  key.held = held != 0;
  key.state_reason = state_reason;
  key.wiped = wiped;
  key.restored = restored;
  key.lost_until = Unsigned(lost_until);
  key.note = note;
  return key;
}

void InsertReceipt(soci::session& sql, const ReceiptUpdate& update) {
  const long long ctr = Signed(update.receipt_ctr);
  const long long now = update.time;
  Execute(sql,
          "INSERT INTO receipts (enrolment_id, receipt_ctr, device_id, job_id, hash, receipt, "
          "workstation_id, received) VALUES (:enrolment, :ctr, :device, :job, :hash, :receipt, "
          ":workstation, :now)",
          update.enrolment.Hex(), ctr, update.device.Hex(), WriteOptionalId(update.job),
          ToHex(update.hash), ToBase64(update.receipt), update.workstation.Hex(), now);
}

Result<std::vector<KeyRecord>> SqlStore::Keys() {
  return database_.Read([](soci::session& sql) -> Result<std::vector<KeyRecord>> {
    return Select<KeyColumns>(sql, SelectKeys("ORDER BY display_name, device_id"));
  });
}

Result<std::vector<KeyRecord>> SqlStore::KeysOf(const AccountId& account) {
  return database_.Read([&](soci::session& sql) -> Result<std::vector<KeyRecord>> {
    return Select<KeyColumns>(sql, SelectKeys("WHERE account_id = :account ORDER BY enrolled DESC"),
                              account.Hex());
  });
}

std::string AccountOf(soci::session& sql, const std::string& device) {
  const auto key =
      FirstOf(Select<KeyColumns>(sql, SelectKeys("WHERE device_id = :device"), device));
  return key ? key->account.Hex() : std::string();
}

Result<std::optional<KeyRecord>> SqlStore::FindKey(const DeviceId& device) {
  return database_.Read([&](soci::session& sql) -> Result<std::optional<KeyRecord>> {
    return FirstOf(Select<KeyColumns>(sql, SelectKeys("WHERE device_id = :device"), device.Hex()));
  });
}

Result<void> SqlStore::TouchKeys(const std::vector<DeviceId>& seen, std::int64_t time) {
  return database_.Write([&](Transaction& t) -> Result<void> {
    const long long now = time;
    long long touched = 0;
    for (const DeviceId& device : seen) {
      touched += Execute(t.sql, "UPDATE device_keys SET last_seen = :now WHERE device_id = :device",
                         now, device.Hex());
    }
    t.commit = touched != 0;
    return {};
  });
}

Result<std::optional<KeyStore::Journalled>> SqlStore::FindReceipt(const EnrolmentId& enrolment,
                                                                  std::uint64_t receipt_ctr) {
  return database_.Read([&](soci::session& sql) -> Result<std::optional<Journalled>> {
    const long long ctr = Signed(receipt_ctr);
    return FirstOf(Select<ReceiptColumns>(
        sql,
        "SELECT receipt_ctr, hash, receipt FROM receipts WHERE enrolment_id = :enrolment AND "
        "receipt_ctr = :ctr",
        enrolment.Hex(), ctr));
  });
}

Result<bool> SqlStore::TakeReceipt(const ReceiptUpdate& update, const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<bool> {
    const long long ctr = Signed(update.receipt_ctr), expected = Signed(update.expected_ctr),
                    seq = Signed(update.seq), epoch = update.epoch, firmware = update.firmware,
                    pin_set = update.pin_set, now = update.time, held = update.held,
                    beyond = seq + 1;
    const std::string device = update.device.Hex(), enrolment = update.enrolment.Hex(),
                      hash = ToHex(update.hash), job = update.job.Hex();
    // A late receipt leaves the key's row alone, but must still meet the counter it was judged by.
    const long long met =
        update.late
            ? Execute(t.sql,
                      "UPDATE device_keys SET receipt_ctr = receipt_ctr WHERE device_id = :device "
                      "AND enrolment_id = :enrolment AND receipt_ctr = :expected",
                      device, enrolment, expected)
            : Execute(t.sql,
                      "UPDATE device_keys SET receipt_ctr = :ctr, receipt_hash = :hash, last_seq = "
                      ":seq, epoch = :epoch, recipient_pub = :recipient, firmware = :firmware, "
                      "pin_set = :pin, held = :held, note = '', next_seq = CASE WHEN next_seq <= "
                      ":reached THEN "
                      ":beyond ELSE next_seq END WHERE device_id = :device AND enrolment_id = "
                      ":enrolment AND receipt_ctr = :expected",
                      ctr, hash, seq, epoch, ToHex(update.recipient_pub), firmware, pin_set, held,
                      seq, beyond, device, enrolment, expected);
    if (met == 0) {
      t.commit = false;
      return false;
    }
    KEYFERRY_FAILPOINT("server.receipt.met");
    InsertReceipt(t.sql, update);
    Execute(t.sql,
            "UPDATE jobs SET state = 'delivered', sealed = '', delivered = :now, workstation_id = "
            ":workstation, receipt_ctr = :ctr, receipt_hash = :hash, last_error = '' WHERE job_id "
            "= :job",
            now, update.workstation.Hex(), ctr, hash, job);
    FinishChangeOf(t.sql, update.job);
    Execute(t.sql,
            "UPDATE changes SET prepared = :now WHERE job_id = :job AND state = 'held' AND mode = "
            "'at_delivery'",
            now, job);
    if (update.wiped) {
      Execute(t.sql,
              "UPDATE device_keys SET wiped = :now WHERE device_id = :device AND enrolment_id = "
              ":enrolment",
              now, device, enrolment);
    }
    KEYFERRY_FAILPOINT("server.receipt.erased");
    if (!update.late) RefuseDeadJobs(t.sql, update.device, update.epoch, update.seq);
    AppendChained(t.sql, audit);
    KEYFERRY_FAILPOINT("server.receipt.before_commit");
    return true;
  });
}

Result<JobRecord> SqlStore::TakeRefusal(const RefusalUpdate& update, const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<JobRecord> {
    const std::string job = update.job.Hex();
    if (update.give_up) {
      Execute(
          t.sql,
          "UPDATE jobs SET state = 'refused', sealed = '', last_error = :reason, workstation_id "
          "= :workstation WHERE job_id = :job AND state IN ('ready', 'spooled', 'superseded')",
          update.reason, update.workstation.Hex(), job);
    } else {
      Execute(t.sql,
              "UPDATE jobs SET last_error = :reason, workstation_id = :workstation WHERE job_id = "
              ":job AND state IN ('ready', 'spooled')",
              update.reason, update.workstation.Hex(), job);
    }
    if (update.reseal) {
      const long long seq = Signed(update.reseal->seq), beyond = seq + 1,
                      epoch = update.reseal->epoch, expected = Signed(update.reseal->expected_ctr);
      Execute(t.sql,
              "UPDATE device_keys SET last_seq = :seq, epoch = :epoch, recipient_pub = :recipient, "
              "next_seq = CASE WHEN next_seq <= :reached THEN :beyond ELSE next_seq END WHERE "
              "device_id = :device AND receipt_ctr = :expected AND epoch < :same",
              seq, epoch, ToHex(update.reseal->recipient_pub), seq, beyond, update.device.Hex(),
              expected, epoch);
      RefuseDeadJobs(t.sql, update.device, update.reseal->epoch, update.reseal->seq);
    }
    AppendChained(t.sql, audit);
    auto row = JobById(t.sql, update.job);
    if (!row) return Fail(ErrorCode::kNotFound, "There is no such job.");
    return *std::move(row);
  });
}

Result<std::optional<std::vector<JobRecord>>> SqlStore::MoveKey(const KeyMove& move,
                                                                const AuditEntry& audit) {
  using Cancelled = std::optional<std::vector<JobRecord>>;
  return database_.Write([&](Transaction& t) -> Result<Cancelled> {
    const std::string from = Name(move.from), to = Name(move.to), device = move.device.Hex();
    if (move.to == KeyState::kActive && AccountIsFrozen(t.sql, AccountOf(t.sql, device))) {
      return Fail(ErrorCode::kConflict, kFrozenAccount);
    }
    if (auto stands = Require(t.sql, move.only_if); !stands) return tl::unexpected(stands.error());
    if (Execute(t.sql,
                "UPDATE device_keys SET state = :to, state_reason = :reason WHERE device_id = "
                ":device AND enrolment_id = :enrolment AND state = :from",
                to, move.reason, device, move.enrolment.Hex(), from) == 0) {
      t.commit = false;
      return Cancelled();
    }
    std::vector<JobRecord> cancelled;
    if (IsOutOfUse(move.to)) {
      CancelOpenJobs(t.sql, device, move.job_reason, cancelled);
      FinishChangesOf(t.sql, AccountOf(t.sql, device));
    }
    AppendChained(t.sql, audit);
    return Cancelled(std::move(cancelled));
  });
}

Result<bool> SqlStore::QueueWipe(const JobRecord& wipe, const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<bool> {
    const long long seq = Signed(wipe.seq), next = seq + 1, epoch = wipe.epoch,
                    base_seq = Signed(wipe.base_seq);
    const std::string device = wipe.device.Hex(), enrolment = wipe.enrolment.Hex();
    t.commit =
        SelectNumber(t.sql,
                     "SELECT COUNT(*) FROM jobs WHERE enrolment_id = :enrolment AND type = 'wipe' "
                     "AND state IN ('ready', 'spooled')",
                     enrolment) == 0 &&
        Execute(t.sql,
                "UPDATE device_keys SET next_seq = :next WHERE device_id = :device AND "
                "enrolment_id = :enrolment AND next_seq = :seq AND epoch = :epoch AND last_seq = "
                ":base AND wiped = 0 AND state IN ('compromised', 'deactivated', 'revoked')",
                next, device, enrolment, seq, epoch, base_seq) != 0;
    if (!t.commit) return false;
    InsertJob(t.sql, wipe);
    AppendChained(t.sql, audit);
    return true;
  });
}

Result<void> SqlStore::RaiseAlarm(const DeviceId& device, std::string_view alarm,
                                  const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<void> {
    const std::string text(alarm);
    Execute(t.sql, "UPDATE device_keys SET alarm = :text WHERE device_id = :device AND alarm = ''",
            text, device.Hex());
    AppendChained(t.sql, audit);
    return {};
  });
}

}  // namespace keyferry::server
