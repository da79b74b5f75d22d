#pragma once

#include <optional>
#include <string>

#include "server/core/records.h"
#include "server/storage/rows.h"

namespace keyferry::server {

// jobs AS j LEFT JOIN workstations AS w. `sealed` is erased when it is of no use any more.
struct JobColumns {
  static constexpr const char* kList =
      "j.job_id, j.device_id, j.enrolment_id, j.account_id, COALESCE(j.change_id, ''), j.seq, "
      "j.base_seq, j.epoch, j.sealed, j.hash, j.state, j.last_error, j.created, j.queued, "
      "j.handed, j.spooled, j.delivered, j.used, j.workstation_id, COALESCE(w.name, ''), "
      "j.receipt_ctr, j.receipt_hash";
  static constexpr const char* kFrom =
      " FROM jobs j LEFT JOIN workstations w ON w.workstation_id = j.workstation_id ";

  std::string id, device, enrolment, account, change, sealed, hash, state, last_error, workstation,
      workstation_name, receipt_hash;
  long long seq = 0, base_seq = 0, epoch = 0, created = 0, queued = 0, handed = 0, spooled = 0,
            delivered = 0, used = 0, receipt_ctr = 0;

  template <typename Prepared>
  void Into(Prepared& p) {
    p, soci::into(id), soci::into(device), soci::into(enrolment), soci::into(account),
        soci::into(change), soci::into(seq), soci::into(base_seq), soci::into(epoch),
        soci::into(sealed), soci::into(hash), soci::into(state), soci::into(last_error),
        soci::into(created), soci::into(queued), soci::into(handed), soci::into(spooled),
        soci::into(delivered), soci::into(used), soci::into(workstation),
        soci::into(workstation_name), soci::into(receipt_ctr), soci::into(receipt_hash);
  }
  JobRecord Read() const;
};

std::string SelectJobs(const std::string& rest);
std::optional<JobRecord> JobById(soci::session& sql, const JobId& id);

// The newest ready job of a key that is active and has no alarm, if it may go out now; marked as
// handed out at `time`. `wrote` tells whether that changed anything.
std::optional<JobRecord> TakeReadyJob(soci::session& sql, const DeviceId& device, std::int64_t time,
                                      bool& wrote);
// Refuses the ready jobs of a key whose epoch it has left; their changes stay confirmed (the
// directory has the password) and show the reason.
void RefuseDeadJobs(soci::session& sql, const DeviceId& device, std::uint32_t key_epoch);

}  // namespace keyferry::server
