#include "device/turns.h"

#include <algorithm>
#include <utility>

namespace keyferry::device {

bool Turns::Waits(const void* who) const {
  return std::any_of(waiters_.begin(), waiters_.end(),
                     [who](const Waiter* waiter) { return waiter->who == who; });
}

bool Turns::MayGo(const Waiter& waiter, Clock::time_point now) const {
  if (busy_) return false;
  for (const Waiter* earlier : waiters_) {
    if (earlier == &waiter) return waiter.FreeSince() <= now;
    if (earlier->FreeSince() <= now) return false;
  }
  return false;
}

Turns::Turn::Turn(Turns& turns, const void* who, Deadline deadline,
                  const std::function<bool()>& stop, FreeAt free_at, std::function<void()> on_end)
    : turns_(turns), on_end_(std::move(on_end)) {
  const Waiter waiter{who, std::move(free_at), Clock::now()};
  std::unique_lock lock(turns_.mutex_);
  turns_.waiters_.push_back(&waiter);
  while (!stop()) {
    const auto now = Clock::now();
    mine_ = turns_.MayGo(waiter, now);
    if (mine_ || now >= deadline) break;
    const auto free = waiter.FreeSince();
    turns_.changed_.wait_until(lock, free > now ? std::min(free, deadline) : deadline);
  }
  std::erase(turns_.waiters_, &waiter);
  if (mine_) {
    turns_.busy_ = true;
    turns_.running_ = who;
  }
  turns_.changed_.notify_all();  // the next in line may go now
}

Turns::Turn::~Turn() {
  if (!mine_) return;
  const std::scoped_lock lock(turns_.mutex_);
  turns_.busy_ = false;
  turns_.running_ = nullptr;
  if (on_end_) on_end_();
  turns_.changed_.notify_all();
}

Result<void> Turns::Turn::Check(const std::optional<Error>& gone) const {
  if (mine_) return {};
  const std::scoped_lock lock(turns_.mutex_);
  if (gone) return tl::unexpected(*gone);
  return Fail(ErrorCode::kDeadline, "The security key is busy with another program.");
}

}  // namespace keyferry::device
