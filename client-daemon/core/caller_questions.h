#pragma once

#include <chrono>
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

  // In place of the one with its number; the oldest makes room.
  void Put(const CallerEvent& event, Clock::time_point now = Clock::now());
  void Remove(const Id& request);
  // The newest one for this login (compared but for ASCII case) that is not over.
  std::optional<CallerEvent> Of(const std::string& login, Clock::time_point now = Clock::now());

 private:
  struct Waiting {
    CallerEvent event;
    Clock::time_point until;
  };
  std::mutex mutex_;
  std::vector<Waiting> waiting_;  // oldest first
};

}  // namespace keyferry::daemon
