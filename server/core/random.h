#pragma once

#include <cstdint>
#include <memory>
#include <span>

namespace keyferry::server {

// Cryptographically secure random bytes as a port, so that tests can replay a run. Thread-safe;
// never fails (a machine without entropy cannot start the server).
class Random {
 public:
  virtual ~Random() = default;
  virtual void Fill(std::span<std::uint8_t> out) = 0;
};

// The kernel's generator.
std::unique_ptr<Random> MakeSystemRandom();

}  // namespace keyferry::server
