#include "server/storage/backend_sqlite.h"

#include <fcntl.h>
#include <soci/soci.h>
#include <soci/sqlite3/soci-sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <string>
#include <utility>

#include "server/storage/file_lock.h"
#include "server/storage/sqlite_sessions.h"

namespace keyferry::server {
namespace {

// Primary result codes of SQLite (they are macros, which its namespaced header does keep).
constexpr int kPrimaryMask = 0xFF;

// Of the log: with so many a checkpoint is worth its syncs; with so many whoever commits writes it,
// because nobody else came to do it.
constexpr int kCheckpointPages = 1000;
constexpr int kMostPages = 4000;

class SqliteBackend final : public Backend {
 public:
  // Without a lock: only to read, and another process may be writing.
  SqliteBackend(std::filesystem::path file, std::optional<FileLock> lock)
      : file_(std::move(file)), lock_(std::move(lock)) {}

  std::unique_ptr<soci::session> OpenWriter() override {
    if (!lock_) return OpenReader();
    auto session = std::make_unique<soci::session>(SqliteSessions(), Parameters(""));
    soci::session& sql = *session;
    // One full check at start: damage must show here, not as a wrong answer later.
    sql << "PRAGMA cell_size_check = ON";
    sql << "PRAGMA trusted_schema = OFF";
    std::string verdict;
    sql << "PRAGMA integrity_check(1)", soci::into(verdict);
    if (verdict != "ok") throw Damaged(verdict);
    std::string mode;
    sql << "PRAGMA journal_mode = WAL", soci::into(mode);
    if (mode != "wal") throw soci::soci_error("journal_mode is " + mode);
    sql << "PRAGMA synchronous = FULL";
    sql << "PRAGMA foreign_keys = ON";
    int overwrite = 0;
    sql << "PRAGMA secure_delete = ON", soci::into(overwrite);
    CheckpointByHand(sql, kMostPages);
    return session;
  }

  std::unique_ptr<soci::session> OpenReader() override {
    auto session = std::make_unique<soci::session>(SqliteSessions(), Parameters(" readonly=true"));
    // A reader that checkpoints on close would be a second checkpointer: the corruption of
    // SQLite's WAL reset needs two.
    LeaveCheckpoints(*session);
    *session << "PRAGMA query_only = ON";
    return session;
  }

  void Begin(soci::session& writer) override { writer << "BEGIN IMMEDIATE"; }
  void Commit(soci::session& writer) override { writer << "COMMIT"; }
  bool WantsCheckpoint(soci::session& writer) const override {
    return LogPages(writer) >= kCheckpointPages;
  }
  void Checkpoint(soci::session& writer) override { WriteCheckpoint(writer); }
  bool Lost(soci::session&, const std::exception&) const override { return false; }
  std::optional<bool> Stored(soci::session&) override { return std::nullopt; }
  const char* Now() const override {
    return "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)";
  }
  const char* GrowingId() const override { return "INTEGER PRIMARY KEY AUTOINCREMENT"; }

  Error Translate(const std::exception& error, bool& fatal) const override {
    const std::string folder = file_.parent_path().string();
    if (dynamic_cast<const Damaged*>(&error) != nullptr) return DamagedFile(error.what());
    const auto* known = dynamic_cast<const soci::sqlite3_soci_error*>(&error);
    if (known == nullptr) {
      return {ErrorCode::kInternal, "The database refused a request of this server.", error.what(),
              0};
    }
    // The message without SOCI's context: that would put the values of a statement into the log.
    const std::string detail = known->get_error_message();
    switch (known->result() & kPrimaryMask) {
      case SQLITE_FULL:
        return {ErrorCode::kUnavailable,
                "The volume of " + folder + " is full: nothing was stored; free some space there.",
                detail, 0};
      case SQLITE_READONLY:
        return {ErrorCode::kUnavailable,
                "The volume of " + folder +
                    " is read-only: nothing was stored; make it writable for the server.",
                detail, 0};
      case SQLITE_BUSY:
      case SQLITE_LOCKED:
        return {ErrorCode::kUnavailable,
                "The database in " + folder + " is in use by another program; try again.", detail,
                0};
      case SQLITE_IOERR:
        fatal = true;
        return {ErrorCode::kUnavailable,
                "The disk under " + folder + " failed; check the volume, then restart the server.",
                detail, 0};
      case SQLITE_CORRUPT:
      case SQLITE_NOTADB:
        fatal = true;
        return DamagedFile(detail);
      case SQLITE_CANTOPEN:
        return {ErrorCode::kUnavailable,
                "The database " + file_.string() + " cannot be opened; check that its folder " +
                    "exists and belongs to the server's user.",
                detail, 0};
      case SQLITE_CONSTRAINT:
        return {ErrorCode::kConflict, "Something else changed the same record; look again.", detail,
                0};
      default:
        return {ErrorCode::kInternal, "The database refused a request of this server.", detail, 0};
    }
  }

 private:
  class Damaged : public std::runtime_error {
   public:
    using std::runtime_error::runtime_error;
  };

  Error DamagedFile(const std::string& detail) const {
    return {ErrorCode::kIo,
            "The database " + file_.string() +
                " is damaged; stop the server and put the last backup in its place.",
            detail, 0};
  }

  std::string Parameters(const char* more) const {
    std::string quoted;
    for (const char c : file_.string()) {
      if (c == '"') quoted += '\\';
      quoted += c;
    }
    return "db=\"" + quoted + "\" timeout=5" + more;
  }

  std::filesystem::path file_;
  std::optional<FileLock> lock_;
};

tl::unexpected<Error> Unopened(const std::filesystem::path& file, int number) {
  return Fail(ErrorCode::kUnavailable,
              "The database " + file.string() + " cannot be opened: " + std::strerror(number) + ".",
              "errno " + std::to_string(number));
}

}  // namespace

Result<std::unique_ptr<Backend>> MakeSqliteReader(const std::filesystem::path& file) {
  std::error_code ec;
  if (!std::filesystem::is_regular_file(file, ec)) {
    return Fail(ErrorCode::kNotFound, "There is no database " + file.string() + ".");
  }
  return std::make_unique<SqliteBackend>(file, std::nullopt);
}

Result<std::unique_ptr<Backend>> MakeSqliteBackend(const std::filesystem::path& file) {
  if (!file.is_absolute() || file.string().find_first_of("\"\\\n") != std::string::npos) {
    return Fail(
        ErrorCode::kInvalidArgument,
        "The database file must be an absolute path without quotes: " + file.string() + ".");
  }
  auto lock = FileLock::Take(file);
  if (!lock) return tl::unexpected(std::move(lock.error()));
  // Made, and closed again, before SQLite opens it: closing any descriptor of a database file drops
  // SQLite's own locks on it.
  const int fd = open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return Unopened(file, errno);
  struct stat facts {};
  const bool known = fstat(fd, &facts) == 0;
  const int stat_error = errno;
  close(fd);
  if (!known) return Unopened(file, stat_error);
  if (!S_ISREG(facts.st_mode)) {
    return Fail(ErrorCode::kInvalidArgument, file.string() + " is not a regular file.");
  }
  if ((facts.st_mode & 077) != 0) {
    return Fail(ErrorCode::kPermissionDenied, "The database " + file.string() +
                                                  " can be read by others; run: chmod 600 " +
                                                  file.string());
  }
  return std::make_unique<SqliteBackend>(file, *std::move(lock));
}

}  // namespace keyferry::server
