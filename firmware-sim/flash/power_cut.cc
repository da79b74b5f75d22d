#include "firmware-sim/flash/power_cut.h"

#include <bit>
#include <cstddef>

namespace keyferry::sim {
namespace {

// SplitMix64: small, seedable, the same everywhere.
class Bits {
 public:
  explicit Bits(std::uint64_t seed) : state_(seed) {}
  std::uint64_t Next() {
    state_ += 0x9E3779B97F4A7C15u;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }

 private:
  std::uint64_t state_;
};

void TearProgram(const FlashStep& step, Torn torn, Bits bits, std::uint8_t* cell) {
  // A bit is programmed by clearing it, so what is left is old AND (new OR not-yet).
  std::array<std::uint8_t, kFlashWord> not_yet{};
  int zeros = 0;
  for (std::uint8_t b : step.word) zeros += 8 - std::popcount(b);
  const int chosen =
      zeros == 0 ? 0 : static_cast<int>(bits.Next() % static_cast<std::uint64_t>(zeros));
  int seen = 0;
  for (std::size_t i = 0; i < kFlashWord; ++i) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      const auto mask = static_cast<std::uint8_t>(1u << bit);
      if ((step.word[i] & mask) != 0) continue;
      bool done = false;
      switch (torn) {
        case Torn::kFirstHalf:
          done = i < kFlashWord / 2;
          break;
        case Torn::kSecondHalf:
          done = i >= kFlashWord / 2;
          break;
        case Torn::kRandomBits:
          done = (bits.Next() & 1) != 0;
          break;
        case Torn::kAlmost:
          done = seen != chosen;
          break;
        case Torn::kBarely:
          done = seen == chosen;
          break;
        case Torn::kNotBegun:
        case Torn::kWeak:
          break;
      }
      ++seen;
      if (!done) not_yet[i] = static_cast<std::uint8_t>(not_yet[i] | mask);
    }
    cell[i] = static_cast<std::uint8_t>(cell[i] & (step.word[i] | not_yet[i]));
  }
}

void TearErase(Torn torn, Bits bits, std::uint8_t* page) {
  for (std::size_t i = 0; i < kPageSize; ++i) {
    std::uint8_t raised = 0;
    switch (torn) {
      case Torn::kFirstHalf:
        raised = i < kPageSize / 2 ? 0xFF : 0;
        break;
      case Torn::kSecondHalf:
        raised = i >= kPageSize / 2 ? 0xFF : 0;
        break;
      case Torn::kRandomBits:
        raised = static_cast<std::uint8_t>(bits.Next());
        break;
      case Torn::kAlmost:
        raised = i < kPageSize - kFlashWord ? 0xFF : 0;
        break;
      case Torn::kBarely:
        if (i % kFlashWord == 0) raised = static_cast<std::uint8_t>(1u << (bits.Next() % 8));
        break;
      case Torn::kWeak:
        raised = 0xFF;
        break;
      case Torn::kNotBegun:
        break;
    }
    page[i] = static_cast<std::uint8_t>(page[i] | raised);
  }
}

}  // namespace

void Replay(const FlashStep& step, MemoryFlash& flash) {
  switch (step.kind) {
    case FlashStep::Kind::kProgram:
      (void)flash.Program(step.where, step.word);
      break;
    case FlashStep::Kind::kErase:
      (void)flash.ErasePage(step.where);
      break;
    case FlashStep::Kind::kCount:
      (void)flash.Increment(static_cast<CounterId>(step.where));
      break;
    case FlashStep::Kind::kSend:
      break;
  }
}

void ReplayTorn(const FlashStep& step, Torn torn, std::uint64_t seed, MemoryFlash& flash) {
  if (torn == Torn::kNotBegun) return;
  auto& bytes = flash.mutable_image().bytes;
  if (step.kind == FlashStep::Kind::kProgram) {
    TearProgram(step, torn, Bits(seed), bytes.data() + step.where);
  } else if (step.kind == FlashStep::Kind::kErase) {
    TearErase(torn, Bits(seed), bytes.data() + static_cast<std::size_t>(step.where) * kPageSize);
    if (torn == Torn::kWeak) flash.WeakenPage(step.where);
  }
}

}  // namespace keyferry::sim
