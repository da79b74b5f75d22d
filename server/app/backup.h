#pragma once

#include <filesystem>
#include <string>

#include "protocol/result.h"
#include "server/app/config.h"
#include "server/core/store.h"

namespace keyferry::server {

// docs/operations.md, "Backup and restore", is the manual of both.

// Writes a backup of the database into the new file `to` while the server runs, and verifies it:
// every page, every reference, and the whole audit chain. For SQLite; on PostgreSQL it says which
// pg_dump to run. Returns what to tell the person.
Result<std::string> BackUp(const ServerConfig& config, const std::filesystem::path& to);

// Puts the backup `from` in the place of the database and marks it as restored (RestoreStore); with
// an empty `from` marks the database that is there, whoever put it back. The database that was
// there is kept beside it. Refused while a server runs.
Result<std::string> Restore(const ServerConfig& config, const std::filesystem::path& from);

// What a starting server has to know: kConflict when the database is an older copy that was not
// marked as restored, or its audit log is signed with another key than this server's.
Result<void> CheckAuditKept(const ServerConfig& config, Store& store);

}  // namespace keyferry::server
