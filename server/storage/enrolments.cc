#include <string>

#include "server/storage/approval_rows.h"
#include "server/storage/job_rows.h"
#include "server/storage/key_rows.h"
#include "server/storage/sql_store.h"

namespace keyferry::server {
namespace {

struct EnrolmentColumns {
  static constexpr const char* kList =
      "enrolment_id, device_id, account_id, login, display_name, workstation_id, state, error, "
      "actor_login, enrol_cert, begin_body, activation_hash, statement, grant_bytes, simulator, "
      "created, expires, replaces";

  std::string id, device, account, login, display_name, workstation, state, error, actor_login,
      enrol_cert, begin, activation_hash, statement, grant, replaces;
  long long simulator = 0, created = 0, expires = 0;

  template <typename Prepared>
  void Into(Prepared& p) {
    p, soci::into(id), soci::into(device), soci::into(account), soci::into(login),
        soci::into(display_name), soci::into(workstation), soci::into(state), soci::into(error),
        soci::into(actor_login), soci::into(enrol_cert), soci::into(begin),
        soci::into(activation_hash), soci::into(statement), soci::into(grant),
        soci::into(simulator), soci::into(created), soci::into(expires), soci::into(replaces);
  }
  EnrolmentRecord Read() const {
    EnrolmentRecord record;
    record.id = ReadId<EnrolmentId>(id);
    record.device = ReadId<DeviceId>(device);
    record.account = ReadId<AccountId>(account);
    record.login = login;
    record.display_name = display_name;
    record.workstation = ReadId<WorkstationId>(workstation);
    record.state = ReadState(state, EnrolmentState::kFailed);
    record.error = error;
    record.actor_login = actor_login;
    record.enrol_cert = ReadBytes(enrol_cert);
    record.begin = ReadBytes(begin);
    record.activation_hash = ReadFixed<32>(activation_hash);
    record.statement = ReadBytes(statement);
    record.grant = ReadBytes(grant);
    record.simulator = simulator != 0;
    record.created = created;
    record.expires = expires;
    record.replaces = ReadOptionalId<DeviceId>(replaces);
    return record;
  }
};

std::string SelectEnrolments(const std::string& rest) {
  return std::string("SELECT ") + EnrolmentColumns::kList + " FROM enrolments " + rest;
}

}  // namespace

const char* Name(EnrolmentState state) {
  switch (state) {
    case EnrolmentState::kWaiting:
      return "waiting";
    case EnrolmentState::kGranted:
      return "granted";
    case EnrolmentState::kDone:
      return "done";
    case EnrolmentState::kFailed:
      return "failed";
  }
  return "invalid";
}

Result<void> SqlStore::BeginEnrolment(const EnrolmentRecord& enrolment, std::size_t per_person,
                                      const AuditEntry& audit, const Precondition& only_if) {
  return database_.Write([&](Transaction& t) -> Result<void> {
    if (AccountIsFrozen(t.sql, enrolment.account.Hex())) {
      return Fail(ErrorCode::kConflict, kFrozenAccount);
    }
    const std::string replaced = "A newer enrolment of this key was begun.";
    Execute(t.sql,
            "UPDATE enrolments SET state = 'failed', error = :error WHERE device_id = :device AND "
            "state IN ('waiting', 'granted')",
            replaced, enrolment.device.Hex());
    const std::string account = enrolment.account.Hex(), device = enrolment.device.Hex();
    const long long now = enrolment.created;
    const std::uint64_t others =
        Unsigned(SelectNumber(t.sql,
                              "SELECT COUNT(*) FROM device_keys WHERE account_id = :account AND "
                              "state IN ('active', 'suspended') AND device_id NOT IN (:device, "
                              ":replaced)",
                              account, device, WriteOptionalId(enrolment.replaces))) +
        Unsigned(SelectNumber(t.sql,
                              "SELECT COUNT(*) FROM enrolments WHERE account_id = :account AND "
                              "state IN ('waiting', 'granted') AND expires > :now",
                              account, now));
    if (others >= per_person) {
      return Fail(ErrorCode::kConflict,
                  "This employee has, or is being given, " + std::to_string(others) +
                      (others == 1 ? " key" : " keys") +
                      ", and keys.per_person allows no more: replace one of them, or take one out "
                      "of use first.");
    }
    const std::string state = Name(enrolment.state);
    const long long simulator = enrolment.simulator, created = enrolment.created,
                    expires = enrolment.expires;
    Execute(t.sql,
            "INSERT INTO enrolments (enrolment_id, device_id, account_id, login, display_name, "
            "workstation_id, state, error, actor_login, enrol_cert, begin_body, activation_hash, "
            "statement, grant_bytes, simulator, created, expires, replaces) VALUES (:id, :device, "
            ":account, "
            ":login, :display_name, :workstation, :state, :error, :actor, :cert, :begin, "
            ":activation, :statement, :grant, :simulator, :created, :expires, :replaces)",
            enrolment.id.Hex(), device, account, enrolment.login, enrolment.display_name,
            enrolment.workstation.Hex(), state, enrolment.error, enrolment.actor_login,
            ToBase64(enrolment.enrol_cert), ToBase64(enrolment.begin),
            ToHex(enrolment.activation_hash), ToBase64(enrolment.statement),
            ToBase64(enrolment.grant), simulator, created, expires,
            WriteOptionalId(enrolment.replaces));
    if (auto stands = Require(t.sql, only_if); !stands) return stands;
    AppendChained(t.sql, audit);
    return {};
  });
}

Result<std::optional<EnrolmentRecord>> SqlStore::FindEnrolment(const EnrolmentId& id) {
  return database_.Read([&](soci::session& sql) -> Result<std::optional<EnrolmentRecord>> {
    return FirstOf(
        Select<EnrolmentColumns>(sql, SelectEnrolments("WHERE enrolment_id = :id"), id.Hex()));
  });
}

Result<std::vector<EnrolmentRecord>> SqlStore::OpenEnrolments(std::int64_t now) {
  return database_.Read([&](soci::session& sql) -> Result<std::vector<EnrolmentRecord>> {
    const long long moment = now;
    return Select<EnrolmentColumns>(
        sql,
        SelectEnrolments(
            "WHERE state IN ('waiting', 'granted') AND expires > :now ORDER BY number"),
        moment);
  });
}

Result<void> SqlStore::GrantEnrolment(const EnrolmentRecord& enrolment, const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<void> {
    const long long simulator = enrolment.simulator;
    if (Execute(t.sql,
                "UPDATE enrolments SET state = 'granted', statement = :statement, grant_bytes = "
                ":grant, simulator = :simulator WHERE enrolment_id = :id AND state = 'waiting'",
                ToBase64(enrolment.statement), ToBase64(enrolment.grant), simulator,
                enrolment.id.Hex()) == 0) {
      return Fail(ErrorCode::kConflict, "This enrolment is no longer waiting for the key.");
    }
    AppendChained(t.sql, audit);
    return {};
  });
}

