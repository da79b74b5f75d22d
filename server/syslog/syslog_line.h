#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "protocol/result.h"

namespace keyferry::server {

struct SyslogTarget {
  std::string host;  // name or IP address
  std::uint16_t port = 6514;
  bool tls = true;
  std::string ca_pem;  // with TLS: who may vouch for the receiver
};

// One connection to a syslog receiver: TCP, or TLS 1.2 and later with the receiver's certificate
// checked for `host` (RFC 5425). Blocking under deadlines; not thread-safe. Messages are framed by
// the caller.
class SyslogLine {
 public:
  explicit SyslogLine(SyslogTarget target);
  ~SyslogLine();
  SyslogLine(const SyslogLine&) = delete;
  SyslogLine& operator=(const SyslogLine&) = delete;

  // Connects when there is no connection. kUnavailable, kDeadline, or kPermissionDenied (the
  // receiver's certificate is not good): the connection is gone then.
  Result<void> Send(std::string_view framed);
  // Waits until the receiver's system has acknowledged all that was sent. Syslog itself knows no
  // acknowledgement; this is as far as a sender can see.
  Result<void> Drain(std::chrono::milliseconds patience);
  void Close();

 private:
  Result<void> Connect();
  Result<void> Handshake();
  // Refuses a connection that the other side has closed: what is written to it would be lost.
  Result<void> CheckAlive();

  struct Tls;
  SyslogTarget target_;
  std::unique_ptr<Tls> tls_;
  int fd_ = -1;
};

}  // namespace keyferry::server
