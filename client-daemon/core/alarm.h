#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>

#include "client-daemon/core/server_port.h"
#include "protocol/result.h"

namespace keyferry::daemon {

inline constexpr const char* kAlarmSentence =
    "The organisation has raised the alarm: security keys are not used until it has ended. Log in "
    "with your password, or ask the help desk.";

// Whether the organisation's alarm stands, as far as this workstation was told, on disk so that it
// outlives restarts: without the server the last word counts. While it stands no job goes to a key
// and no local program talks to one. A file that cannot be read stands for the alarm. Thread-safe.
class Alarm {
 public:
  explicit Alarm(std::string path);

  bool Stands() const { return stands_; }
  std::int64_t Since() const;  // Unix seconds, 0 = not known, or none stands
  // A new connection: whatever the server says next counts.
  void Begin();
  // Later on one that was overtaken on its way is left out. The error says that the disk did not
  // keep it; it counts all the same.
  Result<void> Take(const AlarmEvent& event);

 private:
  const std::string path_;
  std::atomic<bool> stands_{false};
  mutable std::mutex mutex_;  // all below
  std::int64_t since_ = 0;
  std::optional<std::uint64_t> number_;
};

}  // namespace keyferry::daemon
