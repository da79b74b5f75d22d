#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace keyferry::server {

// One TCP connection made under a deadline, name resolution included: the resolver of the C library
// has no time limit that a caller can set, so it runs on a thread of its own, at most one a host
// name. Whoever asks for a name that is still being looked up waits for the same answer.
struct TcpConnection {
  enum class State {
    kConnected,
    kUnknownName,  // the resolver says that there is no such name
    kUnresolved,   // the resolver did not answer in time
    kRefused,      // by every address that the name has
    kSilent,       // no address answered in time
  };
  State state = State::kSilent;
  int fd = -1;         // kConnected: blocking, close-on-exec, keep-alive on; the caller's to close
  std::string detail;  // for the log, when there is no connection
};

// Tries the addresses of `host` (a name, an IPv4 or an IPv6 address) in the resolver's order.
// Thread-safe.
TcpConnection ConnectTcp(const std::string& host, std::uint16_t port,
                         std::chrono::steady_clock::time_point deadline);

}  // namespace keyferry::server
