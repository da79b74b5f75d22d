#include "server/storage/postgres_store.h"

#include <utility>

#include "server/storage/backend_postgres.h"
#include "server/storage/sql_store.h"

namespace keyferry::server {

Result<std::unique_ptr<Store>> OpenPostgresStore(const PostgresUrl& url, const std::string& node) {
  auto store = std::make_unique<SqlStore>(MakePostgresBackend(url), node);
  if (auto opened = store->Open(); !opened) return tl::unexpected(std::move(opened.error()));
  return store;
}

}  // namespace keyferry::server
