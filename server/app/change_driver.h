#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "server/core/event_bus.h"
#include "server/core/ids.h"

namespace keyferry::server {

// Threads that drive changes on when something moved: whenever the bus's topic "jobs" names an
// account, `proceed` is called with it a few milliseconds later, by one thread at a time for one
// account. What comes until then is one; what comes while it works makes it work once more. Ends
// when it is destroyed, after the calls under way.
class ChangeDriver {
 public:
  ChangeDriver(EventBus& bus, std::size_t threads, std::function<void(const AccountId&)> proceed);
  ~ChangeDriver();
  ChangeDriver(const ChangeDriver&) = delete;
  ChangeDriver& operator=(const ChangeDriver&) = delete;

 private:
  void Run();
  void Add(const AccountId& account);

  const std::function<void(const AccountId&)> proceed_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable calm_;  // notified by nobody but the end
  std::set<AccountId> waiting_;
  std::set<AccountId> working_;
  bool ending_ = false;
  std::vector<std::thread> threads_;
  std::unique_ptr<EventBus::Subscription> subscription_;
};

}  // namespace keyferry::server
