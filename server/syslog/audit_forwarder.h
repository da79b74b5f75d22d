#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "server/core/audit_checkpoint.h"
#include "server/core/audit_format.h"
#include "server/core/store.h"
#include "server/syslog/syslog_line.h"

namespace keyferry::server {

// Where the forwarder remembers how far it came. Durable; at the start 0.
class ForwardPosition {
 public:
  virtual ~ForwardPosition() = default;
  virtual Result<std::uint64_t> Read() = 0;
  virtual Result<void> Write(std::uint64_t number) = 0;
};

// Sends every row of the audit log, in order and as CEF in RFC 5424 framed by RFC 6587, and every
// checkpoint as a line of its own, to a syslog receiver: there the log's end is known even if
// database and book are cut off together. At least once: what the receiver's system has not
// acknowledged is sent again on the next connection (the row's number tells it is the same). One
// thread calls Tick; Checkpoint and forwarded() may be called from any.
class AuditForwarder {
 public:
  using LogLine = std::function<void(std::string_view)>;
  AuditForwarder(AuditStore& store, ForwardPosition& position, SyslogTarget target,
                 SyslogOrigin origin, std::string server_version, LogLine log);

  // Sends what is new; returns when it is sent or the receiver is gone.
  void Tick(std::int64_t now_millis);
  // The receiver was not there at the last Tick. The thread of Tick only.
  bool down() const { return down_; }
  // The position is to be read anew: another server has been sending meanwhile. As Tick.
  void Reload() { loaded_ = false; }
  // Rows up to this one have gone out.
  std::uint64_t forwarded() const { return forwarded_; }
  // To be sent after the row that it names. Of several the newest.
  void Announce(const AuditCheckpoint& checkpoint);

 private:
  Result<void> SendBatch(bool& more);
  Result<void> SendCheckpoint(std::int64_t now_millis);

  AuditStore& store_;
  ForwardPosition& position_;
  SyslogLine line_;
  SyslogOrigin origin_;
  std::string version_;
  LogLine log_;
  bool loaded_ = false;
  bool down_ = false;
  std::atomic<std::uint64_t> forwarded_{0};
  std::mutex mutex_;
  std::optional<AuditCheckpoint> checkpoint_;
};

}  // namespace keyferry::server
