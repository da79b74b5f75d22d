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

// The server's URL with another database in it: postgresql://USER@HOST/DATABASE?SETTINGS.
std::string UrlOf(const std::string& name) {
  std::string url = ServerUrl();
  const std::size_t from = url.find('/', url.find("//") + 2) + 1;
  return url.replace(from, url.find('?', from) - from, name);
}

std::string NewName() {
  static std::atomic<int> made{0};
  return "t" + std::to_string(getpid()) + "_" + std::to_string(++made);
}

// To migrate an empty database takes many times as long as to copy one that was, and every case
// wants a new one: each process migrates one, which nobody else ever opens, and copies that.
const std::string& PostgresTemplate() {
  static const std::string made = [] {
    std::string name = NewName();
    *Session(ServerUrl()) << "CREATE DATABASE " + name;
    if (auto store = OpenPostgresStore(Parsed(UrlOf(name))); !store) {
      throw std::runtime_error(store.error().message);
    }
    return name;
  }();
  return made;
}

const std::string& SqliteTemplate() {
  static const std::string made = [] {
    const TempFolder folder;
    const std::filesystem::path file = folder.path / "server.db";
    if (auto store = OpenSqliteStore(file); !store) throw std::runtime_error(store.error().message);
    std::ifstream in(file, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  }();
  return made;
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

TestDatabase::TestDatabase(Content content) {
  if (!IsPostgres()) {
    if (content == Content::kNone) return;
    const std::filesystem::path file = folder_.path / "server.db";
    std::ofstream out(file, std::ios::binary);
    std::filesystem::permissions(file, std::filesystem::perms(0600));
    out << SqliteTemplate();
    if (!out.flush()) throw std::runtime_error("server.db");
    return;
  }
  name_ = NewName();
  url_ = UrlOf(name_);
  const std::string origin = content == Content::kNone ? "template1" : PostgresTemplate();
  // Page by page through the buffers, as PostgreSQL 15 does by itself, it costs half as much again.
  *Session(ServerUrl()) << "CREATE DATABASE " + name_ + " TEMPLATE " + origin +
                               " STRATEGY file_copy";
}

TestDatabase::~TestDatabase() {
  if (!IsPostgres()) return;
  try {
    *Session(ServerUrl()) << "DROP DATABASE " + name_ + " WITH (FORCE)";
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
