#pragma once

#include <chrono>
#include <memory>

namespace keyferry::server {

// Waiting as a port: sign-in answers no earlier than a fixed moment, and tests do not wait for it.
class Waiter {
 public:
  virtual ~Waiter() = default;
  // Blocks the calling (pool) thread until `moment`; returns at once when it is past.
  virtual void Until(std::chrono::steady_clock::time_point moment) = 0;
};

std::unique_ptr<Waiter> MakeThreadWaiter();

}  // namespace keyferry::server
