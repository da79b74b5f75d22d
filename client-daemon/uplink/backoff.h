#pragma once

#include <algorithm>
#include <chrono>
#include <random>

namespace keyferry::daemon {

// Waiting times between tries, with full jitter: uniform in 0 … ceiling, the ceiling doubling from
// `first` to `longest`. So that thousands of workstations do not come back all at once, and one
// alone comes back quickly. Not thread-safe.
class Backoff {
 public:
  using Duration = std::chrono::milliseconds;
  explicit Backoff(Duration first = Duration(200), Duration longest = Duration(30000))
      : first_(first), longest_(longest), ceiling_(first) {}

  Duration Next() {
    const Duration ceiling = ceiling_;
    ceiling_ = std::min(longest_, ceiling_ * 2);
    return Duration(std::uniform_int_distribution<Duration::rep>(0, ceiling.count())(random_));
  }
  void Reset() { ceiling_ = first_; }

 private:
  const Duration first_;
  const Duration longest_;
  Duration ceiling_;
  std::minstd_rand random_{std::random_device{}()};
};

}  // namespace keyferry::daemon
