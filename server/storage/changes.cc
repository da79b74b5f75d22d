#include <algorithm>

#include "protocol/failpoint.h"
#include "server/core/audit_entry.h"
#include "server/storage/approval_rows.h"
#include "server/storage/job_rows.h"
#include "server/storage/key_jobs.h"
#include "server/storage/source_rows.h"
#include "server/storage/sql_store.h"

namespace keyferry::server {
namespace {

constexpr const char* kOpenStates = "('intent', 'held', 'attempt', 'unknown')";

struct ChangeColumns {
  static constexpr const char* kList =
      "c.change_id, c.account_id, c.login, c.actor_id, c.actor_login, c.address, "
      "c.idempotency_key, c.request_hash, c.reason, c.generated, c.must_change, "
      "c.unlock_account, c.state, c.error, c.error_code, c.server, c.password_last_set, c.created, "
      "c.attempted, c.confirmed, c.device_id, c.job_id, c.password_version, c.server_time, "
      "c.history_salt, c.history_hash, c.mode, c.prepared, c.expires, c.doubt, c.holder";

  std::string id, account, login, actor, actor_login, address, idempotency_key, request_hash,
      reason, state, error, error_code, server, device, job, history_salt, history_hash, mode,
      holder;
  long long generated = 0, must_change = 0, unlock = 0, password_last_set = 0, created = 0,
            attempted = 0, confirmed = 0, password_version = 0, server_time = 0, prepared = 0,
            expires = 0, doubt = 0;
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
        soci::into(history_salt), soci::into(history_hash), soci::into(mode), soci::into(prepared),
        soci::into(expires), soci::into(doubt), soci::into(holder);
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
    change.job = ReadOptionalId<JobId>(job);
    change.mode = ReadState(mode, ChangeMode::kAtDelivery);
    change.prepared = prepared;
    change.expires = expires;
    change.doubt = doubt != 0;
    change.holder = holder;
    row.job = job_columns.Read();
    return row;
  }
};

std::string SelectChanges(const std::string& rest) {
  return std::string("SELECT ") + ChangeColumns::kList + ", " + JobColumns::kList +
         " FROM changes c LEFT JOIN jobs j ON j.job_id = c.job_id LEFT JOIN workstations w ON "
         "w.workstation_id = j.workstation_id " +
         rest;
}

std::optional<ChangeRow> WithKeys(soci::session& sql, std::vector<ChangeRow> rows) {
  if (rows.empty()) return std::nullopt;
  AddKeys(sql, rows.front());
  return std::move(rows.front());
}

std::optional<ChangeRow> ChangeById(soci::session& sql, const ChangeId& id) {
  return WithKeys(sql,
                  Select<ChangeColumns>(sql, SelectChanges("WHERE c.change_id = :id"), id.Hex()));
}

std::optional<ChangeRow> Repeated(soci::session& sql, const AccountId& actor,
                                  const std::string& idempotency_key) {
  return WithKeys(sql,
                  Select<ChangeColumns>(
                      sql, SelectChanges("WHERE c.actor_id = :actor AND c.idempotency_key = :key"),
                      actor.Hex(), idempotency_key));
}

std::optional<ChangeRow> OpenOf(soci::session& sql, const AccountId& account) {
  return WithKeys(sql, Select<ChangeColumns>(
                           sql,
                           SelectChanges(std::string("WHERE c.account_id = :account AND c.state "
                                                     "IN ") +
                                         kOpenStates),
                           account.Hex()));
}

long long InsertChange(soci::session& sql, const ChangeRecord& change) {
  const long long generated = change.generated, must_change = change.must_change,
                  unlock = change.unlock, last_set = change.password_last_set,
                  created = change.created, attempted = change.attempted,
                  confirmed = change.confirmed, version = change.password_version,
                  server_time = change.server_time, expires = change.expires, doubt = change.doubt;
  const std::string state = Name(change.state), error_code = OutcomeName(change.error_code),
                    mode = Name(change.mode);
  return Execute(
      sql,
      "INSERT INTO changes (change_id, account_id, login, actor_id, actor_login, address, "
      "idempotency_key, request_hash, reason, generated, must_change, unlock_account, state, "
      "error, "
      "error_code, server, password_last_set, created, attempted, confirmed, device_id, job_id, "
      "password_version, server_time, history_salt, history_hash, mode, expires, doubt) "
      "VALUES (:id, "
      ":account, :login, :actor, :actor_login, :address, :key, :request_hash, :reason, :generated, "
      ":must_change, :unlock, :state, :error, :error_code, :server, :last_set, :created, "
      ":attempted, "
      ":confirmed, :device, :job, :version, :server_time, :salt, :hash, :mode, :expires, :doubt) "
      "ON "
      "CONFLICT DO NOTHING",
      change.id.Hex(), change.account.Hex(), change.login, change.actor.Hex(), change.actor_login,
      change.address, change.idempotency_key, ToHex(change.request_hash), change.reason, generated,
      must_change, unlock, state, change.error, error_code, change.server, last_set, created,
      attempted, confirmed, change.device.Hex(), WriteOptionalId(change.job), version, server_time,
      change.history_salt, change.history_hash, mode, expires, doubt);
}

tl::unexpected<Error> AlreadySettled() {
  return Fail(ErrorCode::kConflict, "This change has already been settled.");
}

tl::unexpected<Error> Quiet() { return Fail(ErrorCode::kConflict, kAlarmStands); }

tl::unexpected<Error> Frozen() { return Fail(ErrorCode::kConflict, kFrozenAccount); }

tl::unexpected<Error> NoRow() {
  return Fail(ErrorCode::kInternal, "The change is gone from the database.");
}

// Whether the directory may have a password that nobody has, left by the account's newest change or
// by an older one that wrote after it.
bool InDoubt(soci::session& sql, const AccountId& account) {
  return SelectNumber(sql,
                      "SELECT CASE WHEN doubt <> 0 OR (state = 'superseded' AND error_code = "
                      "'unknown') THEN 1 ELSE 0 END FROM changes WHERE account_id = :account ORDER "
                      "BY number DESC LIMIT 1",
                      account.Hex()) != 0;
}

// The unique keys decide, not a look beforehand: two requests cannot both insert.
Result<ChangeStore::Begun> ClaimAccount(Transaction& t, const ChangeRecord& change) {
  using Claim = ChangeStore::Claim;
  ChangeStore::Begun begun;
  begun.row.change = change;
  begun.row.change.doubt = InDoubt(t.sql, change.account);
  if (InsertChange(t.sql, begun.row.change) != 0) {
    const auto busy = ChangeWithOpenSources(t.sql, change.account);
    if (!busy) {
      if (AlarmStands(t.sql)) return Quiet();
      if (AccountIsFrozen(t.sql, change.account.Hex())) return Frozen();
      InsertSources(t.sql, change);
      return begun;
    }
    t.commit = false;
    auto row = ChangeById(t.sql, *busy);
    if (!row) return NoRow();
    return ChangeStore::Begun{Claim::kAccountBusy, *std::move(row), {}};
  }
  t.commit = false;
  if (auto row = Repeated(t.sql, change.actor, change.idempotency_key)) {
    return ChangeStore::Begun{Claim::kRepeated, *std::move(row), {}};
  }
  auto row = OpenOf(t.sql, change.account);
  if (!row) return Fail(ErrorCode::kInternal, "The change could not be stored.");
  return ChangeStore::Begun{Claim::kAccountBusy, *std::move(row), {}};
}

}  // namespace

