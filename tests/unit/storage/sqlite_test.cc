// The embedded database: what survives, what is noticed, what is said.
#include <fcntl.h>
#include <sched.h>
#include <soci/soci.h>
#include <soci/sqlite3/soci-sqlite3.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <future>
#include <thread>

#include "server/core/audit_verify.h"
#include "server/core/services.h"
#include "server/storage/backend_sqlite.h"
#include "server/storage/database.h"
#include "server/storage/sqlite_store.h"
#include "test_database.h"
#include "tests/unit/storage/audit_line.h"

using namespace keyferry;
using namespace keyferry::server;
using namespace keyferry::server::testing;

namespace {

std::filesystem::path FileIn(const TempFolder& folder) { return folder.path / "server.db"; }

// Whoever has the file can do this; the chain must tell.
void Tamper(const std::filesystem::path& file, const std::string& sql) {
  soci::session session(soci::sqlite3, "db=" + file.string());
  session << sql;
}

std::string TextOf(const std::filesystem::path& file, const std::string& sql) {
  soci::session session(soci::sqlite3, "db=" + file.string());
  std::string text;
  session << sql, soci::into(text);
  return text;
}

// SQLite, but one can see who writes checkpoints, and forget to ask for them.
class WatchedBackend final : public Backend {
 public:
  WatchedBackend(const std::filesystem::path& file, bool asks)
      : own_(MakeSqliteBackend(file).value()), asks_(asks) {}
  std::unique_ptr<soci::session> OpenWriter() override { return own_->OpenWriter(); }
  std::unique_ptr<soci::session> OpenReader() override { return own_->OpenReader(); }
  void Begin(soci::session& writer) override { own_->Begin(writer); }
  void Commit(soci::session& writer) override { own_->Commit(writer); }
  bool WantsCheckpoint(soci::session& writer) const override {
    return asks_ && own_->WantsCheckpoint(writer);
  }
  void Checkpoint(soci::session& writer) override {
    own_->Checkpoint(writer);
    if (!std::exchange(seen_, true)) writer_of_it.set_value(std::this_thread::get_id());
  }
  bool Lost(soci::session& session, const std::exception& error) const override {
    return own_->Lost(session, error);
  }
  std::optional<bool> Stored(soci::session& fresh) override { return own_->Stored(fresh); }
  const char* Now() const override { return own_->Now(); }
  const char* GrowingId() const override { return own_->GrowingId(); }
  Error Translate(const std::exception& error, bool& fatal) const override {
    return own_->Translate(error, fatal);
  }

  std::promise<std::thread::id> writer_of_it;

