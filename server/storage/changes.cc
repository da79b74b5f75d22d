#include <algorithm>

#include "protocol/failpoint.h"
#include "server/core/audit_entry.h"
#include "server/storage/job_rows.h"
#include "server/storage/sql_store.h"

namespace keyferry::server {
namespace {

constexpr const char* kOpenStates = "('intent', 'held', 'attempt', 'unknown')";

ErrorCode ReadErrorCode(const std::string& name) {
  for (int i = 0; i <= static_cast<int>(ErrorCode::kInternal); ++i) {
    if (name == OutcomeName(static_cast<ErrorCode>(i))) return static_cast<ErrorCode>(i);
  }
  throw DamagedRow("error code " + name.substr(0, 40));
}

struct ChangeColumns {
  static constexpr const char* kList =
      "c.change_id, c.account_id, c.login, c.actor_id, c.actor_login, c.address, "
      "c.idempotency_key, c.request_hash, c.reason, c.generated, c.must_change, "
      "c.unlock_account, c.state, c.error, c.error_code, c.server, c.password_last_set, c.created, "
      "c.attempted, c.confirmed, c.device_id, c.job_id, c.password_version, c.server_time, "
      "c.history_salt, c.history_hash";

  std::string id, account, login, actor, actor_login, address, idempotency_key, request_hash,
      reason, state, error, error_code, server, device, job, history_salt, history_hash;
  long long generated = 0, must_change = 0, unlock = 0, password_last_set = 0, created = 0,
            attempted = 0, confirmed = 0, password_version = 0, server_time = 0;
  JobColumns job_columns;

