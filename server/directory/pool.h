#pragma once

#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "protocol/result.h"
#include "server/directory/connection.h"
#include "server/directory/ldap_config.h"

namespace keyferry::server {

// What a connection is wanted for. Changes leave half of the connections, one at least, to the
// pages: however many of them run, nobody who looks something up waits for one, and the controller,
// which makes its writes one after the other, has few of them at a time to share itself between. A
// change that has been checked goes before one that has not.
enum class Turn {
  kPage,    // somebody looks something up, or signs in
  kChange,  // a change's reads
  kWrite,   // its write
};

// The kept service binds of one domain controller. Thread-safe. At most `connections` are open at a
// time; a caller waits for a free one until its deadline. The configuration outlives the pool.
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
  // Whether it is this one's turn; holds mutex_.
  bool MayTake(Turn turn) const;
  // Of changes that gave up or gave back; holds mutex_.
  void Leave(Turn turn);

  const LdapEndpoint endpoint_;
  const LdapConfig& config_;
  std::mutex mutex_;
  std::condition_variable freed_;
  std::vector<std::unique_ptr<LdapConnection>> idle_;
  std::size_t open_ = 0;      // idle and on loan
  std::size_t changing_ = 0;  // on loan to changes
  std::size_t waiting_writes_ = 0;
  Deadline paused_until_{};
  std::optional<Error> pause_reason_;
};

}  // namespace keyferry::server
