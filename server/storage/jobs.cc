#include "protocol/failpoint.h"
#include "server/core/queue.h"
#include "server/storage/job_rows.h"
#include "server/storage/sql_store.h"

namespace keyferry::server {

JobRecord JobColumns::Read() const {
  JobRecord job;
  job.id = ReadId<JobId>(id);
  job.device = ReadId<DeviceId>(device);
  job.enrolment = ReadId<EnrolmentId>(enrolment);
  job.account = ReadId<AccountId>(account);
  job.change = ReadOptionalId<ChangeId>(change);
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

std::optional<JobRecord> TakeReadyJob(soci::session& sql, const DeviceId& device, std::int64_t time,
                                      bool& wrote) {
  wrote = false;
  const std::string hex = device.Hex();
  auto job = FirstOf(Select<JobColumns>(
      sql,
      SelectJobs("JOIN device_keys k ON k.device_id = j.device_id AND k.enrolment_id = "
                 "j.enrolment_id WHERE j.device_id = :device AND j.state IN ('ready', 'spooled') "
                 "AND k.state = 'active' AND k.alarm = '' ORDER BY j.seq DESC LIMIT 1"),
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
  if (MayHandOut(static_cast<std::uint32_t>(key_epoch), job->epoch, Unsigned(unanswered)) !=
      HandOut::kNow) {
    return std::nullopt;
  }
  if (job->handed == 0) {
    wrote = true;
    job->handed = time;
    const long long now = time;
    Execute(sql, "UPDATE jobs SET handed = :now WHERE job_id = :own", now, own);
    KEYFERRY_FAILPOINT("server.handout.before_commit");
  }
  return job;
}

void RefuseDeadJobs(soci::session& sql, const DeviceId& device, std::uint32_t key_epoch) {
  const std::string hex = device.Hex();
  const std::string reason = kDeadEpochReason;
  const long long oldest = static_cast<long long>(key_epoch) - 1;
  Execute(sql,
          "UPDATE jobs SET state = 'refused', sealed = '', last_error = :reason WHERE device_id = "
          ":device AND state IN ('ready', 'spooled') AND epoch < :oldest",
          reason, hex, oldest);
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
