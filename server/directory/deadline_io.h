#pragma once

#include <chrono>

struct sockbuf;

namespace keyferry::server {

// Puts a hard deadline under every read and write of one libldap handle, TLS handshake included.
// libldap over GnuTLS has none there: its handshake loop spins for ever when the peer is silent.
// Works as a layer of liblber's socket stack below TLS: waits with poll, fails with ETIMEDOUT,
// sends without SIGPIPE. Not thread-safe; must live as long as the stack and at the same address.
class DeadlineIo {
 public:
  DeadlineIo() = default;
  DeadlineIo(const DeadlineIo&) = delete;
  DeadlineIo& operator=(const DeadlineIo&) = delete;

  // After TCP, before TLS. False when liblber refuses.
  bool Attach(struct sockbuf* stack);
  // Holds for all I/O from now on.
  void Set(std::chrono::steady_clock::time_point deadline) { deadline_ = deadline; }

 private:
  std::chrono::steady_clock::time_point deadline_{};
};

}  // namespace keyferry::server
