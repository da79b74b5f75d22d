#pragma once

#include "protocol/result.h"
#include "server/storage/database.h"

namespace keyferry::server {

// Brings the schema up to date, each numbered step in one transaction. kUnsupported when the
// database was made by a newer server.
Result<void> Migrate(Database& database);

}  // namespace keyferry::server
