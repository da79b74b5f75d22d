#include "server/syslog/audit_forwarder.h"

#include <utility>

namespace keyferry::server {
namespace {

constexpr std::size_t kBatch = 200;
constexpr std::chrono::seconds kDrain{5};

}  // namespace

AuditForwarder::AuditForwarder(AuditStore& store, ForwardPosition& position, SyslogTarget target,
                               SyslogOrigin origin, std::string server_version, LogLine log)
    : store_(store),
      position_(position),
      line_(std::move(target)),
      origin_(std::move(origin)),
      version_(std::move(server_version)),
      log_(std::move(log)) {}

void AuditForwarder::Announce(const AuditCheckpoint& checkpoint) {
  const std::lock_guard lock(mutex_);
  checkpoint_ = checkpoint;
}

void AuditForwarder::Tick(std::int64_t now_millis) {
  if (!loaded_) {
    const auto from = position_.Read();
    if (!from) {
      if (!std::exchange(down_, true)) log_(from.error().message);
      return;
    }
    forwarded_ = *from;
    loaded_ = true;
  }
  Result<void> sent;
  for (bool more = true; sent && more;) sent = SendBatch(more);
  if (sent) sent = SendCheckpoint(now_millis);
  if (!sent && !std::exchange(down_, true)) {
    log_(sent.error().message + " [" + sent.error().detail + "]");
  } else if (sent && std::exchange(down_, false)) {
    log_("The syslog receiver takes the audit log again.");
  }
}

Result<void> AuditForwarder::SendBatch(bool& more) {
  const auto rows = store_.AuditAfter(forwarded_, kBatch);
  if (!rows) return tl::unexpected(rows.error());
  more = rows->size() == kBatch;
  if (rows->empty()) return {};
  for (const AuditStore::Row& row : *rows) {
    const std::string message = SyslogMessage(origin_, row.entry.time, row.entry.action,
                                              row.entry.outcome == "ok", AuditAsCef(row, version_));
    if (auto sent = line_.Send(OctetCounted(message)); !sent) return sent;
  }
  if (auto drained = line_.Drain(kDrain); !drained) return drained;
  if (auto kept = position_.Write(rows->back().number); !kept) return kept;
  forwarded_ = rows->back().number;
  return {};
}

Result<void> AuditForwarder::SendCheckpoint(std::int64_t now_millis) {
  std::optional<AuditCheckpoint> due;
  {
    const std::lock_guard lock(mutex_);
    if (!checkpoint_ || checkpoint_->number > forwarded_) return {};
    due = checkpoint_;
  }
  const std::string message =
      SyslogMessage(origin_, now_millis, "audit.checkpoint", true, CheckpointLine(*due));
  if (auto sent = line_.Send(OctetCounted(message)); !sent) return sent;
  if (auto drained = line_.Drain(kDrain); !drained) return drained;
  const std::lock_guard lock(mutex_);
  if (checkpoint_ == due) checkpoint_.reset();
  return {};
}

}  // namespace keyferry::server
