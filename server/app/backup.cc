#include "server/app/backup.h"

#include <sys/stat.h>

#include <algorithm>
#include <ctime>
#include <optional>
#include <sstream>
#include <utility>
#include <vector>

#include "server/app/checkpoint_file.h"
#include "server/app/files.h"
#include "server/app/open.h"
#include "server/app/state.h"
#include "server/core/after_restore.h"
#include "server/core/audit_entry.h"
#include "server/core/audit_verify.h"
#include "server/core/clock.h"
#include "server/storage/file_lock.h"
#include "server/storage/sqlite_backup.h"
#include "server/storage/sqlite_store.h"

#ifndef KEYFERRY_VERSION
#error "KEYFERRY_VERSION comes from CMake"
#endif

namespace keyferry::server {
namespace {

namespace fs = std::filesystem;

constexpr const char* kNotInIt =
    "Not in it: the keys and certificates in the state folder (root.key, issuer.key, ca.key, "
    "server.key, audit.key and what belongs to them) and the files that the configuration names. "
    "Keep "
    "one copy of those in a safe place of its own; they do not change from day to day.";

std::string When(std::int64_t millis) {
  const std::time_t seconds = millis / 1000;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[32];
  return std::string(text, std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &parts));
}

std::string Stamp(std::int64_t millis) {
  const std::time_t seconds = millis / 1000;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[32];
  return std::string(text, std::strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", &parts));
}

Result<std::string> Lines(CheckpointBook& book) {
  const auto known = book.Read();
  if (!known) return tl::unexpected(known.error());
  std::string text;
  for (const AuditCheckpoint& checkpoint : *known) text += CheckpointLine(checkpoint) + "\n";
  return text;
}

std::vector<AuditCheckpoint> Parsed(const std::string& lines) {
  std::vector<AuditCheckpoint> out;
  std::istringstream in(lines);
  for (std::string line; std::getline(in, line);) {
    if (auto checkpoint = ParseCheckpoint(line)) out.push_back(*std::move(checkpoint));
  }
  return out;
}

// Puts what the backup's book knows and this one does not in front of what comes next.
Result<void> Complete(CheckpointBook& book, const std::string& lines) {
  const auto known = book.Read();
  if (!known) return tl::unexpected(known.error());
  if (!known->empty()) return {};  // it was kept; it knows more than the backup's
  for (const AuditCheckpoint& checkpoint : Parsed(lines)) {
    if (auto kept = book.Append(checkpoint); !kept) return kept;
  }
  return {};
}

// A file that goes away with the object, with what SQLite may have put beside it.
struct Staging {
  explicit Staging(fs::path path) : file(std::move(path)) {}
  ~Staging() {
    std::error_code ignored;
    for (const char* more : {"", "-wal", "-shm", "-journal", ".lock"}) {
      fs::remove(file.string() + more, ignored);
    }
  }
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;
  fs::path file;
};

// Marks the open database as restored. `lines`: the book of checkpoints in the backup, if any.
Result<std::string> Mark(const ServerConfig& config, Store& store, std::int64_t backup_time,
                         const std::string& lines) {
  const auto root = store.Root();
  if (!root) return tl::unexpected(root.error());
  const auto own = ReadTextFile(StateFiles(config.state_dir).root_pub, Sharing::kOthersMayRead);
  if (!own) return tl::unexpected(own.error());
  if (!*root || **root != Bytes(own->begin(), own->end())) {
    return Fail(ErrorCode::kConflict,
                "This is the database of another Keyferry: its keys trust another root than the "
                "root.pub in " +
                    config.state_dir.string() + ".");
  }
  auto signer = LoadAuditSigner(config);
  if (!signer) return tl::unexpected(signer.error());
  const protocol::P256Public& pub = (*signer)->pub();
  if (auto bound = store.BindAuditKey(Bytes(pub.begin(), pub.end())); !bound) {
    return tl::unexpected(std::move(bound.error()));
  }
  const auto book = MakeCheckpointFile(StateFiles(config.state_dir).checkpoints);
  if (auto done = Complete(*book, lines); !done) return tl::unexpected(std::move(done.error()));
  const auto restores = store.Restores();
  if (!restores) return tl::unexpected(restores.error());
  if (auto done = AdoptRestores(store, *book, *restores, pub); !done) {
    return tl::unexpected(std::move(done.error()));
  }

  const auto head = store.AuditHead();
  if (!head) return tl::unexpected(head.error());
  const SystemClock clock;
  const std::int64_t now = clock.UnixMillis();
  if (backup_time == 0) {  // unknown: its last entry is the newest thing that it can know
    const auto last = store.AuditBefore(0, 1);
    if (!last) return tl::unexpected(last.error());
    if (!last->empty()) backup_time = last->front().entry.time;
  }
  auto mark = (*signer)->Sign(AuditCheckpoint::kRestore, head->number, head->hash, now);
  if (!mark) return tl::unexpected(std::move(mark.error()));
  auto known = book->Read();
  if (!known) return tl::unexpected(known.error());
  known->push_back(*mark);
  const auto whole = VerifyAudit(store, {pub, *known});
  if (!whole) {
    Error error = whole.error();
    error.message += " Nothing was restored.";
    return tl::unexpected(std::move(error));
  }
  std::uint64_t lost_until = 0;
  for (const AuditCheckpoint& checkpoint : *known) {
    lost_until = std::max(lost_until, checkpoint.number);
  }
  std::string detail = "The database was put back from a backup of " + When(backup_time) +
                       ", which ends with entry " + std::to_string(head->number) + ". ";
  if (lost_until > head->number) {
    detail += "Entries up to at least " + std::to_string(lost_until) + " were lost with it. ";
  }
  detail +=
      "Undelivered jobs were given up; every key is asked how it stands. " + CheckpointLine(*mark);
  if (auto marked = store.BeginAnew({now, backup_time, head->number}, kRestoredReason,
                                    AuditBySystem(clock, "server.restore", "", "ok", detail));
      !marked) {
    return tl::unexpected(std::move(marked.error()));
  }
  return "Restored: the backup is of " + When(backup_time) + " and ends with entry " +
         std::to_string(head->number) + " of the audit log" +
         (lost_until > head->number
              ? "; entries up to at least " + std::to_string(lost_until) + " are lost"
              : "") +
         ".";
}

// After the database is in its place: the book follows. A server that starts does the same, should
// this process die in between.
Result<void> Follow(const ServerConfig& config, Store& store) {
  const auto pub = LoadAuditPub(config);
  if (!pub) return tl::unexpected(pub.error());
  const auto restores = store.Restores();
  if (!restores) return tl::unexpected(restores.error());
  const auto book = MakeCheckpointFile(StateFiles(config.state_dir).checkpoints);
  if (auto adopted = AdoptRestores(store, *book, *restores, *pub); !adopted) return adopted;
  // Syslog goes on where the backup ends: its rows have new numbers from here.
  const StateFiles files(config.state_dir);
  std::error_code ec;
  if (!restores->empty() && fs::exists(files.forwarded, ec)) {
    return ReplaceFile(files.forwarded, std::to_string(restores->front().audit_number) + "\n",
                       0600);
  }
  return {};
}

Result<void> Move(const fs::path& from, const fs::path& to) {
  std::error_code ec;
  fs::rename(from, to, ec);
  if (ec) {
    return Fail(ErrorCode::kIo,
                "Cannot move " + from.string() + " to " + to.string() + ": " + ec.message() + ".");
  }
  return {};
}

constexpr const char* kNext =
    "\nBefore you start the server: a key that was reported lost, and a workstation that was "
    "revoked, after the backup was made are good again in it. Look through the log or the syslog "
    "archive for key.compromise, key.deactivate and workstation.revoke, and repeat them at once.\n"
    "Each key is asked how it stands when a workstation sees it; until then nothing is set for its "
    "owner. The audit log (restore.checked) and the employees' pages say who needs a new password.";

Result<std::string> RestoreSqlite(const ServerConfig& config, const fs::path& from) {
  const StateFiles files(config.state_dir);
  const auto lock = FileLock::Take(files.database);
  if (!lock) return tl::unexpected(lock.error());
  const std::int64_t now = SystemClock().UnixMillis();
  const Staging staging(files.database.string() + ".restoring");
  { const Staging leftover(staging.file); }  // of a restore that died
  auto mark = StageSqliteBackup(from, staging.file);
  if (!mark) return tl::unexpected(std::move(mark.error()));
  std::string words;
  {
    const auto store = OpenSqliteStore(staging.file);
    if (!store) return tl::unexpected(store.error());
    auto marked = Mark(config, **store, mark->time, mark->checkpoints);
    if (!marked) return marked;
    words = *std::move(marked);
  }
  std::error_code ec;
  if (fs::exists(staging.file.string() + "-wal", ec)) {
    return Fail(ErrorCode::kIo,
                "The restored database could not be finished; nothing was changed.");
  }
  // Closed, it is one file. What was there is kept, with its log, under a name of its own.
  const std::string kept = files.database.string() + ".replaced-" + Stamp(now);
  for (const char* more : {"-wal", "-shm", ""}) {
    if (!fs::exists(files.database.string() + more, ec)) continue;
    if (auto moved = Move(files.database.string() + more, kept + more); !moved) {
      return tl::unexpected(std::move(moved.error()));
    }
    words += *more == '\0' ? "\nThe database that was there is " + kept + "." : "";
  }
  if (auto moved = Move(staging.file, files.database); !moved) {
    return tl::unexpected(std::move(moved.error()));
  }
  if (auto synced = SyncFolder(config.state_dir); !synced) {
    return tl::unexpected(std::move(synced.error()));
  }
  const auto store = ReadSqliteStore(files.database);
  if (!store) return tl::unexpected(store.error());
  if (auto followed = Follow(config, **store); !followed) {
    return tl::unexpected(std::move(followed.error()));
  }
  return words + kNext;
}

}  // namespace

Result<std::string> BackUp(const ServerConfig& config, const fs::path& to) {
  if (config.postgres) {
    return Fail(ErrorCode::kUnsupported,
                "This server's database is PostgreSQL: back it up with its own tool, e.g. pg_dump "
                "--format=custom --file=" +
                    to.string() +
                    " DATABASE, and after pg_restore run keyferry-server restore --in-place.");
  }
  if (auto done = CheckPrivateFolder(config.state_dir); !done) return tl::unexpected(done.error());
  const StateFiles files(config.state_dir);
  const auto book = MakeCheckpointFile(files.checkpoints);
  const fs::path target = fs::absolute(to);
  BackupMark mark{SystemClock().UnixMillis(), KEYFERRY_VERSION, {}};
  auto lines = Lines(*book);
  if (!lines) return tl::unexpected(std::move(lines.error()));
  mark.checkpoints = *std::move(lines);
  if (auto written = WriteSqliteBackup(files.database, target, mark); !written) {
    return tl::unexpected(std::move(written.error()));
  }
  // The book was read first: the copy holds every row that it vouches for.
  const auto verified = [&]() -> Result<AuditReport> {
    const auto pub = LoadAuditPub(config);
    if (!pub) return tl::unexpected(pub.error());
    const auto copy = ReadSqliteStore(target);
    if (!copy) return tl::unexpected(copy.error());
    return VerifyAudit(**copy, {*pub, Parsed(mark.checkpoints)});
  }();
  if (!verified) {
    std::error_code ignored;
    fs::remove(target, ignored);
    return tl::unexpected(verified.error());
  }
  return "Backed up to " + target.string() + " and verified: the audit log until entry " +
         std::to_string(verified->last) + ".\n" + kNotInIt;
}

Result<std::string> Restore(const ServerConfig& config, const fs::path& from) {
  if (auto done = CheckPrivateFolder(config.state_dir); !done) return tl::unexpected(done.error());
  if (!from.empty()) {
    if (config.postgres) {
      return Fail(ErrorCode::kUnsupported,
                  "This server's database is PostgreSQL: put the backup back with pg_restore, then "
                  "run keyferry-server restore --in-place.");
    }
    return RestoreSqlite(config, fs::absolute(from));
  }
  const auto store = OpenStore(config);
  if (!store) return tl::unexpected(store.error());
  auto words = Mark(config, **store, 0, {});
  if (!words) return words;
  if (auto followed = Follow(config, **store); !followed) {
    return tl::unexpected(std::move(followed.error()));
  }
  return *words + kNext;
}

Result<void> CheckAuditKept(const ServerConfig& config, Store& store) {
  const auto signer = LoadAuditSigner(config);
  if (!signer) return tl::unexpected(signer.error());
  const protocol::P256Public& pub = (*signer)->pub();
  if (auto bound = store.BindAuditKey(Bytes(pub.begin(), pub.end())); !bound) return bound;
  const auto restores = store.Restores();
  if (!restores) return tl::unexpected(restores.error());
  const auto book = MakeCheckpointFile(StateFiles(config.state_dir).checkpoints);
  if (auto adopted = AdoptRestores(store, *book, *restores, pub); !adopted) return adopted;
  return CheckNotOlder(store, *book);
}

}  // namespace keyferry::server
