#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "firmware-sim/core/flash_map.h"
#include "firmware-sim/core/hal.h"

namespace keyferry::sim {

// All that survives a power cut: the flash and the counters beside it.
struct FlashImage {
  std::vector<std::uint8_t> bytes = std::vector<std::uint8_t>(kPages * kPageSize, kFlashBlank);
  std::array<std::uint64_t, kCounters> counters{};

  bool operator==(const FlashImage&) const = default;
};

// One step that the key took, in order. Sends are recorded too: what the host has seen is part of
// the promise ("a receipt seen means that the password is durable").
struct FlashStep {
  enum class Kind : std::uint8_t { kProgram, kErase, kCount, kSend };
  Kind kind = Kind::kProgram;
  std::uint32_t where = 0;                      // address, page, counter
  std::array<std::uint8_t, kFlashWord> word{};  // of kProgram
};

// Flash and counters in memory, held to the rules of the hardware: a word that is not blank cannot
// be programmed (the step is counted in `violations` and leaves the AND of both), addresses must be
// aligned and in range. Records every step when asked. Not thread-safe.
class MemoryFlash : public Flash, public MonotonicCounters {
 public:
  MemoryFlash() = default;
  explicit MemoryFlash(FlashImage image) : image_(std::move(image)) {}

  std::uint32_t PageSize() const override { return kPageSize; }
  std::uint32_t PageCount() const override { return kPages; }
  FlashResult Program(std::uint32_t address,
                      std::span<const std::uint8_t, kFlashWord> word) override;
  FlashResult ErasePage(std::uint32_t page) override;
  void Read(std::uint32_t address, std::span<std::uint8_t> out) const override;
  std::uint64_t Read(CounterId id) const override;
  bool Increment(CounterId id) override;

  const FlashImage& image() const { return image_; }
  FlashImage& mutable_image() { return image_; }
  // Breaches of the hardware's rules so far; a correct key makes none.
  std::uint32_t violations() const { return violations_; }

  // From now on every step is appended to `log` (null: no longer). `log` must outlive its use here.
  void Record(std::vector<FlashStep>* log) { log_ = log; }
  void NoteSend();
  // Called at every program and erase (a slow flash lets time pass in it).
  void OnStep(std::function<void()> hook) { on_step_ = std::move(hook); }

  // The next `count` programs into, or erases of, `page` fail with `result` (and change nothing).
  void FailPage(std::uint32_t page, FlashResult result, std::uint32_t count);
  // Words programmed into `page` lose one bit until the page is erased: what an interrupted erase
  // can leave behind, a page that reads blank and does not hold.
  void WeakenPage(std::uint32_t page) { weak_pages_ |= 1u << page; }

 private:
  bool Fails(std::uint32_t page, FlashResult* result);

  FlashImage image_;
  std::vector<FlashStep>* log_ = nullptr;
  std::function<void()> on_step_;
  std::uint32_t violations_ = 0;
  std::uint32_t weak_pages_ = 0;
  std::array<std::uint32_t, kPages> fail_count_{};
  std::array<FlashResult, kPages> fail_result_{};
};

}  // namespace keyferry::sim
