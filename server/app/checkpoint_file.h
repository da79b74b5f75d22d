#pragma once

#include <filesystem>
#include <memory>

#include "server/core/audit_checkpoint.h"

namespace keyferry::server {

// The book of checkpoints as a file of lines beside the database, only ever appended to (mode
// 0600). An unfinished last line, left by a crash, is passed over and written behind.
std::unique_ptr<CheckpointBook> MakeCheckpointFile(std::filesystem::path file);

// Checkpoints out of any file of lines, e.g. the archive of a syslog receiver: lines that hold none
// are passed over.
Result<std::vector<AuditCheckpoint>> ReadCheckpoints(const std::filesystem::path& file);

}  // namespace keyferry::server
