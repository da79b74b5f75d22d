#pragma once

#include <array>
#include <cstdint>

namespace keyferry::sim {

inline constexpr std::uint32_t kLateMs = 1000;

// Section 8: from the eleventh event within ten seconds on, the answer is one second late.
class LateWindow {
 public:
  // Counts an event; returns the delay of its answer in milliseconds.
  std::uint32_t Count(std::uint64_t now_ms) {
    const bool late = filled_ == times_.size() && now_ms - times_[next_] < kWindowMs;
    times_[next_] = now_ms;
    next_ = (next_ + 1) % times_.size();
    if (filled_ < times_.size()) ++filled_;
    return late ? kLateMs : 0;
  }

 private:
  static constexpr std::uint64_t kWindowMs = 10'000;
  std::array<std::uint64_t, 10> times_{};  // of the last ten; next_ is the oldest
  std::size_t next_ = 0;
  std::size_t filled_ = 0;
};

}  // namespace keyferry::sim
