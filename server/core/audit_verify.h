#pragma once

#include <cstdint>
#include <vector>

#include "server/core/audit_checkpoint.h"
#include "server/core/store.h"

namespace keyferry::server {

// What the audit log is measured against: the audit key, and checkpoints that were kept where who
// alters the database does not reach (the book beside it, the syslog's archive).
struct AuditTrust {
  protocol::P256Public pub{};
  std::vector<AuditCheckpoint> checkpoints;
};

struct AuditReport {
  std::uint64_t first = 0;  // row that is there, 0 = none
  std::uint64_t last = 0;
  std::int64_t first_time = 0;     // of row `first`, Unix milliseconds
  std::uint64_t cut = 0;           // rows 1 … cut were removed under the retention rule
  std::size_t checkpoints = 0;     // that agree with a row, or with the cut
  std::uint64_t signed_until = 0;  // the newest row that a checkpoint vouches for
  // Restores from backups, each signed: what followed row `restored_from` until `restored_at` (Unix
  // milliseconds) is lost, by the newest of them.
  std::size_t restores = 0;
  std::uint64_t restored_from = 0;
  std::int64_t restored_at = 0;
};

// Those of `checkpoints` that still count: without those of rows that a restore, signed later,
// has taken away. Signatures are not looked at.
std::vector<AuditCheckpoint> Standing(const std::vector<AuditCheckpoint>& checkpoints);

// Puts the signed restores that the log tells of, and the book does not know, into the book: of
// another node, or of one that died before it could. Restores without a good signature are left
// out.
Result<void> AdoptRestores(AuditStore& store, CheckpointBook& book,
                           const std::vector<RestoreRecord>& restores,
                           const protocol::P256Public& audit_pub);

// kConflict when the log ends before a row that the book knows: the database is older than the
// book, put back by hand, and was not marked as restored.
Result<void> CheckNotOlder(AuditStore& store, CheckpointBook& book);

// Reads the whole log: every row follows the one before it, none is missing, altered, or in another
// place; the oldest follows what was cut off under the signed retention rule; every checkpoint's
// signature is the audit key's and its row has the hash that it says; no checkpoint knows of rows
// that are not there. The error, kInternal, names the first thing that is wrong. What was written
// after the last checkpoint can be cut off or written anew without this noticing.
Result<AuditReport> VerifyAudit(AuditStore& store, const AuditTrust& trust);

}  // namespace keyferry::server
