#include "server/storage/sqlite_backup.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

namespace keyferry::server {
namespace {

namespace fs = std::filesystem;

constexpr int kPatience = 30'000;  // ms, for a lock of another process

tl::unexpected<Error> Trouble(const std::string& what, const std::string& why) {
  return Fail(ErrorCode::kIo, what + ": " + why + ".");
}

struct Closer {
  void operator()(sqlite3* database) const { sqlite3_close_v2(database); }
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using Connection = std::unique_ptr<sqlite3, Closer>;
using Statement = std::unique_ptr<sqlite3_stmt, Closer>;

Result<Connection> Open(const fs::path& file, int flags) {
  sqlite3* raw = nullptr;
  const int code = sqlite3_open_v2(file.c_str(), &raw, flags | SQLITE_OPEN_NOFOLLOW, nullptr);
  Connection connection(raw);
  if (code != SQLITE_OK) return Trouble("Cannot open " + file.string(), sqlite3_errstr(code));
  sqlite3_busy_timeout(raw, kPatience);
  // A reader that checkpoints on close would be a second checkpointer (sqlite_store.h).
  sqlite3_db_config(raw, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  sqlite3_db_config(raw, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(raw, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  return connection;
}

Result<Statement> Prepare(sqlite3* database, const char* sql) {
  sqlite3_stmt* raw = nullptr;
  if (sqlite3_prepare_v2(database, sql, -1, &raw, nullptr) != SQLITE_OK) {
    return Trouble("The backup could not be worked on", sqlite3_errmsg(database));
  }
  return Statement(raw);
}

Result<void> Run(sqlite3* database, const char* sql) {
  if (sqlite3_exec(database, sql, nullptr, nullptr, nullptr) != SQLITE_OK) {
    return Trouble("The backup could not be worked on", sqlite3_errmsg(database));
  }
  return {};
}

std::string Text(sqlite3_stmt* row, int column) {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(row, column));
  return text == nullptr
             ? std::string()
             : std::string(text, static_cast<std::size_t>(sqlite3_column_bytes(row, column)));
}

// Every page in one step: one read transaction, so the copy is of one moment.
Result<void> CopyPages(sqlite3* from, sqlite3* to) {
  sqlite3_backup* const copy = sqlite3_backup_init(to, "main", from, "main");
  if (copy == nullptr) return Trouble("The backup could not be begun", sqlite3_errmsg(to));
  const int stepped = sqlite3_backup_step(copy, -1);
  sqlite3_backup_finish(copy);
  if (stepped != SQLITE_DONE) {
    return Trouble("The database could not be copied", sqlite3_errstr(stepped));
  }
  return {};
}

Result<void> CheckWhole(sqlite3* database) {
  for (const char* sql : {"PRAGMA integrity_check(1)", "PRAGMA foreign_key_check"}) {
    auto check = Prepare(database, sql);
    if (!check) return tl::unexpected(std::move(check.error()));
    for (int code = sqlite3_step(check->get()); code != SQLITE_DONE;
         code = sqlite3_step(check->get())) {
      const std::string said = code == SQLITE_ROW ? Text(check->get(), 0) : sqlite3_errstr(code);
      if (said != "ok") return Trouble("The copy is damaged", said);
    }
  }
  return {};
}

Result<void> WriteMark(sqlite3* database, const BackupMark& mark) {
  if (auto made = Run(database,
                      "CREATE TABLE backup_mark (time INTEGER NOT NULL, server_version TEXT NOT "
                      "NULL, checkpoints TEXT NOT NULL)");
      !made) {
    return made;
  }
  auto insert = Prepare(database, "INSERT INTO backup_mark VALUES (?, ?, ?)");
  if (!insert) return tl::unexpected(std::move(insert.error()));
  sqlite3_stmt* const row = insert->get();
  sqlite3_bind_int64(row, 1, mark.time);
  sqlite3_bind_text(row, 2, mark.server_version.data(),
                    static_cast<int>(mark.server_version.size()), SQLITE_STATIC);
  sqlite3_bind_text(row, 3, mark.checkpoints.data(), static_cast<int>(mark.checkpoints.size()),
                    SQLITE_STATIC);
  if (sqlite3_step(row) != SQLITE_DONE) {
    return Trouble("The backup could not be marked", sqlite3_errmsg(database));
  }
  return {};
}

Result<BackupMark> TakeMark(sqlite3* database) {
  auto select = Prepare(database, "SELECT time, server_version, checkpoints FROM backup_mark");
  if (!select || sqlite3_step(select->get()) != SQLITE_ROW) {
    return Fail(ErrorCode::kInvalidArgument,
                "This file is not a backup that keyferry-server backup has made.");
  }
  BackupMark mark{sqlite3_column_int64(select->get(), 0), Text(select->get(), 1),
                  Text(select->get(), 2)};
  select->reset();
  if (auto dropped = Run(database, "DROP TABLE backup_mark"); !dropped) {
    return tl::unexpected(std::move(dropped.error()));
  }
  return mark;
}

// An empty file with mode 0600 that was not there before.
Result<void> Create(const fs::path& file) {
  const int fd = open(file.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) {
    if (errno == EEXIST) {
      return Fail(ErrorCode::kConflict, file.string() + " is there already; nothing was written.");
    }
    return Trouble("Cannot make " + file.string(), std::strerror(errno));
  }
  close(fd);
  return {};
}

Result<void> Sync(const fs::path& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const bool synced = fd >= 0 && fsync(fd) == 0;
  const int error = errno;
  if (fd >= 0) close(fd);
  if (!synced) return Trouble("Cannot write " + path.string(), std::strerror(error));
  return {};
}

// Makes `to` with `fill`; removes it when anything fails.
template <typename Fill>
Result<void> Make(const fs::path& to, const Fill& fill) {
  if (auto made = Create(to); !made) return made;
  auto done = [&]() -> Result<void> {
    auto target = Open(to, SQLITE_OPEN_READWRITE);
    if (!target) return tl::unexpected(std::move(target.error()));
    if (auto filled = fill(target->get()); !filled) return filled;
    return {};
  }();
  if (done) done = Sync(to);
  if (done) done = Sync(to.parent_path().empty() ? fs::path(".") : to.parent_path());
  if (!done) {
    std::error_code ignored;
    fs::remove(to, ignored);
  }
  return done;
}

}  // namespace

Result<void> WriteSqliteBackup(const fs::path& from, const fs::path& to, const BackupMark& mark) {
  auto source = Open(from, SQLITE_OPEN_READONLY);
  if (!source) return tl::unexpected(std::move(source.error()));
  return Make(to, [&](sqlite3* target) -> Result<void> {
    if (auto copied = CopyPages(source->get(), target); !copied) return copied;
    // The copy is of a database with a write-ahead log; this one is a single file.
    if (auto single = Run(target, "PRAGMA journal_mode = DELETE"); !single) return single;
    if (auto marked = WriteMark(target, mark); !marked) return marked;
    return CheckWhole(target);
  });
}

Result<BackupMark> StageSqliteBackup(const fs::path& from, const fs::path& to) {
  struct stat facts {};
  if (stat(from.c_str(), &facts) != 0 || !S_ISREG(facts.st_mode)) {
    return Fail(ErrorCode::kNotFound, "There is no file " + from.string() + ".");
  }
  if ((facts.st_mode & 022) != 0 || (facts.st_uid != geteuid() && facts.st_uid != 0)) {
    return Fail(ErrorCode::kPermissionDenied,
                "The backup " + from.string() +
                    " can be changed by others: it must belong to the server's user or root, "
                    "writable by nobody else.");
  }
  auto source = Open(from, SQLITE_OPEN_READONLY);
  if (!source) return tl::unexpected(std::move(source.error()));
  BackupMark mark;
  auto made = Make(to, [&](sqlite3* target) -> Result<void> {
    if (auto copied = CopyPages(source->get(), target); !copied) return copied;
    if (auto whole = CheckWhole(target); !whole) return whole;
    auto taken = TakeMark(target);
    if (!taken) return tl::unexpected(std::move(taken.error()));
    mark = *std::move(taken);
    return {};
  });
  if (!made) return tl::unexpected(std::move(made.error()));
  return mark;
}

}  // namespace keyferry::server
