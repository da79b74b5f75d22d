#pragma once

#include <algorithm>
#include <chrono>

namespace keyferry::daemon::login {

// How long an attempt may still take, typing and touch apart. Everything that waits for the daemon
// or the key waits within it and takes its time from it. Not thread-safe: one attempt, one thread.
class Budget {
 public:
  using Clock = std::chrono::steady_clock;
  using Millis = std::chrono::milliseconds;

  explicit Budget(Millis left) : left_(left) {}
  Millis left() const { return left_; }
  void Spend(Clock::duration used) {
    left_ -= std::min(left_, std::chrono::duration_cast<Millis>(std::max(used, Clock::duration{})));
  }

 private:
  Millis left_;
};

}  // namespace keyferry::daemon::login
