#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "client-daemon/core/server_port.h"

namespace keyferry::daemon {

// What the help desk asks at this workstation, in memory: a question lives minutes, and the server,
// which alone decides, sends it again to who comes back. Thread-safe.
class CallerQuestions {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::size_t kMost = 16;

  // Questions are numbered from here on; as a rule by the time, so that those of a daemon that
  // began anew are greater than its predecessor's.
  explicit CallerQuestions(std::uint64_t first = Microseconds()) : last_(first) {}

  // In place of the one with its number; the oldest makes room.
  void Put(const CallerEvent& event, Clock::time_point now = Clock::now());
  void Remove(const Id& request);
  // Those that are not over, newest first. A question that is asked anew has another number.
  std::vector<AskedCaller> All(Clock::time_point now = Clock::now());
  // The newest one for this login (compared but for ASCII case) that is not over.
  std::optional<CallerEvent> Of(const std::string& login, Clock::time_point now = Clock::now());

 private:
  struct Waiting {
    CallerEvent event;
    Clock::time_point until;
    std::uint64_t number = 0;
  };
  static std::uint64_t Microseconds();

  std::mutex mutex_;
  std::vector<Waiting> waiting_;  // oldest first
  std::uint64_t last_;            // number that was given
};

}  // namespace keyferry::daemon
