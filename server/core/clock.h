#pragma once

#include <chrono>
#include <cstdint>

namespace keyferry::server {

inline constexpr std::int64_t kDaySeconds = 24 * 3600;
// What clocks may differ by: certificates are good from that long before they were made.
inline constexpr std::int64_t kClockSlackSeconds = 300;

// Time as a port, so that tests move it by hand. Wall time is for people and certificates;
// everything that measures or waits uses monotonic time.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual std::int64_t UnixMillis() const = 0;
  virtual std::chrono::steady_clock::time_point Now() const = 0;
  std::int64_t UnixSeconds() const { return UnixMillis() / 1000; }
};

class SystemClock final : public Clock {
 public:
  std::int64_t UnixMillis() const override {
    return std::chrono::duration_cast<std::chrono::milliseconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
  }
  std::chrono::steady_clock::time_point Now() const override {
    return std::chrono::steady_clock::now();
  }
};

}  // namespace keyferry::server
