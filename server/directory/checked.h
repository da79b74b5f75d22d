#pragma once

#include <chrono>
#include <map>
#include <mutex>
#include <string>
#include <tuple>

#include "server/core/ids.h"

namespace keyferry::server {

// Accounts that were found fit to be changed a moment ago, so that the write that follows need not
// ask again. Each finding is good for one write, to the same account for the same actor on the same
// server. Thread-safe.
class Checked {
 public:
  using Time = std::chrono::steady_clock::time_point;

  explicit Checked(std::chrono::milliseconds life) : life_(life) {}

  void Note(const std::string& server, const AccountId& account, const AccountId& actor, Time read);
  // It was found unfit since.
  void Forget(const std::string& server, const AccountId& account, const AccountId& actor);
  // Whether that was noted, and read within the life of a finding; forgets it.
  bool Take(const std::string& server, const AccountId& account, const AccountId& actor, Time now);

 private:
  const std::chrono::milliseconds life_;
  std::mutex mutex_;
  std::map<std::tuple<std::string, AccountId, AccountId>, Time> findings_;
};

}  // namespace keyferry::server
