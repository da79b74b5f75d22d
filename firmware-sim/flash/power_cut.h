#pragma once

#include <cstdint>
#include <vector>

#include "firmware-sim/flash/memory_flash.h"

namespace keyferry::sim {

// What a power cut can leave of the step that it hits.
enum class Torn : std::uint8_t {
  kNotBegun,    // the step before was the last
  kFirstHalf,   // program: first 8 bytes; erase: first half of the page
  kSecondHalf,  // program: last 8 bytes; erase: second half of the page
  kRandomBits,  // program: each bit written or not; erase: each bit raised or not
  kAlmost,      // program: all but one bit; erase: all but the last word
  kBarely,      // program: one bit; erase: one bit of every word
  kWeak,        // erase: reads blank, but the page does not hold what is programmed into it
};
inline constexpr Torn kTornProgram[] = {Torn::kNotBegun,   Torn::kFirstHalf, Torn::kSecondHalf,
                                        Torn::kRandomBits, Torn::kAlmost,    Torn::kBarely};
inline constexpr Torn kTornErase[] = {Torn::kNotBegun,   Torn::kFirstHalf, Torn::kSecondHalf,
                                      Torn::kRandomBits, Torn::kAlmost,    Torn::kBarely,
                                      Torn::kWeak};
inline constexpr Torn kTornCount[] = {Torn::kNotBegun};

// Carries `step` out on `flash` whole (sends change nothing).
void Replay(const FlashStep& step, MemoryFlash& flash);

// Carries out what `torn` leaves of `step`. `seed` chooses the bits. A counter step is atomic: with
// any variant it has not happened.
void ReplayTorn(const FlashStep& step, Torn torn, std::uint64_t seed, MemoryFlash& flash);

}  // namespace keyferry::sim