Result<ChangeStore::Begun> SqlStore::BeginChange(const ChangeRecord& change,
                                                 const std::vector<JobRecord>& jobs,
                                                 const AuditEntry& audit,
                                                 const Precondition& only_if) {
  return database_.Write([&](Transaction& t) -> Result<Begun> {
    auto begun = ClaimAccount(t, change);
    if (!begun || begun->claim != Claim::kBegun) return begun;
    KEYFERRY_FAILPOINT("server.begin.inserted");
    Begun claimed = ClaimKeys(t.sql, jobs);
    if (claimed.claim != Claim::kBegun) {
      t.commit = false;  // takes the inserted change back as well
      return claimed;
    }
    if (auto stands = Require(t.sql, only_if); !stands) return tl::unexpected(stands.error());
    Own(t.sql, change.id);
    AppendChained(t.sql, audit);
    KEYFERRY_FAILPOINT("server.begin.before_commit");
    begun->row.job = jobs.front();
    for (const JobRecord& job : jobs) begun->row.keys.push_back({job, true});
    return begun;
  });
}

Result<ChangeStore::Begun> SqlStore::BeginWaiting(const ChangeRecord& change,
                                                  const AuditEntry& audit,
                                                  const Precondition& only_if) {
  return database_.Write([&](Transaction& t) -> Result<Begun> {
    auto begun = ClaimAccount(t, change);
    if (!begun || begun->claim != Claim::kBegun) return begun;
    if (auto stands = Require(t.sql, only_if); !stands) return tl::unexpected(stands.error());
    AppendChained(t.sql, audit);
    KEYFERRY_FAILPOINT("server.wait.before_commit");
    return begun;
  });
}

