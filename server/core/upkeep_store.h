#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/result.h"
#include "server/core/records.h"
#include "server/core/rotation.h"

namespace keyferry::server {

// A mail that waits to be sent, was sent, or was given up. Its text holds no secret: what does (an
// activation code) is never stored.
struct MailRecord {
  enum class State { kQueued, kSent, kFailed };
  std::uint64_t number = 0;  // set by the store
  std::string mark;          // what it is about; there is one mail of a mark
  std::string recipient;
  std::string subject;
  std::string body;
  State state = State::kQueued;
  std::uint32_t attempts = 0;
  std::int64_t created = 0;
  std::int64_t next_try = 0;
  std::int64_t sent = 0;
  std::string last_error;
};
const char* Name(MailRecord::State state);

struct MailCounts {
  std::uint64_t queued = 0;
  std::uint64_t failed = 0;  // given up since `since`
  std::int64_t oldest = 0;   // of the queued ones, 0 = none
  std::string last_error;    // of the newest one that has an error
};

// What the server does by its own clock, of which there may be several on one database. As Store.
class UpkeepStore {
 public:
  virtual ~UpkeepStore() = default;

  // A task that one server at a time does. True when `holder` has it from now on for `millis`, by
  // the database's clock: it had it before, nobody has it, or who had it let it run out.
  virtual Result<bool> TakeLease(std::string_view name, std::string_view holder,
                                 std::int64_t millis) = 0;
  virtual Result<void> EndLease(std::string_view name, std::string_view holder) = 0;
  // How far the task came, for whoever has it next; 0 at first. Written only by its holder: false
  // when the lease is another's.
  virtual Result<std::uint64_t> LeasePosition(std::string_view name) = 0;
  virtual Result<bool> SetLeasePosition(std::string_view name, std::string_view holder,
                                        std::uint64_t position) = 0;

  virtual Result<std::vector<RotationPolicy>> Policies() = 0;  // by name
  // A new one, or new values for the one with its id. kConflict: another one has the name.
  virtual Result<void> PutPolicy(const RotationPolicy& policy, const AuditEntry& audit) = 0;
  virtual Result<void> RemovePolicy(const PolicyId& id, const AuditEntry& audit) = 0;  // kNotFound

  // False, and nothing written, when there is a mail of this mark. kRateLimited when `limit` wait.
  virtual Result<bool> QueueMail(const MailRecord& mail, std::size_t limit,
                                 const AuditEntry& audit) = 0;
  // Queued ones whose next_try has come, oldest first.
  virtual Result<std::vector<MailRecord>> MailsDue(std::int64_t now, std::size_t limit) = 0;
  // State, attempts, next_try, sent and last_error; audited when `audit` is given.
  virtual Result<void> MarkMail(const MailRecord& mail, const AuditEntry* audit) = 0;
  virtual Result<MailCounts> CountMails(std::int64_t since) = 0;
  // Forgets what is over and older than `before`.
  virtual Result<void> ForgetMails(std::int64_t before) = 0;
};

}  // namespace keyferry::server
