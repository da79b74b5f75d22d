#pragma once

#include "device/hid_port.h"

// The two guards of HidPort; for hid_port.cc and hid_link.cc only.
namespace keyferry::device {

// The right to use the key, in the order of asking.
class HidPort::Turn {
 public:
  Turn(HidPort& port, Deadline deadline)
      : port_(port),
        turn_(port.turns_, this, deadline, [&port] { return port.gone_.has_value(); }) {}

  Result<void> Check() const { return turn_.Check(port_.gone_); }

 private:
  HidPort& port_;
  const Turns::Turn turn_;
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
