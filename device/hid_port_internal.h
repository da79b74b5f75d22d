#pragma once

#include <algorithm>

#include "device/hid_port.h"

// The two guards of HidPort; for hid_port.cc and hid_link.cc only.
namespace keyferry::device {

// The right to use the key, in the order of asking.
class HidPort::Turn {
 public:
  Turn(HidPort& port, Deadline deadline) : port_(port) {
    std::unique_lock lock(port_.mutex_);
    ticket_ = port_.next_turn_++;
    port_.turns_.push_back(ticket_);
    port_.changed_.wait_until(lock, deadline,
                              [&] { return port_.gone_ || port_.turns_.front() == ticket_; });
    mine_ = !port_.gone_ && port_.turns_.front() == ticket_;
  }

  ~Turn() {
    const std::scoped_lock lock(port_.mutex_);
    port_.turns_.erase(std::find(port_.turns_.begin(), port_.turns_.end(), ticket_));
    port_.changed_.notify_all();
  }

  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

  Result<void> Check() const {
    if (mine_) return {};
    const std::scoped_lock lock(port_.mutex_);
    if (port_.gone_) return tl::unexpected(*port_.gone_);
    return Fail(ErrorCode::kDeadline, "The security key is busy with another program.");
  }

 private:
  HidPort& port_;
  std::uint64_t ticket_ = 0;
  bool mine_ = false;
};

// Reports of `cid` are kept for us as long as this lives.
class HidPort::Listening {
 public:
  Listening(HidPort& port, std::uint32_t cid) : port_(port) {
    const std::scoped_lock lock(port_.mutex_);
    port_.listening_ = cid;
    port_.reports_.clear();
    port_.wanted_ = {};
  }
  ~Listening() {
    const std::scoped_lock lock(port_.mutex_);
    port_.listening_.reset();
    port_.reports_.clear();
    port_.changed_.notify_all();
  }
  Listening(const Listening&) = delete;
  Listening& operator=(const Listening&) = delete;

 private:
  HidPort& port_;
};

}  // namespace keyferry::device
