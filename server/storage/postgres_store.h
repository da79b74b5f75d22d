#pragma once

#include <memory>
#include <string>

#include "protocol/result.h"
#include "server/core/store.h"
#include "server/storage/postgres_url.h"

namespace keyferry::server {

// A database on a PostgreSQL server (13 or newer), which several Keyferry servers may share. Every
// writing transaction holds one lock of the database from its first statement to its commit, so
// that the writers of all servers follow one another as they do on SQLite; fsync,
// full_page_writes and synchronous_commit are on, so a transaction that returned survives a power
// cut. A connection that breaks is opened anew by the next call. One that broke under a commit is
// opened again for some seconds to ask what became of it; where that cannot be learnt, the error is
// kOutcomeUnknown.
// `node`: NodeLink::Self::id of a server that changes passwords; tools have none.
// Opening runs the migrations.
// Errors: kUnavailable (not reachable, not a primary), kUnsupported (too old, not durable, not
// UTF-8; made by a newer Keyferry), kPermissionDenied.
Result<std::unique_ptr<Store>> OpenPostgresStore(const PostgresUrl& url,
                                                 const std::string& node = {});

}  // namespace keyferry::server
