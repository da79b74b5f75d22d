#pragma once

#include <filesystem>
#include <memory>

#include "server/storage/backend.h"

namespace keyferry::server {

// Takes the lock beside the file (one server a file), makes the file with mode 0600 if it is
// missing. Errors as OpenSqliteStore.
Result<std::unique_ptr<Backend>> MakeSqliteBackend(const std::filesystem::path& file);
// Without the lock, for reading alone; another process may be writing. kNotFound.
Result<std::unique_ptr<Backend>> MakeSqliteReader(const std::filesystem::path& file);

}  // namespace keyferry::server