Result<ChangeStore::Queued> SqlStore::HoldChange(const ChangeRecord& change, const JobId& former,
                                                 const JobRecord& job, bool key_seen,
                                                 const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<Queued> {
    if (AlarmStands(t.sql)) return Quiet();
    if (AccountIsFrozen(t.sql, change.account.Hex())) return Frozen();
    Queued queued;
    if (Execute(t.sql,
                "UPDATE changes SET state = 'held', job_id = :job, device_id = :device, holder = "
                ":holder, prepared = 0, error = '' WHERE change_id = :id "
                "AND mode = 'at_delivery' AND state IN ('intent', 'held') AND job_id = :former",
                job.id.Hex(), job.device.Hex(), change.holder, change.id.Hex(),
                WriteOptionalId(former)) == 0) {
      return AlreadySettled();
    }
    KEYFERRY_FAILPOINT("server.hold.marked");
    const auto refuse = [&](Claim claim) {
      t.commit = false;
      queued.claim = claim;
      return queued;
    };
    if (!ClaimSequence(t.sql, job, Fit::kActive)) return refuse(Claim::kSeqTaken);
    const long long undelivered =
        SelectNumber(t.sql,
                     "SELECT COUNT(*) FROM jobs WHERE enrolment_id = :enrolment AND state IN "
                     "('ready', 'spooled') AND type IN ('set', 'commit')",
                     job.enrolment.Hex());
    if (undelivered != 0 || MayStillPass(t.sql, job.enrolment, Signed(job.base_seq)) >= 2) {
      return refuse(Claim::kKeyBehind);
    }
    SupersedeBelow(t.sql, job, false, queued.superseded);
    SupersedeWhere(t.sql, "j.type = 'hold' AND j.change_id = :change", change.id.Hex(),
                   queued.superseded);
    InsertJob(t.sql, job);
    if (key_seen) {
      bool wrote = false;
      queued.hand_out = TakeReadyJob(t.sql, job.device, job.created, wrote);
    }
    AppendChained(t.sql, audit);
    KEYFERRY_FAILPOINT("server.hold.before_commit");
    return queued;
  });
}

