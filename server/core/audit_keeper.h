#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>

#include "server/core/audit_checkpoint.h"
#include "server/core/clock.h"
#include "server/core/store.h"

namespace keyferry::server {

struct AuditPolicy {
  std::uint64_t checkpoint_rows = 100;    // a checkpoint at the latest after so many rows …
  std::int64_t checkpoint_seconds = 600;  // … and so long after a row
  std::int64_t retention_days = 0;        // older rows are removed; 0 = never
};

// Signs checkpoints when they are due and removes what is older than the retention rule allows.
// Never signs what does not follow from its last checkpoint: that is told to the log instead, again
// and again. Not thread-safe: one thread calls it.
class AuditKeeper {
 public:
  using LogLine = std::function<void(std::string_view)>;
  // Rows up to the one it names have gone to everybody who is to have them; nothing: there is
  // nobody. Only such rows are removed.
  using Forwarded = std::function<std::uint64_t()>;

  // All outlives it.
  AuditKeeper(AuditStore& store, const Clock& clock, const AuditSigner& signer,
              CheckpointBook& book, AuditPolicy policy, LogLine log, Forwarded forwarded = {});

  // Once a second or so; costs one read when nothing is due.
  void Tick();
  // Removes what is older than the rule allows, now. The newest entry that was removed; nothing
  // when no checkpoint is old enough, or who is to have the rows has not got them.
  Result<std::optional<std::uint64_t>> Cut();
  // At the server's end: a checkpoint of what is there.
  void Finish();

 private:
  bool Load();
  void Checkpoint(const AuditStore::Head& head);
  bool Follows(const AuditStore::Head& head);
  void Complain(std::string_view what);

  AuditStore& store_;
  const Clock& clock_;
  const AuditSigner& signer_;
  CheckpointBook& book_;
  AuditPolicy policy_;
  LogLine log_;
  Forwarded forwarded_;

  bool loaded_ = false;
  std::uint64_t number_ = 0;  // of the last checkpoint
  Hash32 hash_{};
  std::int64_t due_ = 0;  // Unix ms: when the rows after it must be signed; 0 = there are none
  std::int64_t next_retain_ = 0;  // Unix ms
  std::int64_t next_complaint_ = 0;
};

}  // namespace keyferry::server