  template <typename Prepared>
  void Into(Prepared& p) {
    p, soci::into(id), soci::into(account), soci::into(login), soci::into(actor),
        soci::into(actor_login), soci::into(address), soci::into(idempotency_key),
        soci::into(request_hash), soci::into(reason), soci::into(generated),
        soci::into(must_change), soci::into(unlock), soci::into(state), soci::into(error),
        soci::into(error_code), soci::into(server), soci::into(password_last_set),
        soci::into(created), soci::into(attempted), soci::into(confirmed), soci::into(device),
        soci::into(job), soci::into(password_version), soci::into(server_time),
        soci::into(history_salt), soci::into(history_hash);
    job_columns.Into(p);
  }
  ChangeRow Read() const {
    ChangeRow row;
    ChangeRecord& change = row.change;
    change.id = ReadId<ChangeId>(id);
    change.account = ReadId<AccountId>(account);
    change.login = login;
    change.actor = ReadId<AccountId>(actor);
    change.actor_login = actor_login;
    change.address = address;
    change.idempotency_key = idempotency_key;
    change.request_hash = ReadFixed<32>(request_hash);
    change.reason = reason;
    change.generated = generated != 0;
    change.must_change = must_change != 0;
    change.unlock = unlock != 0;
    change.state = ReadState(state, ChangeState::kSuperseded);
    change.error = error;
    change.error_code = ReadErrorCode(error_code);
    change.server = server;
    change.password_last_set = password_last_set;
    change.password_version = static_cast<std::uint32_t>(password_version);
    change.server_time = server_time;
    change.history_salt = history_salt;
    change.history_hash = history_hash;
    change.created = created;
    change.attempted = attempted;
    change.confirmed = confirmed;
    change.device = ReadId<DeviceId>(device);
    change.job = ReadId<JobId>(job);
    row.job = job_columns.Read();
    return row;
  }
};

std::string SelectChanges(const std::string& rest) {
  return std::string("SELECT ") + ChangeColumns::kList + ", " + JobColumns::kList +
         " FROM changes c JOIN jobs j ON j.job_id = c.job_id LEFT JOIN workstations w ON "
         "w.workstation_id = j.workstation_id " +
         rest;
}

std::optional<ChangeRow> ChangeById(soci::session& sql, const ChangeId& id) {
  return FirstOf(Select<ChangeColumns>(sql, SelectChanges("WHERE c.change_id = :id"), id.Hex()));
}

std::optional<ChangeRow> Repeated(soci::session& sql, const AccountId& actor,
                                  const std::string& idempotency_key) {
  return FirstOf(Select<ChangeColumns>(
      sql, SelectChanges("WHERE c.actor_id = :actor AND c.idempotency_key = :key"), actor.Hex(),
      idempotency_key));
}

long long InsertChange(soci::session& sql, const ChangeRecord& change) {
  const long long generated = change.generated, must_change = change.must_change,
                  unlock = change.unlock, last_set = change.password_last_set,
                  created = change.created, attempted = change.attempted,
                  confirmed = change.confirmed, version = change.password_version,
                  server_time = change.server_time;
  const std::string state = Name(change.state), error_code = OutcomeName(change.error_code);
  return Execute(
      sql,
      "INSERT INTO changes (change_id, account_id, login, actor_id, actor_login, address, "
      "idempotency_key, request_hash, reason, generated, must_change, unlock_account, state, "
      "error, "
      "error_code, server, password_last_set, created, attempted, confirmed, device_id, job_id, "
      "password_version, server_time, history_salt, history_hash) "
      "VALUES (:id, "
      ":account, :login, :actor, :actor_login, :address, :key, :request_hash, :reason, :generated, "
      ":must_change, :unlock, :state, :error, :error_code, :server, :last_set, :created, "
      ":attempted, "
      ":confirmed, :device, :job, :version, :server_time, :salt, :hash) ON CONFLICT DO NOTHING",
      change.id.Hex(), change.account.Hex(), change.login, change.actor.Hex(), change.actor_login,
      change.address, change.idempotency_key, ToHex(change.request_hash), change.reason, generated,
      must_change, unlock, state, change.error, error_code, change.server, last_set, created,
      attempted, confirmed, change.device.Hex(), change.job.Hex(), version, server_time,
      change.history_salt, change.history_hash);
}

void InsertJob(soci::session& sql, const JobRecord& job) {
  const long long seq = Signed(job.seq), base_seq = Signed(job.base_seq), epoch = job.epoch,
                  created = job.created, queued = job.queued, handed = job.handed,
                  spooled = job.spooled, delivered = job.delivered, used = job.used,
                  receipt_ctr = Signed(job.receipt_ctr);
  const std::string state = Name(job.state);
  const std::string receipt_hash = job.receipt_hash ? ToHex(*job.receipt_hash) : std::string();
  Execute(
      sql,
      "INSERT INTO jobs (job_id, device_id, enrolment_id, account_id, change_id, seq, base_seq, "
      "epoch, sealed, hash, state, last_error, created, queued, handed, spooled, delivered, "
      "used, workstation_id, receipt_ctr, receipt_hash) VALUES (:id, :device, :enrolment, "
      ":account, :change, :seq, :base_seq, :epoch, :sealed, :hash, :state, :last_error, "
      ":created, :queued, :handed, :spooled, :delivered, :used, :workstation, :receipt_ctr, "
      ":receipt_hash)",
      job.id.Hex(), job.device.Hex(), job.enrolment.Hex(), job.account.Hex(), job.change.Hex(), seq,
      base_seq, epoch, ToBase64(job.sealed), ToHex(job.hash), state, job.last_error, created,
      queued, handed, spooled, delivered, used, WriteOptionalId(job.workstation), receipt_ctr,
      receipt_hash);
}

// Jobs above the key's sequence that it may have got, or may yet be handed, and has not answered.
long long MayStillPass(soci::session& sql, const EnrolmentId& enrolment, long long last_seq) {
  return SelectNumber(
      sql,
      "SELECT COUNT(*) FROM jobs WHERE enrolment_id = :enrolment AND seq > :last_seq AND "
      "receipt_ctr "
      "= 0 AND (state IN ('ready', 'spooled') OR (handed > 0 AND state <> 'refused'))",
      enrolment.Hex(), last_seq);
}

tl::unexpected<Error> AlreadySettled() {
  return Fail(ErrorCode::kConflict, "This change has already been settled.");
}

}  // namespace

Result<ChangeStore::Begun> SqlStore::BeginChange(const ChangeRecord& change, const JobRecord& job,
                                                 const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<Begun> {
    Begun begun;
    // The unique keys decide, not a look beforehand: two requests cannot both insert.
    if (InsertChange(t.sql, change) == 0) {
      t.commit = false;
      if (auto row = Repeated(t.sql, change.actor, change.idempotency_key)) {
        begun.claim = Claim::kRepeated;
        begun.row = *std::move(row);
        return begun;
      }
      auto row = FirstOf(Select<ChangeColumns>(
          t.sql,
          SelectChanges(std::string("WHERE c.account_id = :account AND c.state IN ") + kOpenStates),
          change.account.Hex()));
      if (!row) return Fail(ErrorCode::kInternal, "The change could not be stored.");
      begun.claim = Claim::kAccountBusy;
      begun.row = *std::move(row);
      return begun;
    }
    KEYFERRY_FAILPOINT("server.begin.inserted");
    const long long seq = Signed(job.seq);
    const long long next = seq + 1;
    const long long epoch = job.epoch;
    const long long base_seq = Signed(job.base_seq);
    const long long claimed = Execute(
        t.sql,
        "UPDATE device_keys SET next_seq = :next WHERE device_id = :device AND enrolment_id "
        "= :enrolment AND next_seq = :seq AND epoch = :epoch AND last_seq = :base AND state "
        "= 'active' AND alarm = ''",
        next, job.device.Hex(), job.enrolment.Hex(), seq, epoch, base_seq);
    if (claimed == 0) {
      t.commit = false;  // takes the inserted change back as well
      begun.claim = Claim::kSeqTaken;
      return begun;
    }
    KEYFERRY_FAILPOINT("server.begin.numbered");
    if (MayStillPass(t.sql, job.enrolment, base_seq) >= 2) {
      t.commit = false;
      begun.claim = Claim::kKeyBehind;
      return begun;
    }
    InsertJob(t.sql, job);
    AppendChained(t.sql, audit);
    KEYFERRY_FAILPOINT("server.begin.before_commit");
    begun.row = {change, job};
    return begun;
  });
}

