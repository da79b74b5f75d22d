#include "protocol/failpoint.h"
#include "server/core/queue.h"
#include "server/storage/job_rows.h"
#include "server/storage/sql_store.h"

namespace keyferry::server {
namespace {

struct DeviceColumn {
  std::string device;
  template <typename Prepared>
  void Into(Prepared& p) {
    p, soci::into(device);
  }
  DeviceId Read() const { return ReadId<DeviceId>(device); }
};

}  // namespace

JobRecord JobColumns::Read() const {
  JobRecord job;
  if (id.empty()) return job;
  job.id = ReadId<JobId>(id);
  job.device = ReadId<DeviceId>(device);
  job.enrolment = ReadId<EnrolmentId>(enrolment);
  job.account = ReadId<AccountId>(account);
  job.change = ReadOptionalId<ChangeId>(change);
  job.type = ReadState(type, JobType::kProbe);
  job.creator = creator;
  job.seq = Unsigned(seq);
  job.base_seq = Unsigned(base_seq);
  job.epoch = static_cast<std::uint32_t>(epoch);
  job.sealed = ReadBytes(sealed);
  job.hash = ReadFixed<32>(hash);
  job.state = ReadState(state, JobState::kCancelled);
  job.last_error = last_error;
  job.created = created;
  job.queued = queued;
  job.handed = handed;
  job.spooled = spooled;
  job.delivered = delivered;
  job.used = used;
  job.attempts = static_cast<std::uint32_t>(attempts);
  job.next_try = next_try;
  job.expires = expires;
  job.workstation = ReadOptionalId<WorkstationId>(workstation);
  job.workstation_name = workstation_name;
  job.receipt_ctr = Unsigned(receipt_ctr);
  if (!receipt_hash.empty()) job.receipt_hash = ReadFixed<32>(receipt_hash);
  return job;
}

std::string SelectJobs(const std::string& rest) {
  return std::string("SELECT ") + JobColumns::kList + JobColumns::kFrom + rest;
}

std::optional<JobRecord> JobById(soci::session& sql, const JobId& id) {
  return FirstOf(Select<JobColumns>(sql, SelectJobs("WHERE j.job_id = :id"), id.Hex()));
}

void InsertJob(soci::session& sql, const JobRecord& job) {
  const long long seq = Signed(job.seq), base_seq = Signed(job.base_seq), epoch = job.epoch,
                  created = job.created, queued = job.queued, handed = job.handed,
                  spooled = job.spooled, delivered = job.delivered, used = job.used,
                  receipt_ctr = Signed(job.receipt_ctr), attempts = job.attempts,
                  next_try = job.next_try, expires = job.expires;
  const std::string state = Name(job.state), type = Name(job.type);
  const std::string receipt_hash = job.receipt_hash ? ToHex(*job.receipt_hash) : std::string();
  Execute(
      sql,
      "INSERT INTO jobs (job_id, device_id, enrolment_id, account_id, change_id, seq, "
      "base_seq, epoch, sealed, hash, state, last_error, created, queued, handed, spooled, "
      "delivered, used, workstation_id, receipt_ctr, receipt_hash, type, creator, attempts, "
      "next_try, expires) VALUES (:id, :device, :enrolment, :account, NULLIF(:change, ''), :seq, "
      ":base_seq, :epoch, :sealed, :hash, :state, :last_error, :created, :queued, :handed, "
      ":spooled, :delivered, :used, :workstation, :receipt_ctr, :receipt_hash, :type, "
      ":creator, :attempts, :next_try, :expires)",
      job.id.Hex(), job.device.Hex(), job.enrolment.Hex(), job.account.Hex(),
      WriteOptionalId(job.change), seq, base_seq, epoch, ToBase64(job.sealed), ToHex(job.hash),
      state, job.last_error, created, queued, handed, spooled, delivered, used,
      WriteOptionalId(job.workstation), receipt_ctr, receipt_hash, type, job.creator, attempts,
      next_try, expires);
}

bool ClaimSequence(soci::session& sql, const JobRecord& job, Fit fit) {
  static constexpr const char* kTrust = " AND alarm = '' AND restored = 0";
  const long long seq = Signed(job.seq), next = seq + 1, epoch = job.epoch,
                  base_seq = Signed(job.base_seq);
  return Execute(
             sql,
             std::string("UPDATE device_keys SET next_seq = :next WHERE device_id = :device "
                         "AND enrolment_id = :enrolment AND next_seq = :seq AND epoch = "
                         ":epoch AND last_seq = :base AND ") +
                 (fit == Fit::kActive ? "state = 'active'" : "state IN ('active', 'suspended')") +
                 (fit == Fit::kInUse ? "" : kTrust),
             next, job.device.Hex(), job.enrolment.Hex(), seq, epoch, base_seq) != 0;
}

long long MayStillPass(soci::session& sql, const EnrolmentId& enrolment, long long last_seq) {
  return SelectNumber(sql,
                      "SELECT COUNT(*) FROM jobs WHERE enrolment_id = :enrolment AND seq > "
                      ":last_seq AND receipt_ctr = 0 AND (state IN ('ready', 'spooled') OR (handed "
                      "> 0 AND state <> 'refused'))",
                      enrolment.Hex(), last_seq);
}

namespace {

constexpr const char* kFinish =
    "UPDATE changes SET state = 'done' WHERE state = 'confirmed' AND EXISTS (SELECT 1 FROM jobs j "
    "WHERE j.change_id = changes.change_id AND j.type IN ('set', 'commit') AND j.state IN "
    "('delivered', 'used')) AND NOT EXISTS (SELECT 1 FROM jobs j JOIN device_keys k ON k.device_id "
    "= j.device_id AND k.enrolment_id = j.enrolment_id WHERE j.change_id = changes.change_id AND "
    "j.type IN ('set', 'commit') AND j.state NOT IN ('delivered', 'used') AND k.state IN "
    "('active', 'suspended')) AND ";

void Supersede(soci::session& sql, std::vector<JobRecord> jobs,
               std::vector<JobRecord>& superseded) {
  for (JobRecord& job : jobs) {
    Execute(sql, "UPDATE jobs SET state = 'superseded', sealed = '' WHERE job_id = :id",
            job.id.Hex());
    job.state = JobState::kSuperseded;
    job.sealed.clear();
    superseded.push_back(std::move(job));
  }
}

}  // namespace

void SupersedeBelow(soci::session& sql, const JobRecord& by, bool passwords,
                    std::vector<JobRecord>& superseded) {
  const long long seq = Signed(by.seq);
  Supersede(
      sql,
      Select<JobColumns>(
          sql,
          SelectJobs(std::string("WHERE j.enrolment_id = :enrolment AND j.seq < :seq AND j.state "
                                 "IN ('ready', 'spooled')") +
                     (passwords ? "" : " AND j.type IN ('hold', 'drop')")),
          by.enrolment.Hex(), seq),
      superseded);
}

void SupersedeWhere(soci::session& sql, const std::string& condition, const std::string& value,
                    std::vector<JobRecord>& superseded) {
  Supersede(sql,
            Select<JobColumns>(
                sql, SelectJobs("WHERE j.state IN ('ready', 'spooled') AND " + condition), value),
            superseded);
}

void FinishChangesOf(soci::session& sql, const std::string& account) {
  Execute(sql, std::string(kFinish) + "account_id = :account", account);
}

void FinishChangeOf(soci::session& sql, const JobId& job) {
  Execute(sql,
          std::string(kFinish) + "change_id = (SELECT change_id FROM jobs WHERE job_id = :job)",
          job.Hex());
}

void CancelOpenJobs(soci::session& sql, const std::string& device, const std::string& reason,
                    std::vector<JobRecord>& cancelled) {
  for (JobRecord& job : Select<JobColumns>(
           sql, SelectJobs("WHERE j.device_id = :device AND j.state IN ('ready', 'spooled')"),
           device)) {
    cancelled.push_back(std::move(job));
  }
  Execute(
      sql,
      "UPDATE jobs SET state = 'cancelled', sealed = '', last_error = :reason WHERE device_id = "
      ":device AND state IN ('ready', 'spooled')",
      reason, device);
}

std::optional<JobRecord> TakeReadyJob(soci::session& sql, const DeviceId& device, std::int64_t time,
                                      bool& wrote) {
  wrote = false;
  if (AlarmStands(sql)) return std::nullopt;
  const std::string hex = device.Hex();
  auto job = FirstOf(Select<JobColumns>(
      sql,
      SelectJobs(
          "JOIN device_keys k ON k.device_id = j.device_id AND k.enrolment_id = "
          "j.enrolment_id WHERE j.device_id = :device AND j.state IN ('ready', 'spooled') "
          "AND ((k.state = 'active' AND k.alarm = '' AND k.restored = 0 AND NOT EXISTS (SELECT 1 "
          "FROM notices n WHERE n.account_id = k.account_id AND n.objected > 0 AND n.lifted "
          "= 0)) OR j.type IN ('wipe', 'probe')) ORDER BY j.seq DESC LIMIT 1"),
      hex));
  if (!job) return std::nullopt;
  const long long key_epoch =
      SelectNumber(sql, "SELECT epoch FROM device_keys WHERE device_id = :device", hex);
  const long long last_seq =
      SelectNumber(sql, "SELECT last_seq FROM device_keys WHERE device_id = :device", hex);
  const std::string enrolment = job->enrolment.Hex();
  const std::string own = job->id.Hex();
  const long long epoch = job->epoch;
  const long long unanswered = SelectNumber(
      sql,
      "SELECT COUNT(*) FROM jobs WHERE enrolment_id = :enrolment AND seq > :last_seq AND handed > "
      "0 "
      "AND receipt_ctr = 0 AND state <> 'refused' AND epoch = :epoch AND job_id <> :own",
      enrolment, last_seq, epoch, own);
  // One that the key has passed by may have been stored: whoever brings it gets its receipt.
  // A WIPE that the key can no longer open is refused and sealed anew; a question is only refused.
  if (job->type != JobType::kWipe && job->type != JobType::kProbe && Signed(job->seq) > last_seq &&
      MayHandOut(static_cast<std::uint32_t>(key_epoch), job->epoch, Unsigned(unanswered)) !=
          HandOut::kNow) {
    return std::nullopt;
  }
  if (job->handed == 0 || job->next_try <= time) {
    wrote = true;
    if (job->handed == 0) job->handed = time;
    ++job->attempts;
    job->next_try = time + OfferPause(job->attempts);
    const long long handed = job->handed, attempts = job->attempts, next_try = job->next_try;
    Execute(sql,
            "UPDATE jobs SET handed = :handed, attempts = :attempts, next_try = :next_try WHERE "
            "job_id = :own",
            handed, attempts, next_try, own);
    KEYFERRY_FAILPOINT("server.handout.before_commit");
  }
  return job;
}

void RefuseDeadJobs(soci::session& sql, const DeviceId& device, std::uint32_t key_epoch,
                    std::uint64_t last_seq) {
  const std::string hex = device.Hex();
  const std::string reason = kDeadEpochReason;
  const long long oldest = static_cast<long long>(key_epoch) - 1, above = Signed(last_seq);
  Execute(sql,
          "UPDATE jobs SET state = 'refused', sealed = '', last_error = :reason WHERE device_id = "
          ":device AND state IN ('ready', 'spooled') AND epoch < :oldest AND seq > :above",
          reason, hex, oldest, above);
}

Result<std::vector<DeviceId>> SqlStore::JobsToOffer(std::int64_t now) {
  return database_.Read([&](soci::session& sql) -> Result<std::vector<DeviceId>> {
    if (AlarmStands(sql)) return std::vector<DeviceId>();
    const long long moment = now;
    return Select<DeviceColumn>(sql,
                                "SELECT DISTINCT device_id FROM jobs WHERE state IN ('ready', "
                                "'spooled') AND next_try > 0 AND next_try <= :now",
                                moment);
  });
}

Result<std::optional<JobRecord>> SqlStore::FindJob(const JobId& id) {
  return database_.Read(
      [&](soci::session& sql) -> Result<std::optional<JobRecord>> { return JobById(sql, id); });
}

Result<std::optional<JobRecord>> SqlStore::FindJobByHash(const EnrolmentId& enrolment,
                                                         const Hash32& hash) {
  return database_.Read([&](soci::session& sql) -> Result<std::optional<JobRecord>> {
    return FirstOf(
        Select<JobColumns>(sql, SelectJobs("WHERE j.enrolment_id = :enrolment AND j.hash = :hash"),
                           enrolment.Hex(), ToHex(hash)));
  });
}

Result<std::optional<JobRecord>> SqlStore::TakeReady(const DeviceId& device, std::int64_t time) {
  return database_.Write([&](Transaction& t) -> Result<std::optional<JobRecord>> {
    return TakeReadyJob(t.sql, device, time, t.commit);
  });
}

Result<std::uint64_t> SqlStore::CountUnanswered(const EnrolmentId& enrolment, std::uint64_t seq) {
  return database_.Read([&](soci::session& sql) -> Result<std::uint64_t> {
    const long long below = Signed(seq);
    return Unsigned(SelectNumber(
        sql,
        "SELECT COUNT(*) FROM jobs WHERE enrolment_id = :enrolment AND seq < :seq AND handed > 0 "
        "AND receipt_ctr = 0 AND state <> 'refused'",
        enrolment.Hex(), below));
  });
}

Result<JobRecord> SqlStore::MarkSpooled(const JobId& id, const WorkstationId& workstation,
                                        std::int64_t time) {
  return database_.Write([&](Transaction& t) -> Result<JobRecord> {
    const long long now = time;
    t.commit = Execute(t.sql,
                       "UPDATE jobs SET state = 'spooled', spooled = :now, workstation_id = "
                       ":workstation, last_error = '' WHERE job_id = :id AND state = 'ready'",
                       now, workstation.Hex(), id.Hex()) != 0;
    KEYFERRY_FAILPOINT("server.spooled.before_commit");
    auto job = JobById(t.sql, id);
    if (!job) return Fail(ErrorCode::kNotFound, "There is no such job.");
    return *std::move(job);
  });
}

Result<JobRecord> SqlStore::NoteProblem(const JobId& id, const WorkstationId& workstation,
                                        std::string_view message) {
  return database_.Write([&](Transaction& t) -> Result<JobRecord> {
    const std::string text(message);
    t.commit = Execute(t.sql,
                       "UPDATE jobs SET last_error = :text, workstation_id = :workstation WHERE "
                       "job_id = :id AND state IN ('ready', 'spooled')",
                       text, workstation.Hex(), id.Hex()) != 0;
    auto job = JobById(t.sql, id);
    if (!job) return Fail(ErrorCode::kNotFound, "There is no such job.");
    return *std::move(job);
  });
}

Result<JobRecord> SqlStore::MarkUsed(const DeviceId& device, std::uint64_t seq, std::int64_t time,
                                     const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<JobRecord> {
    const long long wanted = Signed(seq);
    auto job = FirstOf(Select<JobColumns>(
        t.sql,
        SelectJobs("JOIN device_keys k ON k.enrolment_id = j.enrolment_id WHERE k.device_id = "
                   ":device AND j.seq = :seq AND j.state IN ('delivered', 'used')"),
        device.Hex(), wanted));
    // The key names a password by the job that brought it; what made it current was the COMMIT.
    if (job && job->type == JobType::kHold) {
      job = FirstOf(Select<JobColumns>(
          t.sql,
          SelectJobs("WHERE j.change_id = :change AND j.type = 'commit' AND j.state IN "
                     "('delivered', 'used')"),
          job->change.Hex()));
    }
    if (!job) return Fail(ErrorCode::kNotFound, "No delivered password has this number.");
    KEYFERRY_FAILPOINT("server.used.found");
    if (job->state == JobState::kUsed) {
      t.commit = false;
      return *std::move(job);
    }
    const long long now = time;
    Execute(t.sql, "UPDATE jobs SET state = 'used', used = :now WHERE job_id = :id", now,
            job->id.Hex());
    AppendChained(t.sql, audit);
    KEYFERRY_FAILPOINT("server.used.before_commit");
    job->state = JobState::kUsed;
    job->used = time;
    return *std::move(job);
  });
}

}  // namespace keyferry::server