Result<std::vector<JobRecord>> SqlStore::FinishEnrolment(const EnrolmentId& id,
                                                         const KeyRecord& key, const Bytes& receipt,
                                                         const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<std::vector<JobRecord>> {
    std::vector<JobRecord> cancelled;
    const std::string enrolment = id.Hex(), device = key.device.Hex(), account = key.account.Hex();
    const auto row = FirstOf(
        Select<EnrolmentColumns>(t.sql, SelectEnrolments("WHERE enrolment_id = :id"), enrolment));
    if (!row || row->state != EnrolmentState::kGranted) {
      return Fail(ErrorCode::kConflict, "This enrolment is no longer open.");
    }
    Execute(t.sql, "UPDATE enrolments SET state = 'done' WHERE enrolment_id = :id", enrolment);
    const std::string reason = "The key was enrolled anew; set a new password.";
    CancelOpenJobs(t.sql, device, reason, cancelled);
    const std::string former = AccountOf(t.sql, device);
    // Unless it went out of use, or to somebody else, while the new one was being enrolled.
    const std::string replaced = WriteOptionalId(row->replaces);
    if (Execute(t.sql,
                "UPDATE device_keys SET state = 'revoked' WHERE device_id = :device AND account_id "
                "= :account AND state IN ('active', 'suspended')",
                replaced, account) != 0) {
      const std::string lost = "The key was replaced by another; set a new password.";
      CancelOpenJobs(t.sql, replaced, lost, cancelled);
    }
    Execute(t.sql, "DELETE FROM device_keys WHERE device_id = :device", device);
    const std::string state = Name(key.state);
    const long long simulator = key.simulator, next_seq = Signed(key.next_seq),
                    firmware = key.firmware, pin_set = key.pin_set, epoch = key.epoch,
                    last_seq = Signed(key.last_seq), ctr = Signed(key.receipt_ctr),
                    enrolled = key.enrolled, last_seen = key.last_seen;
    Execute(t.sql,
            "INSERT INTO device_keys (device_id, enrolment_id, account_id, login, display_name, "
            "state, simulator, sig_pub, record, next_seq, firmware, pin_set, epoch, recipient_pub, "
            "last_seq, receipt_ctr, receipt_hash, enrolled, last_seen, alarm) VALUES (:device, "
            ":enrolment, :account, :login, :display_name, :state, :simulator, :sig_pub, :record, "
            ":next_seq, :firmware, :pin_set, :epoch, :recipient, :last_seq, :ctr, :hash, "
            ":enrolled, :last_seen, :alarm)",
            device, enrolment, account, key.login, key.display_name, state, simulator,
            ToHex(key.sig_pub), ToBase64(key.record), next_seq, firmware, pin_set, epoch,
            ToHex(key.recipient_pub), last_seq, ctr, ToHex(key.receipt_hash), enrolled, last_seen,
            key.alarm);
    FinishChangesOf(t.sql, account);
    if (!former.empty() && former != account) FinishChangesOf(t.sql, former);
    ReceiptUpdate first;
    first.device = key.device;
    first.enrolment = id;
    first.receipt_ctr = key.receipt_ctr;
    first.hash = key.receipt_hash;
    first.receipt = receipt;
    first.workstation = row->workstation;
    first.time = key.enrolled;
    InsertReceipt(t.sql, first);
    AppendChained(t.sql, audit);
    return cancelled;
  });
}

Result<bool> SqlStore::CallOffEnrolment(const EnrolmentId& id, std::string_view error,
                                        const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<bool> {
    const std::string text(error);
    if (Execute(t.sql,
                "UPDATE enrolments SET state = 'failed', error = :error WHERE enrolment_id = :id "
                "AND state = 'waiting'",
                text, id.Hex()) == 0) {
      t.commit = false;
      return false;
    }
    AppendChained(t.sql, audit);
    return true;
  });
}

Result<void> SqlStore::FailEnrolment(const EnrolmentId& id, std::string_view error,
                                     const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<void> {
    const std::string text(error);
    if (Execute(t.sql,
                "UPDATE enrolments SET state = 'failed', error = :error WHERE enrolment_id = :id "
                "AND state IN ('waiting', 'granted')",
                text, id.Hex()) == 0) {
      t.commit = false;
      return {};
    }
    AppendChained(t.sql, audit);
    return {};
  });
}

}  // namespace keyferry::server