Result<ChangeStore::Confirmed> SqlStore::ConfirmChange(const ChangeId& id, std::int64_t time,
                                                       bool key_seen, const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<Confirmed> {
    const long long now = time;
    if (Execute(t.sql,
                "UPDATE changes SET state = 'confirmed', confirmed = :now, error = '' WHERE "
                "change_id = :id AND state IN ('attempt', 'unknown')",
                now, id.Hex()) == 0) {
      return AlreadySettled();
    }
    auto row = ChangeById(t.sql, id);
    if (!row) return Fail(ErrorCode::kInternal, "The change lost its job.");
    Confirmed confirmed;
    const long long seq = Signed(row->job.seq);
    const std::string enrolment = row->job.enrolment.Hex();
    confirmed.superseded = Select<JobColumns>(
        t.sql,
        SelectJobs("WHERE j.enrolment_id = :enrolment AND j.seq < :seq AND j.state IN ('ready', "
                   "'spooled')"),
        enrolment, seq);
    KEYFERRY_FAILPOINT("server.confirm.marked");
    for (JobRecord& job : confirmed.superseded) {
      const std::string old = job.id.Hex();
      Execute(t.sql, "UPDATE jobs SET state = 'superseded', sealed = '' WHERE job_id = :id", old);
      Execute(t.sql,
              "UPDATE changes SET state = 'superseded' WHERE job_id = :id AND state = 'confirmed'",
              old);
      job.state = JobState::kSuperseded;
      job.sealed.clear();
    }
    Execute(t.sql,
            "UPDATE jobs SET state = 'ready', queued = :now WHERE job_id = :id AND state = 'held'",
            now, row->job.id.Hex());
    KEYFERRY_FAILPOINT("server.confirm.ready");
    // The key may have been replaced while the directory was asked.
    const std::string gone =
        "The key was replaced while this password was being set; set a new password.";
    Execute(
        t.sql,
        "UPDATE jobs SET state = 'cancelled', sealed = '', last_error = :gone WHERE job_id = "
        ":id AND NOT EXISTS (SELECT 1 FROM device_keys k WHERE k.device_id = jobs.device_id AND "
        "k.enrolment_id = jobs.enrolment_id AND k.state <> 'revoked')",
        gone, row->job.id.Hex());
    if (key_seen) {
      bool wrote = false;
      auto job = TakeReadyJob(t.sql, row->job.device, time, wrote);
      if (job && job->id == row->job.id) confirmed.hand_out = std::move(job);
    }
    AppendChained(t.sql, audit);
    row = ChangeById(t.sql, id);
    if (!row) return Fail(ErrorCode::kInternal, "The change lost its job.");
    KEYFERRY_FAILPOINT("server.confirm.before_commit");
    confirmed.row = *std::move(row);
    return confirmed;
  });
}

