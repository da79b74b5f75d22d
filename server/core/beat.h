#pragma once

#include <algorithm>
#include <chrono>

#include "server/core/clock.h"
#include "server/core/waiter.h"

namespace keyferry::server {

// Whatever took its time inside, a refusal comes on a beat: waits until a whole multiple of `floor`
// has passed since `asked`.
inline void WaitForBeat(const Clock& clock, Waiter& waiter,
                        std::chrono::steady_clock::time_point asked,
                        std::chrono::milliseconds floor) {
  floor = std::max(floor, std::chrono::milliseconds(1));
  const auto spent = clock.Now() - asked;
  waiter.Until(asked + (spent / floor + 1) * floor);
}

}  // namespace keyferry::server
