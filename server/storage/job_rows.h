#pragma once

#include <optional>
#include <string>

#include "server/core/records.h"
#include "server/storage/rows.h"

namespace keyferry::server {

// jobs AS j LEFT JOIN workstations AS w. `sealed` is erased when it is of no use any more.
struct JobColumns {
  // COALESCE, because a change that waits for its key has no job yet.
  static constexpr const char* kList =
      "COALESCE(j.job_id, ''), COALESCE(j.device_id, ''), COALESCE(j.enrolment_id, ''), "
      "COALESCE(j.account_id, ''), COALESCE(j.change_id, ''), COALESCE(j.seq, 0), "
      "COALESCE(j.base_seq, 0), COALESCE(j.epoch, 0), COALESCE(j.sealed, ''), COALESCE(j.hash, "
      "''), COALESCE(j.state, ''), COALESCE(j.last_error, ''), COALESCE(j.created, 0), "
      "COALESCE(j.queued, 0), COALESCE(j.handed, 0), COALESCE(j.spooled, 0), "
      "COALESCE(j.delivered, 0), COALESCE(j.used, 0), COALESCE(j.workstation_id, ''), "
      "COALESCE(w.name, ''), COALESCE(j.receipt_ctr, 0), COALESCE(j.receipt_hash, ''), "
      "COALESCE(j.type, ''), COALESCE(j.creator, ''), COALESCE(j.attempts, 0), "
      "COALESCE(j.next_try, 0), COALESCE(j.expires, 0)";
  static constexpr const char* kFrom =
      " FROM jobs j LEFT JOIN workstations w ON w.workstation_id = j.workstation_id ";

  std::string id, device, enrolment, account, change, sealed, hash, state, last_error, workstation,
      workstation_name, receipt_hash, type, creator;
  long long seq = 0, base_seq = 0, epoch = 0, created = 0, queued = 0, handed = 0, spooled = 0,
            delivered = 0, used = 0, receipt_ctr = 0, attempts = 0, next_try = 0, expires = 0;

  template <typename Prepared>
  void Into(Prepared& p) {
    p, soci::into(id), soci::into(device), soci::into(enrolment), soci::into(account),
        soci::into(change), soci::into(seq), soci::into(base_seq), soci::into(epoch),
        soci::into(sealed), soci::into(hash), soci::into(state), soci::into(last_error),
        soci::into(created), soci::into(queued), soci::into(handed), soci::into(spooled),
        soci::into(delivered), soci::into(used), soci::into(workstation),
        soci::into(workstation_name), soci::into(receipt_ctr), soci::into(receipt_hash),
        soci::into(type), soci::into(creator), soci::into(attempts), soci::into(next_try),
        soci::into(expires);
  }
  JobRecord Read() const;  // an empty record where there is no job
};

std::string SelectJobs(const std::string& rest);
std::optional<JobRecord> JobById(soci::session& sql, const JobId& id);

// Cancels and erases what waits for a key that will not get it any more; adds it to `cancelled`.
void CancelOpenJobs(soci::session& sql, const std::string& device, const std::string& reason,
                    std::vector<JobRecord>& cancelled);
void InsertJob(soci::session& sql, const JobRecord& job);
// Which keys a job may be sealed for.
enum class Fit {
  kActive,   // active, no alarm, and it has told how it stands since the last restore
  kTrusted,  // the same, or suspended
  kInUse,    // active or suspended, whatever is suspected
};
// Claims the key for a job that is sealed: next_seq moves on if the key's row still is as it was
// then, and the key fit.
bool ClaimSequence(soci::session& sql, const JobRecord& job, Fit fit);
// Jobs above the key's sequence that it may have got, or may yet be handed, and has not answered.
long long MayStillPass(soci::session& sql, const EnrolmentId& enrolment, long long last_seq);
// Jobs of the enrolment below `seq` that wait for the key → superseded; added to `superseded`.
// `passwords`: also those that carry one.
void SupersedeBelow(soci::session& sql, const JobRecord& by, bool passwords,
                    std::vector<JobRecord>& superseded);
// The same for the jobs of the condition, which is over jobs j, with one value.
void SupersedeWhere(soci::session& sql, const std::string& condition, const std::string& value,
                    std::vector<JobRecord>& superseded);
// Confirmed changes of the account, or the one of the job → done: when a key has the password, and
// none is left in use that it was sealed for and that does not have it.
void FinishChangesOf(soci::session& sql, const std::string& account);
void FinishChangeOf(soci::session& sql, const JobId& job);

// The newest ready job of a key that is active and has no alarm, if it may go out now; marked as
// handed out at `time`. `wrote` tells whether that changed anything.
std::optional<JobRecord> TakeReadyJob(soci::session& sql, const DeviceId& device, std::int64_t time,
                                      bool& wrote);
// Refuses the ready jobs of a key whose epoch it has left; their changes stay confirmed (the
// directory has the password) and show the reason. Only those above `last_seq`: one below may have
// been stored, its receipt on the way.
void RefuseDeadJobs(soci::session& sql, const DeviceId& device, std::uint32_t key_epoch,
                    std::uint64_t last_seq);

}  // namespace keyferry::server
