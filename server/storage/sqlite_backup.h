#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "protocol/result.h"

namespace keyferry::server {

// What a backup says of itself, in a table of its own.
struct BackupMark {
  std::int64_t time = 0;       // Unix milliseconds
  std::string server_version;  // that made it
  std::string checkpoints;     // lines of the book of the audit log's checkpoints
};

// Copies the database `from`, as it is at one moment, into the new file `to` (mode 0600, one file,
// on disk when it returns) and checks the copy whole. A server may be writing `from` meanwhile: it
// is only read, in one read transaction, and waits for nothing. kConflict when `to` is there; kIo
// when the copy could not be made or is damaged: it is removed then.
Result<void> WriteSqliteBackup(const std::filesystem::path& from, const std::filesystem::path& to,
                               const BackupMark& mark);

// Copies the backup `from` into the new file `to`, without its mark, ready to be opened as a
// server's database. kInvalidArgument when it is none.
Result<BackupMark> StageSqliteBackup(const std::filesystem::path& from,
                                     const std::filesystem::path& to);

}  // namespace keyferry::server
