#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/result.h"

namespace keyferry::server {

// One line of the hash-chained audit log (audit_verify.h checks it). `hash` = SHA-256 over the row
// and the previous hash.
struct AuditView {
  std::uint64_t number = 0;
  std::int64_t time = 0;  // Unix milliseconds
  std::string actor;      // login, or "system", or "workstation NAME"
  std::string action;     // e.g. "password.set", "signin", "workstation.approve"
  std::string target;     // login, device id, workstation name
  std::string outcome;    // "ok" or a code
  std::string detail;     // a sentence
  std::string address;
  std::string hash;  // hex
};

// Which rows. Empty = any. The case of ASCII letters does not count; in actor, action and target *
// stands for any characters and ? for one.
struct AuditFilter {
  std::int64_t from = 0, until = 0;  // Unix milliseconds, [from, until); 0 = open
  std::string actor, action, target;
  std::string outcome;  // "ok", "other" (everything else) or a code
  std::string ticket;   // of the help desk, whole
};
inline constexpr std::size_t kMaxAuditText = 128;  // bytes of each

// Newest first. A search reads a bounded piece of the log at a time: a page may be short, or empty,
// and still not be the last.
struct AuditPage {
  std::vector<AuditView> rows;
  std::uint64_t next = 0;  // `before` of the next page, 0 = there is none
};

// A piece of the log for other programs (audit_format.h).
enum class AuditFormat { kJsonLines, kCsv, kCef };
struct AuditExtract {
  std::string text;
  std::size_t rows = 0;
  std::uint64_t last = 0;  // number of the last row that was looked at, 0 = there is none
  bool more = false;
};

class AuditService {
 public:
  virtual ~AuditService() = default;
  // Newest first; `before` 0 = from the newest.
  virtual Result<std::vector<AuditView>> List(std::uint64_t before, std::size_t limit) = 0;
  // Those that the filter lets through.
  virtual Result<AuditPage> Search(const AuditFilter& filter, std::uint64_t before,
                                   std::size_t limit) = 0;
  // Oldest first, rows after number `after` that the filter lets through; CSV begins with its
  // heading where `after` is 0. `version`: of the server, which CEF names.
  virtual Result<AuditExtract> Export(AuditFormat format, std::uint64_t after, std::size_t limit,
                                      std::string_view version, const AuditFilter& filter) = 0;
  // Checks the chain alone, of a log from which nothing was cut; the number of its last row.
  virtual Result<std::uint64_t> Verify() = 0;
};

}  // namespace keyferry::server
