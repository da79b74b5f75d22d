#pragma once

#include "server/core/services.h"

namespace keyferry::server {

// Jobs sealed to a key's row as it stands, numbered with its next sequence and base. Whoever stores
// one claims that sequence; when the row has moved meanwhile it is sealed anew.

// A password for the current (kSet) or the pending slot (kHold).
Result<JobRecord> SealPasswordJob(const CorePorts& ports, const KeyRecord& key,
                                  const ChangeRecord& change, const JobId& id, JobType type,
                                  const SecureBytes& password);
// kCommit or kDrop of what `hold` has put into the pending slot.
Result<JobRecord> SealFollowUp(const CorePorts& ports, const KeyRecord& key, const JobRecord& hold,
                               JobType type);

// A DROP of a job that never was: no key accepts it, and its signed refusal tells how it stands.
Result<JobRecord> SealProbeJob(const CorePorts& ports, const KeyRecord& key);

// Erases the key.
Result<JobRecord> SealWipeJob(const CorePorts& ports, const KeyRecord& key);

}  // namespace keyferry::server
