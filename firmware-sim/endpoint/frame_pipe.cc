#include "firmware-sim/endpoint/frame_pipe.h"

#include <algorithm>
#include <utility>

#include "protocol/failpoint.h"

namespace keyferry::sim {

FramePipe::FramePipe(const Faults& faults, FrameFault::Direction direction, Deliver deliver,
                     Unplug unplug)
    : faults_(faults),
      direction_(direction),
      deliver_(std::move(deliver)),
      unplug_(std::move(unplug)) {}

void FramePipe::Push(protocol::ByteView frame, const Origin& origin, Time now) {
  ++frames_;
  if (direction_ == FrameFault::Direction::kOut && faults_.never_answer_from != 0 &&
      frames_ >= faults_.never_answer_from) {
    return;
  }
  if (origin.transport == protocol::Transport::kBle && ++fragments_ == faults_.drop_notify &&
      direction_ == FrameFault::Direction::kOut) {
    return;
  }
  Waiting item;
  item.size = std::min(frame.size(), item.bytes.size());
  std::copy_n(frame.begin(), item.size, item.bytes.begin());
  item.origin = origin;
  bool twice = false;
  bool later = false;
  for (const FrameFault& fault : faults_.frames) {
    if (fault.direction != direction_ || fault.frame != frames_) continue;
    switch (fault.kind) {
      case FrameFault::Kind::kDrop:
        return;
      case FrameFault::Kind::kDuplicate:
        twice = true;
        break;
      case FrameFault::Kind::kReorder:
        later = true;
        break;
      case FrameFault::Kind::kDelay:
        delay_ += std::chrono::milliseconds(fault.value);
        break;
      case FrameFault::Kind::kTruncate:
        item.size = std::min<std::size_t>(item.size, fault.value);
        break;
      case FrameFault::Kind::kCorrupt: {
        if (item.size == 0) break;
        std::uint8_t& byte = item.bytes[fault.value % item.size];
        byte = static_cast<std::uint8_t>(byte ^ 0x01);
        break;
      }
      case FrameFault::Kind::kUnplug:
        item.unplug = true;
        break;
    }
  }
  clock_ = NextFrame(now);
  item.due = clock_ + delay_;
  if (later) {
    held_back_ = item;
    return;
  }
  Enqueue(item);
  if (twice) Enqueue(item);
  if (held_back_) {
    held_back_->due = item.due;
    Enqueue(*std::exchange(held_back_, std::nullopt));
  }
}

// The next frame of the bus that carries nothing in this direction yet. Both directions share the
// frames' beginnings, as on USB.
FramePipe::Time FramePipe::NextFrame(Time now) const {
  const std::chrono::microseconds frame(faults_.frame_clock_us);
  if (frame.count() == 0) return now;
  const Time begins = now + frame - now.time_since_epoch() % frame;
  return std::max(clock_ + frame, begins);
}

void FramePipe::Enqueue(Waiting item) { queue_.push_back(std::move(item)); }

void FramePipe::Pump(Time now) {
  while (!queue_.empty() && queue_.front().due <= now) {
    const Waiting item = std::move(queue_.front());
    queue_.pop_front();
    if (item.unplug) {
      Clear();
      return unplug_();
    }
    if (direction_ == FrameFault::Direction::kIn) KEYFERRY_FAILPOINT("key.report.in");
    if (direction_ == FrameFault::Direction::kOut) KEYFERRY_FAILPOINT("key.report.out");
    deliver_({item.bytes.data(), item.size}, item.origin);
  }
}

std::optional<FramePipe::Time> FramePipe::NextDue() const {
  if (queue_.empty()) return std::nullopt;
  return queue_.front().due;
}

void FramePipe::Clear() {
  queue_.clear();
  held_back_.reset();
}

void FramePipe::Restart() {
  frames_ = fragments_ = 0;
  delay_ = std::chrono::milliseconds(0);
}

}  // namespace keyferry::sim
