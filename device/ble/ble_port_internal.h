#pragma once

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
      : port_(port),
        turn_(
            port.turns_, link, deadline,
            [&port, link, bound, this] {
              lost_ = bound && port.owner_ != link;
              return port.gone_ || lost_;
            },
            needs_channel ? [&port, link](auto since) { return port.FreeFor(link, since); }
                          : Turns::FreeAt(),
            [&port, link] {
              if (port.owner_ == link) port.owner_spoke_ = Clock::now();
            }) {}

  // The link asked for a session that another link has ended.
  bool lost() const { return lost_; }

  Result<void> Check() const { return turn_.Check(port_.gone_); }

 private:
  BlePort& port_;
  bool lost_ = false;
  const Turns::Turn turn_;
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
