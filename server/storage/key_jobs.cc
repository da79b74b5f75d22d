#include "server/storage/key_jobs.h"

#include <algorithm>
#include <map>
#include <utility>

#include "protocol/failpoint.h"
#include "server/storage/job_rows.h"
#include "server/storage/key_rows.h"

namespace keyferry::server {
namespace {

struct KeyJobColumns {
  JobColumns job;
  std::string key_state;

  template <typename Prepared>
  void Into(Prepared& p) {
    job.Into(p);
    p, soci::into(key_state);
  }
  KeyJob Read() const {
    return {job.Read(),
            key_state == Name(KeyState::kActive) || key_state == Name(KeyState::kSuspended)};
  }
};

std::string SelectKeyJobs(const std::string& condition) {
  return std::string("SELECT ") + JobColumns::kList + ", COALESCE(k.state, '')" +
         JobColumns::kFrom +
         "LEFT JOIN device_keys k ON k.device_id = j.device_id AND k.enrolment_id = j.enrolment_id "
         "WHERE j.type IN ('set', 'hold', 'commit') AND j.change_id " +
         condition + " ORDER BY j.number";
}

void Take(KeyJob next, std::vector<KeyJob>& keys) {
  const auto same = std::find_if(keys.begin(), keys.end(), [&](const KeyJob& key) {
    return key.job.enrolment == next.job.enrolment;
  });
  if (same == keys.end()) {
    keys.push_back(std::move(next));
  } else {
    *same = std::move(next);
  }
}

std::vector<KeyJob> KeysIn(soci::session& sql, const ChangeId& change) {
  std::vector<KeyJob> keys;
  for (KeyJob& next : Select<KeyJobColumns>(sql, SelectKeyJobs("= :id"), change.Hex())) {
    Take(std::move(next), keys);
  }
  return keys;
}

bool HasJobFor(const std::vector<KeyJob>& keys, const KeyRecord& key) {
  return std::any_of(keys.begin(), keys.end(),
                     [&](const KeyJob& of) { return of.job.enrolment == key.enrolment; });
}

}  // namespace

void AddKeys(soci::session& sql, ChangeRow& row) { row.keys = KeysIn(sql, row.change.id); }

void AddKeys(soci::session& sql, const AccountId& account, long long count,
             std::vector<ChangeRow>& rows) {
  std::map<ChangeId, std::vector<KeyJob>*> keys_of;
  for (ChangeRow& row : rows) keys_of[row.change.id] = &row.keys;
  for (KeyJob& next : Select<KeyJobColumns>(
           sql,
           SelectKeyJobs("IN (SELECT c.change_id FROM changes c WHERE c.account_id = :account "
                         "ORDER BY c.number DESC LIMIT :count)"),
           account.Hex(), count)) {
    const auto found = keys_of.find(next.job.change);
    if (found != keys_of.end()) Take(std::move(next), *found->second);
  }
}

ChangeStore::Begun ClaimKeys(soci::session& sql, const std::vector<JobRecord>& jobs) {
  using Claim = ChangeStore::Claim;
  ChangeStore::Begun begun;
  for (const JobRecord& job : jobs) {
    if (!ClaimSequence(sql, job, Fit::kTrusted)) {
      begun.claim = Claim::kSeqTaken;
      return begun;
    }
    KEYFERRY_FAILPOINT("server.begin.numbered");
    if (MayStillPass(sql, job.enrolment, Signed(job.base_seq)) >= 2) {
      begun.behind.push_back(
          {job.device,
           SelectNumber(sql,
                        "SELECT COALESCE(MAX(handed), 0) FROM jobs WHERE enrolment_id = :enrolment "
                        "AND handed > 0 AND receipt_ctr = 0 AND state <> 'refused'",
                        job.enrolment.Hex())});
    }
  }
  if (!begun.behind.empty()) {
    begun.claim = Claim::kKeyBehind;
    return begun;
  }
  for (const JobRecord& job : jobs) InsertJob(sql, job);
  return begun;
}

std::vector<DeviceId> ReleaseJobs(soci::session& sql, const ChangeId& id,
                                  const AccountId& account_id, std::int64_t time,
                                  std::vector<JobRecord>& superseded) {
  const std::string account = account_id.Hex(), change = id.Hex();
  const std::vector<KeyJob> keys = KeysIn(sql, id);
  std::vector<DeviceId> devices;
  Execute(sql,
          "UPDATE changes SET state = 'superseded' WHERE account_id = :account AND state = "
          "'confirmed' AND change_id <> :id",
          account, change);
  for (const KeyJob& key : keys) SupersedeBelow(sql, key.job, true, superseded);
  // A key that the new password could not be sealed for must not get a dead one either.
  for (const KeyRecord& key :
       Select<KeyColumns>(sql, SelectKeys("WHERE account_id = :account"), account)) {
    devices.push_back(key.device);
    if (IsOutOfUse(key.state) || HasJobFor(keys, key)) continue;
    SupersedeWhere(sql, "j.type IN ('set', 'commit') AND j.device_id = :device", key.device.Hex(),
                   superseded);
  }
  const long long now = time;
  Execute(sql,
          "UPDATE jobs SET state = 'ready', queued = :now WHERE change_id = :id AND state = 'held'",
          now, change);
  KEYFERRY_FAILPOINT("server.confirm.ready");
  const std::string gone =
      "The key went out of use while this password was being set; set a new password.";
  Execute(sql,
          "UPDATE jobs SET state = 'cancelled', sealed = '', last_error = :gone WHERE change_id = "
          ":id AND (state = 'ready' OR (state = 'delivered' AND type = 'hold')) AND NOT EXISTS "
          "(SELECT 1 FROM device_keys k WHERE k.device_id = jobs.device_id AND k.enrolment_id = "
          "jobs.enrolment_id AND k.state IN ('active', 'suspended'))",
          gone, change);
  return devices;
}

}  // namespace keyferry::server