Result<ChangeStore::Begun> SqlStore::AttemptHeld(const ChangeRecord& change,
                                                 const std::vector<JobRecord>& others,
                                                 const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<Begun> {
    if (AlarmStands(t.sql)) return Quiet();
    if (AccountIsFrozen(t.sql, change.account.Hex())) return Frozen();
    const long long last_set = change.password_last_set, version = change.password_version,
                    server_time = change.server_time, attempted = change.attempted;
    const std::string job = change.job.Hex();
    if (Execute(t.sql,
                "UPDATE changes SET state = 'attempt', server = :server, password_last_set = "
                ":last_set, password_version = :version, server_time = :server_time, attempted = "
                ":attempted WHERE change_id = :id AND state = 'held' AND job_id = :job AND EXISTS "
                "(SELECT 1 FROM jobs j JOIN device_keys k ON k.enrolment_id = j.enrolment_id WHERE "
                "j.job_id = :same AND j.type = 'hold' AND j.state = 'delivered' AND k.state = "
                "'active' AND k.alarm = '')",
                change.server, last_set, version, server_time, attempted, change.id.Hex(), job,
                job) == 0) {
      return AlreadySettled();
    }
    Begun begun = ClaimKeys(t.sql, others);
    if (begun.claim != Claim::kBegun) {
      t.commit = false;
      return begun;
    }
    Own(t.sql, change.id);
    AppendChained(t.sql, audit);
    KEYFERRY_FAILPOINT("server.held.before_commit");
    auto row = ChangeById(t.sql, change.id);
    if (!row) return NoRow();
    begun.row = *std::move(row);
    return begun;
  });
}

Result<ChangeStore::Confirmed> SqlStore::ConfirmChange(
    const ChangeId& id, const AccountId& account, const JobRecord* commit, std::int64_t time,
    const std::function<bool(const DeviceId&)>& seen, const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<Confirmed> {
    const long long now = time;
    const std::string change = id.Hex();
    // Doubt of 1 is of what was before this change, and mended by it; 2 is of a write that perhaps
    // came after its own (MarkDoubt).
    if (Execute(
            t.sql,
            std::string("UPDATE changes SET state = 'confirmed', confirmed = :now, error = '', "
                        "doubt = CASE doubt WHEN 1 THEN 0 ELSE doubt END WHERE change_id = :id AND "
                        "account_id = :account AND state IN ('attempt', 'unknown') AND ") +
                Mine("changes"),
            now, change, account.Hex(), node_) == 0) {
      return AlreadySettled();
    }
    Confirmed confirmed;
    if (commit != nullptr) {
      if (!ClaimSequence(t.sql, *commit, Fit::kInUse)) {
        t.commit = false;
        confirmed.seq_taken = true;
        return confirmed;
      }
      InsertJob(t.sql, *commit);
      Execute(t.sql, "UPDATE changes SET job_id = :job WHERE change_id = :id", commit->id.Hex(),
              change);
      KEYFERRY_FAILPOINT("server.commit.inserted");
    }
    KEYFERRY_FAILPOINT("server.confirm.marked");
    confirmed.devices = ReleaseJobs(t.sql, id, account, time, confirmed.superseded);
    for (const DeviceId& device : confirmed.devices) {
      if (!seen(device)) continue;
      bool wrote = false;
      auto job = TakeReadyJob(t.sql, device, time, wrote);
      if (job && job->change == id) confirmed.hand_out.push_back(*std::move(job));
    }
    AppendChained(t.sql, audit);
    auto row = ChangeById(t.sql, id);
    if (!row) return NoRow();
    KEYFERRY_FAILPOINT("server.confirm.before_commit");
    confirmed.row = *std::move(row);
    return confirmed;
  });
}

Result<ChangeRow> SqlStore::CloseChange(const ChangeId& id, From from, ChangeState final,
                                        const Error& reason, const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<ChangeRow> {
    const std::string state = Name(final);
    const std::string code = OutcomeName(reason.code);
    if (Execute(t.sql,
                std::string("UPDATE changes SET state = :state, error = :error, error_code = :code "
                            "WHERE change_id = :id AND ") +
                    (from == From::kAny ? std::string("state IN ") + kOpenStates
                                        : "mode = 'at_delivery' AND state IN ('intent', 'held')") +
                    " AND " + Mine("changes"),
                state, reason.message, code, id.Hex(), node_) == 0) {
      return AlreadySettled();
    }
    Execute(t.sql,
            "UPDATE jobs SET state = 'cancelled', sealed = '' WHERE change_id = :id AND (state = "
            "'held' OR (type = 'hold' AND state = 'ready' AND handed = 0))",
            id.Hex());
    LeaveSources(t.sql, id, kFirstRefusedReason);
    KEYFERRY_FAILPOINT("server.close.before_commit");
    AppendChained(t.sql, audit);
    auto row = ChangeById(t.sql, id);
    if (!row) return NoRow();
    return *std::move(row);
  });
}

