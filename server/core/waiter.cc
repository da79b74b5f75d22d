#include "server/core/waiter.h"

#include <thread>

namespace keyferry::server {
namespace {

class ThreadWaiter final : public Waiter {
 public:
  void Until(std::chrono::steady_clock::time_point moment) override {
    std::this_thread::sleep_until(moment);
  }
};

}  // namespace

std::unique_ptr<Waiter> MakeThreadWaiter() { return std::make_unique<ThreadWaiter>(); }

}  // namespace keyferry::server
