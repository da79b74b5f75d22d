#pragma once

#include <array>
#include <cstdint>

#include "firmware-sim/core/flash_map.h"
#include "firmware-sim/core/hal.h"
#include "protocol/bytes.h"

namespace keyferry::sim {

using FlashWord = std::array<std::uint8_t, kFlashWord>;

inline bool PageIsBlank(const Flash& flash, std::uint32_t page) {
  std::array<std::uint8_t, 256> part;
  for (std::uint32_t at = 0; at < kPageSize; at += static_cast<std::uint32_t>(part.size())) {
    flash.Read(page * kPageSize + at, part);
    for (const std::uint8_t b : part) {
      if (b != kFlashBlank) return false;
    }
  }
  return true;
}

// Programs the word and reads it back.
inline FlashResult ProgramChecked(Flash& flash, std::uint32_t address, protocol::ByteView word) {
  FlashWord copy;
  FlashWord back;
  std::memcpy(copy.data(), word.data(), kFlashWord);
  FlashResult result = flash.Program(address, copy);
  flash.Read(address, back);
  if (result == FlashResult::kOk && back != copy) result = FlashResult::kFault;
  protocol::Wipe(copy);
  protocol::Wipe(back);
  return result;
}

}  // namespace keyferry::sim
