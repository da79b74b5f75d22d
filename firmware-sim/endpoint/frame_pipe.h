#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>

#include "firmware-sim/core/hal.h"
#include "firmware-sim/faults.h"

namespace keyferry::sim {

// One direction of the wires between hosts and key: hands frames on in order, with the frame faults
// of that direction and the frame clock applied. Not thread-safe.
class FramePipe {
 public:
  using Time = std::chrono::steady_clock::time_point;
  // `bytes` are a whole frame, or fewer when it was truncated.
  using Deliver = std::function<void(protocol::ByteView bytes, const Origin& origin)>;
  using Unplug = std::function<void()>;

  // `faults` must outlive the pipe. `unplug` is called once, from Pump, after which the pipe is
  // empty.
  FramePipe(const Faults& faults, FrameFault::Direction direction, Deliver deliver, Unplug unplug);

  // `frame`: a report, or a fragment of at most kMaxFragment bytes; what is beyond is cut off.
  void Push(protocol::ByteView frame, const Origin& origin, Time now);
  // Delivers what is due.
  void Pump(Time now);
  // When Pump has to be called next; none when nothing waits.
  std::optional<Time> NextDue() const;
  void Clear();
  // The faults have changed: frames are counted from 1 again.
  void Restart();

 private:
  struct Waiting {
    protocol::Bytes<protocol::kMaxFragment> bytes{};
    std::size_t size = 0;
    Origin origin;
    Time due;
    bool unplug = false;
  };

  Time NextFrame(Time now) const;
  void Enqueue(Waiting item);

  const Faults& faults_;
  const FrameFault::Direction direction_;
  const Deliver deliver_;
  const Unplug unplug_;
  std::uint32_t frames_ = 0;
  std::uint32_t fragments_ = 0;  // those of them that went over Bluetooth
  std::chrono::milliseconds delay_{0};
  Time clock_;                        // the next free tick of the frame clock
  std::optional<Waiting> held_back_;  // a reordered frame, until the next one has passed
  std::deque<Waiting> queue_;
};

}  // namespace keyferry::sim
