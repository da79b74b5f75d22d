#pragma once

#include "protocol/crypto.h"

namespace keyferry {

// The operating system's generator (Linux: libsodium over getrandom(2); Windows: BCryptGenRandom).
// Thread-safe; never fails once the process runs.
class SystemRandom final : public protocol::RandomSource {
 public:
  bool Fill(protocol::MutableBytes out) override;
};

// A shared instance, for callers that need no port.
SystemRandom& OsRandom();

}  // namespace keyferry
