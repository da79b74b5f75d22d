#include "server/core/sealing.h"

#include <utility>

namespace keyferry::server {
namespace {

JobRecord Draft(const CorePorts& ports, const KeyRecord& key, JobType type) {
  JobRecord job;
  job.device = key.device;
  job.enrolment = key.enrolment;
  job.account = key.account;
  job.type = type;
  job.seq = key.next_seq;
  job.base_seq = key.last_seq;
  job.epoch = key.epoch;
  job.created = ports.clock.UnixMillis();
  // A password now waits for the directory's word; everything else may go.
  if (type != JobType::kSet) {
    job.state = JobState::kReady;
    job.queued = job.created;
  }
  return job;
}

SealRequest RequestOf(const KeyRecord& key, const JobRecord& job) {
  return {job.id,       key.device,   key.account,        key.epoch, key.recipient_pub,
          key.next_seq, key.last_seq, job.created / 1000, {},        job.type == JobType::kHold};
}

Result<JobRecord> Take(JobRecord job, Result<SealedJob> sealed) {
  if (!sealed) return tl::unexpected(std::move(sealed.error()));
  job.sealed = std::move(sealed->bytes);
  job.hash = sealed->hash;
  return job;
}

}  // namespace

Result<JobRecord> SealPasswordJob(const CorePorts& ports, const KeyRecord& key,
                                  const ChangeRecord& change, const JobId& id, JobType type,
                                  const SecureBytes& password) {
  JobRecord job = Draft(ports, key, type);
  job.id = id;
  job.change = change.id;
  job.creator = change.actor_login;
  if (type == JobType::kHold) job.expires = change.expires;
  SealRequest request = RequestOf(key, job);
  request.login = change.login;
  return Take(std::move(job), ports.issuer.SealPassword(request, password, ports.random));
}

Result<JobRecord> SealFollowUp(const CorePorts& ports, const KeyRecord& key, const JobRecord& hold,
                               JobType type) {
  JobRecord job = Draft(ports, key, type);
  if (!ports.random.Fill(job.id.bytes)) {
    return Fail(ErrorCode::kInternal, "The system gave no random numbers.");
  }
  job.change = hold.change;
  job.creator = hold.creator;
  const SealRequest request = RequestOf(key, job);
  return Take(std::move(job), ports.issuer.SealNaming(request, type, hold.id, ports.random));
}

Result<JobRecord> SealProbeJob(const CorePorts& ports, const KeyRecord& key) {
  JobRecord job = Draft(ports, key, JobType::kProbe);
  JobId nothing;
  if (!ports.random.Fill(job.id.bytes) || !ports.random.Fill(nothing.bytes)) {
    return Fail(ErrorCode::kInternal, "The system gave no random numbers.");
  }
  const SealRequest request = RequestOf(key, job);
  return Take(std::move(job),
              ports.issuer.SealNaming(request, JobType::kProbe, nothing, ports.random));
}

Result<JobRecord> SealWipeJob(const CorePorts& ports, const KeyRecord& key) {
  JobRecord job = Draft(ports, key, JobType::kWipe);
  if (!ports.random.Fill(job.id.bytes)) {
    return Fail(ErrorCode::kInternal, "The system gave no random numbers.");
  }
  const SealRequest request = RequestOf(key, job);
  return Take(std::move(job), ports.issuer.SealWipe(request, ports.random));
}

}  // namespace keyferry::server
