#pragma once

#include "protocol/receipt.h"
#include "server/core/services.h"

namespace keyferry::server {

inline constexpr const char* kRestoredReason =
    "restored: the server's database was put back from a backup, so this was given up.";

// What a server does with its keys after its database was put back from a backup. The backup knows
// nothing of what keys and directory did since, so nothing it held is pushed (RestoreStore), and
// each key is asked first: a job that no key can accept, whose signed refusal carries the key's
// number, counter, chain and recipient key (protocol/PROTOCOL.md section 3). The directory is asked
// as well; only then does the key get anything again.

// Seals and queues the question to a key that has to tell how it stands, and tells those that
// spooled a job before the restore that it is void. To be called when such a key is seen.
Result<void> AskAfterRestore(const CorePorts& ports, const KeyRecord& key);

// Takes in the answer. `receipt` is genuine, and refuses `probe`.
Result<ReceiptVerdict> LearnFromRefusal(const CorePorts& ports, const WorkstationRecord& from,
                                        const KeyRecord& key, const JobRecord& probe,
                                        const protocol::Receipt& receipt);

// A genuine receipt for a job that this database does not know, of a number that may have been
// given out in a time that is lost: the key has to tell again.
Result<ReceiptVerdict> TakeFromLostTime(const CorePorts& ports, const WorkstationRecord& from,
                                        const KeyRecord& key, const protocol::Receipt& receipt);

}  // namespace keyferry::server
