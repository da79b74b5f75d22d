#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "protocol/result.h"
#include "server/app/config.h"
#include "server/app/log.h"
#include "server/core/clock.h"
#include "server/core/store.h"

namespace keyferry::server {

// What is done with the audit log while the server runs: checkpoints and retention, and sending it
// to syslog where that is configured. Threads of its own from the start to its destruction, which
// writes a last checkpoint.
class AuditKeeping {
 public:
  // `store`, `clock` and `log` outlive it.
  static Result<std::unique_ptr<AuditKeeping>> Start(const ServerConfig& config, Store& store,
                                                     const Clock& clock, Log& log);
  virtual ~AuditKeeping() = default;
};

// keyferry-server audit verify: what it found, in words; the error says what is wrong with the log.
// `more`: files with further checkpoints, e.g. the archive of a syslog receiver.
Result<std::string> VerifyAuditLog(const ServerConfig& config,
                                   const std::vector<std::filesystem::path>& more);
// The same on a database that is open already.
Result<std::string> VerifyAuditLog(const ServerConfig& config, Store& store,
                                   const std::vector<std::filesystem::path>& more);

// keyferry-server audit cut: removes what is older than `days` under a signed cut, as the retention
// rule does; in words what was done. No server may be running.
Result<std::string> CutAuditLog(const ServerConfig& config, int days);

// keyferry-server audit export: entries `from` … `to` (0 = the newest) as "jsonl", "csv" or "cef"
// to `file` (new, mode 0600), or to standard output when it is empty. The number of entries.
struct AuditExport {
  std::string format = "jsonl";
  std::uint64_t from = 1;
  std::uint64_t to = 0;
  std::filesystem::path file;
};
Result<std::uint64_t> ExportAuditLog(const ServerConfig& config, const AuditExport& wanted);

}  // namespace keyferry::server
