#pragma once

#include <filesystem>
#include <memory>

#include "protocol/result.h"
#include "server/core/store.h"

namespace keyferry::server {

// The embedded database: one SQLite file (mode 0600, with -wal and -shm beside it) on a local disk.
// WAL with synchronous=FULL, so a transaction that returned survives a power cut; secure_delete on.
// One connection writes and checkpoints and the readers are read-only: before 3.51.3 SQLite can
// corrupt a database whose WAL two connections reset at once.
// Opening creates the file, checks its integrity and runs the migrations.
// Errors: kUnavailable (volume full, read-only, missing folder, locked by another server), kIo (the
// file is damaged: the message says how to restore), kUnsupported (made by a newer version).
// After a failed sync the store refuses every further write until the server is restarted: what the
// disk holds is known only after recovery.
Result<std::unique_ptr<Store>> OpenSqliteStore(const std::filesystem::path& file);
// The same file for reading alone, while a server may be writing it: no check, no migrations, every
// write fails. kNotFound.
Result<std::unique_ptr<Store>> ReadSqliteStore(const std::filesystem::path& file);

}  // namespace keyferry::server
