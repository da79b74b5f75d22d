#include "server/storage/sqlite_store.h"

#include <utility>

#include "server/storage/backend_sqlite.h"
#include "server/storage/migrations.h"
#include "server/storage/sql_store.h"

namespace keyferry::server {

Result<void> SqlStore::Open() {
  return database_.Open([this] { return Migrate(database_); });
}

Result<std::unique_ptr<Store>> OpenSqliteStore(const std::filesystem::path& file) {
  auto backend = MakeSqliteBackend(file);
  if (!backend) return tl::unexpected(std::move(backend.error()));
  auto store = std::make_unique<SqlStore>(*std::move(backend));
  if (auto opened = store->Open(); !opened) return tl::unexpected(std::move(opened.error()));
  return store;
}

Result<void> SqlStore::OpenForReading() {
  return database_.Open([]() -> Result<void> { return {}; });
}

Result<std::unique_ptr<Store>> ReadSqliteStore(const std::filesystem::path& file) {
  auto backend = MakeSqliteReader(file);
  if (!backend) return tl::unexpected(std::move(backend.error()));
  auto store = std::make_unique<SqlStore>(*std::move(backend));
  if (auto opened = store->OpenForReading(); !opened) {
    return tl::unexpected(std::move(opened.error()));
  }
  return store;
}

}  // namespace keyferry::server