Result<ChangeRow> SqlStore::CloseChange(const ChangeId& id, ChangeState final, const Error& reason,
                                        const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<ChangeRow> {
    const std::string state = Name(final);
    const std::string code = OutcomeName(reason.code);
    if (Execute(t.sql,
                std::string("UPDATE changes SET state = :state, error = :error, error_code = :code "
                            "WHERE change_id = :id AND state IN ") +
                    kOpenStates,
                state, reason.message, code, id.Hex()) == 0) {
      return AlreadySettled();
    }
    Execute(t.sql,
            "UPDATE jobs SET state = 'cancelled', sealed = '' WHERE change_id = :id AND state = "
            "'held'",
            id.Hex());
    KEYFERRY_FAILPOINT("server.close.before_commit");
    AppendChained(t.sql, audit);
    auto row = ChangeById(t.sql, id);
    if (!row) return Fail(ErrorCode::kInternal, "The change lost its job.");
    return *std::move(row);
  });
}

Result<ChangeRow> SqlStore::MarkUnknown(const ChangeId& id, std::string_view error,
                                        const PasswordStamp& since, const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<ChangeRow> {
    const std::string text(error);
    const long long last_set = since.last_set, version = since.version, server_time = since.now;
    if (Execute(t.sql,
                "UPDATE changes SET state = 'unknown', error = :text, password_last_set = "
                ":last_set, password_version = :version, server_time = :server_time WHERE "
                "change_id = :id AND state = 'attempt'",
                text, last_set, version, server_time, id.Hex()) == 0) {
      return AlreadySettled();
    }
    AppendChained(t.sql, audit);
    auto row = ChangeById(t.sql, id);
    if (!row) return Fail(ErrorCode::kInternal, "The change lost its job.");
    return *std::move(row);
  });
}

Result<std::optional<ChangeRow>> SqlStore::FindChange(const ChangeId& id) {
  return database_.Read(
      [&](soci::session& sql) -> Result<std::optional<ChangeRow>> { return ChangeById(sql, id); });
}

Result<std::optional<ChangeRow>> SqlStore::FindRepeated(const AccountId& actor,
                                                        std::string_view idempotency_key) {
  return database_.Read([&](soci::session& sql) -> Result<std::optional<ChangeRow>> {
    return Repeated(sql, actor, std::string(idempotency_key));
  });
}

Result<std::vector<ChangeRow>> SqlStore::History(const AccountId& account, std::size_t limit) {
  return database_.Read([&](soci::session& sql) -> Result<std::vector<ChangeRow>> {
    const long long count = Signed(std::min<std::size_t>(limit, 1000));
    return Select<ChangeColumns>(
        sql, SelectChanges("WHERE c.account_id = :account ORDER BY c.number DESC LIMIT :count"),
        account.Hex(), count);
  });
}

Result<std::vector<ChangeRow>> SqlStore::TypedHistory(const AccountId& account, std::size_t limit) {
  return database_.Read([&](soci::session& sql) -> Result<std::vector<ChangeRow>> {
    const long long count = Signed(std::min<std::size_t>(limit, 1000));
    return Select<ChangeColumns>(
        sql,
        SelectChanges("WHERE c.account_id = :account AND c.history_hash <> '' AND c.state <> "
                      "'failed' ORDER BY c.number DESC LIMIT :count"),
        account.Hex(), count);
  });
}

Result<std::vector<ChangeRow>> SqlStore::OpenChanges() {
  return database_.Read([&](soci::session& sql) -> Result<std::vector<ChangeRow>> {
    return Select<ChangeColumns>(
        sql, SelectChanges(std::string("WHERE c.state IN ") + kOpenStates + " ORDER BY c.number"));
  });
}

}  // namespace keyferry::server
