#pragma once

#include <algorithm>
#include <chrono>

#include "device/ble/ble_port.h"

// The guards of BlePort; for ble_port.cc and ble_link.cc only.
namespace keyferry::device {

inline constexpr std::chrono::milliseconds kBusyPause{20};

// The right to use the key, in the order of asking; who needs the channel is passed by those who do
// not, as long as its owner may keep it.
class BlePort::Turn {
 public:
  // `bound`: of no use to a link that is not, or is no longer, the owner.
  Turn(BlePort& port, const BleLink* link, bool needs_channel, bool bound, Deadline deadline)
      : port_(port), waiter_{link, needs_channel, Clock::now()} {
    std::unique_lock lock(port_.mutex_);
    port_.waiters_.push_back(&waiter_);
    while (true) {
      const auto now = Clock::now();
      lost_ = bound && port_.owner_ != link;
      if (port_.gone_ || lost_) break;
      if (port_.MayGo(waiter_, now)) {
        mine_ = true;
        port_.busy_ = true;
        port_.running_ = link;
        break;
      }
      if (now >= deadline) break;
      const auto free = needs_channel ? port_.FreeFor(waiter_) : deadline;
      port_.changed_.wait_until(lock, free > now ? std::min(free, deadline) : deadline);
    }
    std::erase(port_.waiters_, &waiter_);
    port_.changed_.notify_all();  // the next in line may go now
  }

  ~Turn() {
    if (!mine_) return;
    const std::scoped_lock lock(port_.mutex_);
    port_.busy_ = false;
    port_.running_ = nullptr;
    if (port_.owner_ == waiter_.link) port_.owner_spoke_ = Clock::now();
    port_.changed_.notify_all();
  }

  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

  // The link asked for a session that another link has ended.
  bool lost() const { return lost_; }

  Result<void> Check() const {
    if (mine_) return {};
    const std::scoped_lock lock(port_.mutex_);
    if (port_.gone_) return tl::unexpected(*port_.gone_);
    return Fail(ErrorCode::kDeadline, "The security key is busy with another program.");
  }

 private:
  BlePort& port_;
  const Waiter waiter_;
  bool mine_ = false;
  bool lost_ = false;
};

// Fragments are kept for us as long as this lives.
class BlePort::Listening {
 public:
  explicit Listening(BlePort& port) : port_(port) {
    const std::scoped_lock lock(port_.mutex_);
    port_.listening_ = true;
    port_.fragments_.clear();
  }
  ~Listening() {
    const std::scoped_lock lock(port_.mutex_);
    port_.listening_ = false;
    port_.fragments_.clear();
    port_.changed_.notify_all();
  }
  Listening(const Listening&) = delete;
  Listening& operator=(const Listening&) = delete;

 private:
  BlePort& port_;
};

}  // namespace keyferry::device
