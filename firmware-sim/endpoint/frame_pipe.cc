#include "firmware-sim/endpoint/frame_pipe.h"

#include <algorithm>
#include <utility>

namespace keyferry::sim {

FramePipe::FramePipe(const Faults& faults, FrameFault::Direction direction, Deliver deliver,
                     Unplug unplug)
    : faults_(faults),
      direction_(direction),
      deliver_(std::move(deliver)),
      unplug_(std::move(unplug)) {}

void FramePipe::Push(const protocol::Report& report, Origin origin, Time now) {
  ++frames_;
  if (direction_ == FrameFault::Direction::kOut && faults_.never_answer_from != 0 &&
      frames_ >= faults_.never_answer_from) {
    return;
  }
  Waiting item;
  item.report = report;
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
        std::fill(item.report.begin() + static_cast<std::ptrdiff_t>(item.size), item.report.end(),
                  std::uint8_t{0});
        break;
      case FrameFault::Kind::kCorrupt: {
        std::uint8_t& byte = item.report[fault.value % item.report.size()];
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
    const Waiting item = queue_.front();
    queue_.pop_front();
    if (item.unplug) {
      Clear();
      return unplug_();
    }
    deliver_({item.report.data(), item.size}, item.origin);
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

}  // namespace keyferry::sim