Result<ChangeRow> SqlStore::MarkUnknown(const ChangeId& id, std::string_view error,
                                        const PasswordStamp& since, const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<ChangeRow> {
    const std::string text(error);
    const long long last_set = since.last_set, version = since.version, server_time = since.now;
    if (Execute(
            t.sql,
            "UPDATE changes SET state = 'unknown', error = :text, password_last_set = "
            ":last_set, password_version = :version, server_time = :server_time, owner = :owner "
            "WHERE change_id = :id AND state = 'attempt' AND " +
                Mine("changes"),
            text, last_set, version, server_time, node_, id.Hex(), node_) == 0) {
      return AlreadySettled();
    }
    LeaveSources(t.sql, id, kFirstUnknownReason);
    AppendChained(t.sql, audit);
    auto row = ChangeById(t.sql, id);
    if (!row) return NoRow();
    return *std::move(row);
  });
}

Result<ChangeRow> SqlStore::MarkDoubt(const ChangeId& id, std::string_view error,
                                      const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<ChangeRow> {
    if (Execute(t.sql,
                "UPDATE changes SET error = :text, doubt = 1 WHERE change_id = :id AND state IN "
                "('failed', 'superseded')",
                std::string(error), id.Hex()) == 0) {
      return AlreadySettled();
    }
    // A newer change is no remedy where its own write may have come first.
    Execute(t.sql,
            "UPDATE changes SET doubt = CASE WHEN state IN ('intent', 'held') THEN 1 ELSE 2 END "
            "WHERE change_id <> :id AND number = (SELECT MAX(n.number) FROM changes n WHERE "
            "n.account_id = (SELECT o.account_id FROM changes o WHERE o.change_id = :same))",
            id.Hex(), id.Hex());
    AppendChained(t.sql, audit);
    auto row = ChangeById(t.sql, id);
    if (!row) return NoRow();
    return *std::move(row);
  });
}

Result<std::optional<ChangeRow>> SqlStore::FindChange(const ChangeId& id) {
  return database_.Read(
      [&](soci::session& sql) -> Result<std::optional<ChangeRow>> { return ChangeById(sql, id); });
}

Result<std::optional<ChangeRow>> SqlStore::NewestConfirmed(const AccountId& account) {
  return database_.Read([&](soci::session& sql) -> Result<std::optional<ChangeRow>> {
    return WithKeys(sql, Select<ChangeColumns>(
                             sql,
                             SelectChanges("WHERE c.account_id = :account AND c.confirmed > 0 "
                                           "ORDER BY c.number DESC LIMIT 1"),
                             account.Hex()));
  });
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
    auto rows = Select<ChangeColumns>(
        sql, SelectChanges("WHERE c.account_id = :account ORDER BY c.number DESC LIMIT :count"),
        account.Hex(), count);
    AddKeys(sql, account, count, rows);
    return rows;
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

Result<ChangeStore::Open> SqlStore::OpenChanges() {
  return database_.Read([&](soci::session& sql) -> Result<ChangeStore::Open> {
    ChangeStore::Open open;
    open.rows =
        SelectWhole<ChangeColumns>(sql,
                                   SelectChanges(std::string("WHERE c.state IN ") + kOpenStates +
                                                 " AND " + Mine("c") + " ORDER BY c.number"),
                                   &open.damaged, node_);
    return open;
  });
}

Result<std::optional<ChangeRow>> SqlStore::OpenChangeOf(const AccountId& account) {
  return database_.Read(
      [&](soci::session& sql) -> Result<std::optional<ChangeRow>> { return OpenOf(sql, account); });
}

}  // namespace keyferry::server
