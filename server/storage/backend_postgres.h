#pragma once

#include <memory>

#include "server/storage/backend.h"
#include "server/storage/postgres_url.h"

namespace keyferry::server {

// Connects with every OpenWriter() and OpenReader() only. Errors as OpenPostgresStore.
std::unique_ptr<Backend> MakePostgresBackend(const PostgresUrl& url);

}  // namespace keyferry::server
