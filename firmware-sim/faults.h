#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/result.h"

namespace keyferry::sim {

// What can happen to one frame on its way. Frames are counted from 1, per direction, since the
// simulator's start (plugging in does not begin anew, so that a fault happens once).
struct FrameFault {
  enum class Kind : std::uint8_t {
    kDrop,       // it is lost
    kDuplicate,  // it arrives twice
    kReorder,    // it arrives after the next one
    kDelay,      // it, and all after it, arrive `value` ms later
    kTruncate,  // only its first `value` bytes arrive: to the host a short report, to the key zeros
                // for the rest of a report, or a short fragment
    kCorrupt,   // one bit of byte `value` modulo the frame's length is flipped
    kUnplug,    // the key is pulled out when this frame comes; it does not arrive
  };
  enum class Direction : std::uint8_t { kIn, kOut };  // to the key, from the key

  Kind kind = Kind::kDrop;
  Direction direction = Direction::kIn;
  std::uint32_t frame = 0;
  std::uint32_t value = 0;
};

// What the key's descriptors tell the operating system that is not so (`descriptor-lies:WORD`).
enum class DescriptorLie : std::uint8_t {
  kNone,
  kUsagePage,      // usage-page: HID usage page 0xFF01
  kShortReports,   // short-reports: reports of 32 bytes; 64 come all the same
  kReportIds,      // report-ids: reports are numbered 1
  kKeyboard,       // keyboard: usage page 1, usage 6, as a keyboard has
  kTruncated,      // truncated: the report descriptor ends in the middle
  kEndlessString,  // endless-string: string descriptors as long as the host will take (USB/IP)
};

// Faults as data: all zero means a faultless key. On the command line `--faults A,B,…`, in words
// that firmware-sim/README.md explains one by one:
//   drop:in:N  duplicate:out:N  reorder:in:N  delay:out:N:MS  truncate:out:N:BYTES
//   corrupt:in:N:BYTE  unplug:in:N  never-answer:N  wrong-receipt:N  forked-chain:N  stale-epoch:N
//   slow-flash:US  touch-refused  frame-clock:US
//   descriptor-lies:WORD  identity-changes  ble-drop-notify:N
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
  DescriptorLie descriptor_lie = DescriptorLie::kNone;
  // From the second plugging in on, INFO and the descriptors name another device id.
  bool identity_changes = false;
  std::uint32_t drop_notify = 0;  // the notification of this number is lost (Bluetooth)
};

// Parses the language above; the error names the word that is not understood.
Result<Faults> ParseFaults(std::string_view text);

}  // namespace keyferry::sim
