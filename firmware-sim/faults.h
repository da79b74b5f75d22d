#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/result.h"

namespace keyferry::sim {

// What can happen to one report on its way. Frames are counted from 1, per direction, since the
// simulator's start (plugging in does not begin anew, so that a fault happens once).
struct FrameFault {
  enum class Kind : std::uint8_t {
    kDrop,       // it is lost
    kDuplicate,  // it arrives twice
    kReorder,    // it arrives after the next one
    kDelay,      // it, and all after it, arrive `value` ms later
    kTruncate,   // only its first `value` bytes arrive: to the host a short datagram, to the key
                 // zeros for the rest
    kCorrupt,    // one bit of byte `value` (0 … 63) is flipped
    kUnplug,     // the key is pulled out when this frame comes; it does not arrive
  };
  enum class Direction : std::uint8_t { kIn, kOut };  // to the key, from the key

  Kind kind = Kind::kDrop;
  Direction direction = Direction::kIn;
  std::uint32_t frame = 0;
  std::uint32_t value = 0;
};

// Faults as data: all zero means a faultless key. On the command line `--faults A,B,…`, in words
// that firmware-sim/README.md explains one by one:
//   drop:in:N  duplicate:out:N  reorder:in:N  delay:out:N:MS  truncate:out:N:BYTES
//   corrupt:in:N:BYTE  unplug:in:N  never-answer:N  wrong-receipt:N  forked-chain:N  stale-epoch:N
//   slow-flash:US  touch-refused  frame-clock:US
// in = to the key, out = from the key; N counts frames, for the three receipt faults receipts.
struct Faults {
  std::vector<FrameFault> frames;
  std::uint32_t never_answer_from = 0;
  std::uint64_t wrong_receipt = 0;
  std::uint64_t forked_chain = 0;
  std::uint64_t stale_epoch = 0;
  std::uint32_t slow_flash_us = 0;
  bool touch_refused = false;
  std::uint32_t frame_clock_us = 0;
};

// Parses the language above; the error names the word that is not understood.
Result<Faults> ParseFaults(std::string_view text);

}  // namespace keyferry::sim
