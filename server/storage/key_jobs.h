#pragma once

#include <string>
#include <vector>

#include "server/core/store.h"
#include "server/storage/rows.h"

// What a change brings to each key of its person.
namespace keyferry::server {

// Fills in the keys of one change, or of the account's newest `count`, which are `rows`.
void AddKeys(soci::session& sql, ChangeRow& row);
void AddKeys(soci::session& sql, const AccountId& account, long long count,
             std::vector<ChangeRow>& rows);

// Stores jobs that are sealed, each in its key's next place. Anything but kBegun is to be taken
// back with all else.
ChangeStore::Begun ClaimKeys(soci::session& sql, const std::vector<JobRecord>& jobs);
// Once the directory has the change's password: its jobs become ready, or are cancelled where the
// key went out of use, and older passwords for the account's keys are superseded; these are added.
// Returns the account's keys.
std::vector<DeviceId> ReleaseJobs(soci::session& sql, const ChangeId& id, const AccountId& account,
                                  std::int64_t time, std::vector<JobRecord>& superseded);

}  // namespace keyferry::server
