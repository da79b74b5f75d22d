#include "test_database.h"

#include <soci/postgresql/soci-postgresql.h>
#include <soci/soci.h>
#include <soci/sqlite3/soci-sqlite3.h>
#include <stdlib.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <stdexcept>

#include "server/storage/postgres_store.h"
#include "server/storage/sqlite_store.h"

namespace keyferry::server::testing {
namespace {

const char* ServerUrl() { return std::getenv("KEYFERRY_TEST_POSTGRESQL"); }

PostgresUrl Parsed(const std::string& url) {
  auto parsed = PostgresUrl::Parse(url);
  if (!parsed) throw std::runtime_error(parsed.error().message);
  return *std::move(parsed);
}

std::unique_ptr<soci::session> Session(const std::string& url) {
  return std::make_unique<soci::session>(soci::postgresql, Parsed(url).connection());
}

}  // namespace

TempFolder::TempFolder() {
  std::string name = (std::filesystem::temp_directory_path() / "keyferry-test-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp");
  path = name;
}

TempFolder::~TempFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path, ignored);
}

bool TestDatabase::IsPostgres() { return ServerUrl() != nullptr; }

TestDatabase::TestDatabase() {
  if (!IsPostgres()) return;
  static std::atomic<int> made{0};
  schema_ = "t" + std::to_string(getpid()) + "_" + std::to_string(++made);
  url_ = std::string(ServerUrl()) + "&options=-csearch_path%3D" + schema_;
  *Session(ServerUrl()) << "CREATE SCHEMA " + schema_;
}

TestDatabase::~TestDatabase() {
  if (!IsPostgres()) return;
  try {
    const auto session = Session(ServerUrl());
    *session << "SET client_min_messages = warning";
    *session << "DROP SCHEMA " + schema_ + " CASCADE";
  } catch (const std::exception&) {
    // The whole server goes away with the run.
  }
}

Result<std::unique_ptr<Store>> TestDatabase::Open() const {
  if (IsPostgres()) return OpenPostgresStore(Parsed(url_));
  return OpenSqliteStore(folder_.path / "server.db");
}

void TestDatabase::Run(const std::string& sql) const {
  if (IsPostgres()) {
    *Session(url_) << sql;
    return;
  }
  soci::session session(soci::sqlite3, "db=" + (folder_.path / "server.db").string());
  session << sql;
}

std::string TestDatabase::Text(const std::string& sql) const {
  std::string text;
  if (IsPostgres()) {
    *Session(url_) << sql, soci::into(text);
    return text;
  }
  soci::session session(soci::sqlite3, "db=" + (folder_.path / "server.db").string());
  session << sql, soci::into(text);
  return text;
}

std::filesystem::path TestDatabase::Where() const {
  if (!IsPostgres()) return folder_.path;
  return Text("SHOW data_directory");
}

TestDatabase::Found TestDatabase::Search(std::string_view text) const {
  Found found;
  std::string bytes;
  for (const auto& file : std::filesystem::recursive_directory_iterator(Where())) {
    if (!file.is_regular_file()) continue;
    ++found.files;
    // In one piece: PostgreSQL's are a hundred megabytes and more.
    bytes.resize(file.file_size());
    std::ifstream in(file.path(), std::ios::binary);
    in.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    bytes.resize(static_cast<std::size_t>(in.gcount()));
    if (bytes.find(text) != std::string::npos) found.with.push_back(file.path());
  }
  return found;
}

}  // namespace keyferry::server::testing
