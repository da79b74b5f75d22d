#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "protocol/result.h"
#include "server/directory/connection.h"
#include "server/directory/ldap_config.h"
#include "server/directory/pool.h"

namespace keyferry::server {

// One server's connection for the length of one step.
struct Session {
  LdapConnection& connection;
  const LdapEndpoint& endpoint;
  Deadline deadline;
};

// All entries of a search; the error says what to do about it.
Result<std::vector<LdapEntry>> Entries(const Session& session, const LdapSearch& search);

// Several searches of a few entries each in one wait; one result a search, in order. `meanwhile`
// runs while the server works on them.
std::vector<Result<std::vector<LdapEntry>>> EntriesTogether(
    const Session& session, const std::vector<LdapSearch>& searches,
    const std::function<void()>& meanwhile = {});

// The servers of one directory, which hold the same data: who is asked first, and who takes over.
// Thread-safe. The configuration outlives it.
class ServerGroup {
 public:
  explicit ServerGroup(const LdapConfig& config);

  Deadline NewDeadline() const { return std::chrono::steady_clock::now() + config_.timeout; }

  // Runs a step on one server. A connection that died while it was idle is replaced once, but never
  // after a write that may have been heard.
  template <typename Step>
  auto RunOn(ServerPool& pool, Deadline deadline, Turn turn, const Step& step)
      -> decltype(step(std::declval<const Session&>())) {
    while (true) {
      auto lease = pool.Take(deadline, turn);
      if (!lease) return tl::unexpected<Error>(lease.error());
      auto result = step(Session{**lease, pool.endpoint(), deadline});
      if (result || !(*lease)->broken()) return result;
      if (result.error().code == ErrorCode::kDeadline) {
        pool.MarkSilent(result.error());
        return result;
      }
      pool.DropIdle();
      if (!lease->kept() || result.error().code == ErrorCode::kOutcomeUnknown) return result;
    }
  }

  // Runs a read on the first server that answers, those with a recent failure last.
  template <typename Step>
  auto Read(Turn turn, const Step& step) -> decltype(step(std::declval<const Session&>())) {
    const Deadline deadline = NewDeadline();
    const std::vector<ServerPool*> order = Order();
    for (std::size_t i = 0;; ++i) {
      // While there is another one to ask, the first may use up only half of what is left.
      const auto now = std::chrono::steady_clock::now();
      const bool last = i + 1 == order.size();
      auto result = RunOn(*order[i], last ? deadline : now + (deadline - now) / 2, turn, step);
      if (result || last) return result;
      const ErrorCode code = result.error().code;
      if (code != ErrorCode::kUnavailable && code != ErrorCode::kDeadline) return result;
    }
  }

  // The server of a pinned change.
  Result<ServerPool*> PoolOf(const std::string& uri);
  // The first one that answers now.
  Result<ServerPool*> AnyPool();
  const std::vector<std::unique_ptr<ServerPool>>& pools() const { return pools_; }
  // From now on this one of pools() is asked first.
  void Prefer(std::size_t index);

 private:
  std::vector<ServerPool*> Order();

  const LdapConfig& config_;
  std::vector<std::unique_ptr<ServerPool>> pools_;
  std::mutex mutex_;
  std::size_t first_ = 0;
};

}  // namespace keyferry::server