 private:
  std::unique_ptr<Backend> own_;
  const bool asks_;
  bool seen_ = false;
};

// Writes some `pages` of the file in transactions of ten or so.
void WritePages(Database& database, int pages) {
  const std::string filling(40'000, 'x');
  for (int i = 0; i < pages; i += 10) {
    REQUIRE(database.Write([&](Transaction& t) -> Result<void> {
      t.sql << "INSERT INTO filled (text) VALUES (:text)", soci::use(filling);
      return {};
    }));
  }
}

Result<void> OpenFilled(Database& database) {
  if (auto opened = database.Open([]() -> Result<void> { return {}; }); !opened) return opened;
  return database.Write([](Transaction& t) -> Result<void> {
    t.sql << "CREATE TABLE filled (text TEXT)";
    return {};
  });
}

}  // namespace

TEST_CASE("a checkpoint is written by a thread of its own, not by who commits") {
  TempFolder folder;
  auto watched = std::make_unique<WatchedBackend>(FileIn(folder), true);
  auto told = watched->writer_of_it.get_future();
  Database database(std::move(watched));
  REQUIRE(OpenFilled(database));
  WritePages(database, 500);
  CHECK(std::filesystem::file_size(FileIn(folder)) < 400'000);
  WritePages(database, 700);
  CHECK(told.get() != std::this_thread::get_id());
  CHECK(std::filesystem::file_size(FileIn(folder)) > 3'000'000);
}

TEST_CASE("a log that nobody moves is moved by who commits before it grows without end") {
  TempFolder folder;
  Database database(std::make_unique<WatchedBackend>(FileIn(folder), false));
  REQUIRE(OpenFilled(database));
  WritePages(database, 2500);
  CHECK(std::filesystem::file_size(FileIn(folder)) < 400'000);
  WritePages(database, 2000);
  CHECK(std::filesystem::file_size(FileIn(folder)) > 12'000'000);
}

TEST_CASE("a store is opened again with all that it held") {
  TempFolder folder;
  {
    const auto store = OpenSqliteStore(FileIn(folder));
    REQUIRE(store);
    for (int i = 1; i <= 5; ++i) REQUIRE((*store)->AppendAudit(Line(i)));
    struct stat facts {};
    REQUIRE(stat(FileIn(folder).c_str(), &facts) == 0);
    CHECK((facts.st_mode & 0777) == 0600);
    for (const auto& entry : std::filesystem::directory_iterator(folder.path)) {
      REQUIRE(stat(entry.path().c_str(), &facts) == 0);
      CHECK((facts.st_mode & 0077) == 0);
    }
  }
  const auto store = OpenSqliteStore(FileIn(folder));
  REQUIRE(store);
  CHECK((*store)->AuditHead()->number == 5);
  CHECK(MakeAuditService(**store)->Verify().value() == 5);
  CHECK(TextOf(FileIn(folder), "PRAGMA journal_mode") == "wal");
}

TEST_CASE("one server a file") {
  TempFolder folder;
  const auto first = OpenSqliteStore(FileIn(folder));
  REQUIRE(first);
  const auto second = OpenSqliteStore(FileIn(folder));
  REQUIRE_FALSE(second);
  CHECK(second.error().code == ErrorCode::kUnavailable);
  CHECK_THAT(second.error().message, Catch::Contains("Another server"));
}

TEST_CASE("files that cannot be a database are refused in words") {
  TempFolder folder;
  const auto refused = [&](const std::filesystem::path& file, ErrorCode code,
                           const std::string& word) {
    const auto store = OpenSqliteStore(file);
    REQUIRE_FALSE(store);
    CHECK(store.error().code == code);
    CHECK_THAT(store.error().message, Catch::Contains(word));
  };
  SECTION("relative path") { refused("server.db", ErrorCode::kInvalidArgument, "absolute"); }
  SECTION("missing folder") {
    refused(folder.path / "no" / "server.db", ErrorCode::kUnavailable, "No such file");
  }
  SECTION("a folder") {
    std::filesystem::create_directory(FileIn(folder));
    refused(FileIn(folder), ErrorCode::kUnavailable, "Is a directory");
  }
  SECTION("a link") {
    std::filesystem::create_symlink("/etc/passwd", FileIn(folder));
    refused(FileIn(folder), ErrorCode::kUnavailable, "cannot be opened");
  }
  SECTION("readable by others") {
    { REQUIRE(OpenSqliteStore(FileIn(folder))); }
    chmod(FileIn(folder).c_str(), 0640);
    refused(FileIn(folder), ErrorCode::kPermissionDenied, "chmod 600");
  }
  SECTION("something else") {
    std::ofstream(FileIn(folder)) << std::string(9000, 'x');
    chmod(FileIn(folder).c_str(), 0600);
    refused(FileIn(folder), ErrorCode::kIo, "damaged");
  }
  SECTION("a newer server's") {
    { REQUIRE(OpenSqliteStore(FileIn(folder))); }
    Tamper(FileIn(folder), "INSERT INTO migrations (number, name) VALUES (999, 'future')");
    refused(FileIn(folder), ErrorCode::kUnsupported, "newer server");
  }
}

TEST_CASE("damage to the file is found at start") {
  TempFolder folder;
  {
    const auto store = OpenSqliteStore(FileIn(folder));
    REQUIRE(store);
    for (int i = 1; i <= 200; ++i) REQUIRE((*store)->AppendAudit(Line(i)));
  }
  // Zeroes a page that is not the first: what a lost write leaves behind.
  const auto size = std::filesystem::file_size(FileIn(folder));
  REQUIRE(size > 8 * 4096);
  int found = 0;
  const std::filesystem::path copy = folder.path / "copy.db";
  for (std::uintmax_t page = 1; page < size / 4096; ++page) {
    std::filesystem::copy_file(FileIn(folder), copy,
                               std::filesystem::copy_options::overwrite_existing);
    std::fstream file(copy, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(page * 4096));
    file << std::string(4096, '\xA5');
    file.close();
    const auto store = OpenSqliteStore(copy);
    if (!store && store.error().code == ErrorCode::kIo) ++found;
  }
  CHECK(found == static_cast<int>(size / 4096 - 1));
}

namespace {

constexpr int kNoMount = 77;

// In a process of its own, on a small volume: 0 = as promised.
int OnFullVolume(const std::filesystem::path& folder) {
  if (unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return kNoMount;
  mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
  if (mount("tmpfs", folder.c_str(), "tmpfs", 0, "size=2m,mode=700") != 0) return kNoMount;
  auto opened = OpenSqliteStore(folder / "server.db");
  if (!opened) return 1;
  Store& store = **opened;
  const std::filesystem::path filler = folder / "filler";
  {
    std::ofstream out(filler, std::ios::binary);
    while (out << std::string(4096, 'x') && out.flush()) {
    }
  }
  Result<void> written;
  std::uint64_t stored = 0;
  for (int i = 0; i < 5000 && written; ++i) {
    written = store.AppendAudit(Line(i));
    if (written) ++stored;
  }
  if (written || written.error().code != ErrorCode::kUnavailable) return 2;
  if (written.error().message.find(folder.string()) == std::string::npos) return 3;
  if (written.error().message.find("full") == std::string::npos) return 4;
  if (store.AuditHead()->number != stored) return 5;  // reading still works
  std::filesystem::remove(filler);
  if (!store.AppendAudit(Line(1))) return 6;  // and writing, once there is space
  if (VerifyAudit(store, {}).value_or(AuditReport{}).last != stored + 1) return 7;
  return 0;
}

}  // namespace

TEST_CASE("a full volume is named, loses nothing and recovers by itself") {
  TempFolder folder;
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) _exit(OnFullVolume(folder.path));
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  if (WEXITSTATUS(status) == kNoMount) {
    WARN("This machine lets the test mount nothing: not run.");
    return;
  }
  CHECK(WEXITSTATUS(status) == 0);
}
