#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/crypto.h"
#include "protocol/result.h"
#include "protocol/secure/secure_bytes.h"
#include "server/core/records.h"

namespace keyferry::server {

// The server's signed word on the audit log: row `number` has this hash, and with it every row
// before it. Kept outside the database, it tells whether the log was cut off or written anew.
// Of kind kRestore: the database was put back from a backup that ends with row `number`;
// checkpoints of later rows that were signed before it no longer count. Of kind kCut: rows up to
// `number` were removed under the retention rule, and row number + 1 follows `hash`.
struct AuditCheckpoint {
  enum Kind : std::uint8_t { kHead = 1, kCut = 2, kRestore = 3 } kind = kHead;
  std::uint64_t number = 0;
  Hash32 hash{};
  std::int64_t time = 0;  // Unix milliseconds
  protocol::Kid kid{};    // of the audit key
  protocol::Signature signature{};

  bool operator==(const AuditCheckpoint&) const = default;
};

// Over SHA-256 of "keyferry/audit-checkpoint/v1\0" || kind(1) || number(8) || hash(32) || time(8).
bool VerifySignature(const AuditCheckpoint& checkpoint, const protocol::P256Public& audit_pub);

// One line of ASCII without its end:
//   keyferry-audit-checkpoint v1 head|cut|restore number=123 time=… hash=HEX64 key=HEX16 sig=HEX128
std::string CheckpointLine(const AuditCheckpoint& checkpoint);
// From anywhere in `text`, e.g. a line of syslog. kInvalidArgument when there is none.
Result<AuditCheckpoint> ParseCheckpoint(std::string_view text);

// The audit key: P-256, in locked memory. Immutable, so thread-safe.
class AuditSigner {
 public:
  // `key` is the private scalar, 32 bytes. kInvalidArgument when it is none.
  static Result<std::unique_ptr<AuditSigner>> Load(SecureBytes key);
  const protocol::P256Public& pub() const { return pub_; }
  Result<AuditCheckpoint> Sign(AuditCheckpoint::Kind kind, std::uint64_t number, const Hash32& hash,
                               std::int64_t time) const;

 private:
  AuditSigner(SecureBytes key, const protocol::P256Public& pub) : key_(std::move(key)), pub_(pub) {}
  SecureBytes key_;
  protocol::P256Public pub_;
};

// Where checkpoints are kept, apart from the rows. Thread-safe; blocks.
class CheckpointBook {
 public:
  virtual ~CheckpointBook() = default;
  virtual Result<void> Append(const AuditCheckpoint& checkpoint) = 0;  // durable when it returns
  // All, in the order in which they were written. kInternal names a line that is none.
  virtual Result<std::vector<AuditCheckpoint>> Read() = 0;
};

}  // namespace keyferry::server
