#pragma once

#include <chrono>
#include <memory>

struct ldap;

namespace keyferry::server {

// Puts a hard deadline under every read and write of one libldap handle, TLS handshake included.
// libldap over GnuTLS has none there: its handshake loop spins for ever when the peer is silent.
// Works as a layer of liblber's socket stack below TLS: waits with poll, fails with ETIMEDOUT,
// sends without SIGPIPE. Not thread-safe; must live as long as the handle and at the same address.
class DeadlineIo {
 public:
  DeadlineIo();
  ~DeadlineIo();
  DeadlineIo(const DeadlineIo&) = delete;
  DeadlineIo& operator=(const DeadlineIo&) = delete;

  // Before the handle connects. False when libldap refuses.
  bool Attach(struct ldap* handle);
  // Holds for all I/O from now on.
  void Set(std::chrono::steady_clock::time_point deadline);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace keyferry::server
