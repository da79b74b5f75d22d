#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "protocol/result.h"
#include "server/directory/connection.h"
#include "server/directory/ldap_config.h"
#include "server/directory/turns.h"

namespace keyferry::server {

// The kept service binds of one domain controller. Thread-safe. At most `connections` are open at a
// time; a caller waits for its turn until its deadline. The configuration outlives the pool.
class ServerPool {
 public:
  ServerPool(std::string uri, const LdapConfig& config);

  // A bound connection on loan; goes back to the pool when it is destroyed, unless it broke.
  class Lease {
   public:
    Lease(ServerPool* pool, std::unique_ptr<LdapConnection> connection, bool kept, Turn turn);
    Lease(Lease&& other) noexcept = default;
    Lease& operator=(Lease&& other) = delete;
    ~Lease();
    LdapConnection& operator*() const { return *connection_; }
    LdapConnection* operator->() const { return connection_.get(); }
    // Whether it was idle in the pool before: it may have died there unnoticed.
    bool kept() const { return kept_; }

   private:
    ServerPool* pool_;
    std::unique_ptr<LdapConnection> connection_;
    bool kept_;
    Turn turn_;
  };

  Result<Lease> Take(Deadline deadline, Turn turn);
  // Closes all idle connections: after one of them turned out dead, its brothers are too.
  void DropIdle();
  // After an answer that did not come in time: drops what is idle and rests for `silent_pause`.
  void MarkSilent(const Error& error);
  // Whether Take would fail at once because of a recent failure.
  bool Paused();

  const std::string& uri() const { return endpoint_.uri; }
  const LdapEndpoint& endpoint() const { return endpoint_; }

 private:
  Result<std::unique_ptr<LdapConnection>> OpenBound(Deadline deadline);
  void Pause(const Error& error, std::chrono::milliseconds span);
  void GiveBack(std::unique_ptr<LdapConnection> connection, Turn turn);

  const LdapEndpoint endpoint_;
  const LdapConfig& config_;
  std::mutex mutex_;
  Turns turns_;
  std::vector<std::unique_ptr<LdapConnection>> idle_;
  Deadline paused_until_{};
  std::optional<Error> pause_reason_;
};

}  // namespace keyferry::server
