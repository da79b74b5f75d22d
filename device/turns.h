#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <vector>

#include "device/transport.h"
#include "protocol/result.h"

namespace keyferry::device {

// The right to use a key: one user at a time, in the order of asking. Who may not go yet is passed
// by those behind who may. Part of a port, under the port's mutex; the port notifies `changed` when
// something happens that the functions below look at.
class Turns {
 public:
  // Since when, as far as the port is concerned, somebody who has waited from `since` on may go:
  // Clock::time_point::max() while that cannot be told. None: always.
  using FreeAt = std::function<Clock::time_point(Clock::time_point since)>;

  Turns(std::mutex& mutex, std::condition_variable& changed) : mutex_(mutex), changed_(changed) {}

  class Turn;

  // Both with the mutex. `who` is what a Turn was asked for with.
  bool Runs(const void* who) const { return busy_ && running_ == who; }
  bool Waits(const void* who) const;

 private:
  struct Waiter {
    const void* who;
    FreeAt free_at;
    Clock::time_point since;
    Clock::time_point FreeSince() const {
      return free_at ? free_at(since) : Clock::time_point::min();
    }
  };

  bool MayGo(const Waiter& waiter, Clock::time_point now) const;

  std::mutex& mutex_;
  std::condition_variable& changed_;
  std::vector<const Waiter*> waiters_;  // in the order of asking
  bool busy_ = false;
  const void* running_ = nullptr;
};

// One use of the key. Asking, in the constructor, waits until it is granted, `stop` holds or the
// deadline has passed; the use ends with the object. The functions are called with the mutex.
class Turns::Turn {
 public:
  Turn(Turns& turns, const void* who, Deadline deadline, const std::function<bool()>& stop,
       FreeAt free_at = {}, std::function<void()> on_end = {});
  ~Turn();
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

  // The turn is ours; else why not: `gone`, the port's reason not to exist any more, or that others
  // have the key.
  Result<void> Check(const std::optional<Error>& gone) const;

 private:
  Turns& turns_;
  const std::function<void()> on_end_;
  bool mine_ = false;
};

}  // namespace keyferry::device
