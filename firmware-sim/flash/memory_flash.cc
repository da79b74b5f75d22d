#include "firmware-sim/flash/memory_flash.h"

#include <algorithm>

namespace keyferry::sim {

bool MemoryFlash::Fails(std::uint32_t page, FlashResult* result) {
  if (fail_count_[page] == 0) return false;
  --fail_count_[page];
  *result = fail_result_[page];
  return true;
}

FlashResult MemoryFlash::Program(std::uint32_t address,
                                 std::span<const std::uint8_t, kFlashWord> word) {
  if (address % kFlashWord != 0 || address + kFlashWord > image_.bytes.size()) {
    ++violations_;
    return FlashResult::kFault;
  }
  if (on_step_) on_step_();
  const std::uint32_t page = address / kPageSize;
  FlashResult result = FlashResult::kOk;
  if (Fails(page, &result)) return result;
  const auto cell = image_.bytes.begin() + address;
  const bool blank =
      std::all_of(cell, cell + kFlashWord, [](std::uint8_t b) { return b == kFlashBlank; });
  for (std::size_t i = 0; i < kFlashWord; ++i) {
    cell[static_cast<std::ptrdiff_t>(i)] =
        static_cast<std::uint8_t>(cell[static_cast<std::ptrdiff_t>(i)] & word[i]);
  }
  if ((weak_pages_ & (1u << page)) != 0) *cell = static_cast<std::uint8_t>(*cell ^ 0x10);
  if (log_ != nullptr) {
    FlashStep step{FlashStep::Kind::kProgram, address, {}};
    std::copy(word.begin(), word.end(), step.word.begin());
    log_->push_back(step);
  }
  if (!blank) {
    ++violations_;
    return FlashResult::kFault;
  }
  return FlashResult::kOk;
}

FlashResult MemoryFlash::ErasePage(std::uint32_t page) {
  if (page >= kPages) {
    ++violations_;
    return FlashResult::kFault;
  }
  if (on_step_) on_step_();
  FlashResult result = FlashResult::kOk;
  if (Fails(page, &result)) return result;
  const auto begin = image_.bytes.begin() + static_cast<std::ptrdiff_t>(page) * kPageSize;
  std::fill(begin, begin + kPageSize, kFlashBlank);
  weak_pages_ &= ~(1u << page);
  if (log_ != nullptr) log_->push_back({FlashStep::Kind::kErase, page, {}});
  return FlashResult::kOk;
}

void MemoryFlash::Read(std::uint32_t address, std::span<std::uint8_t> out) const {
  const std::size_t size = image_.bytes.size();
  const std::size_t begin = std::min<std::size_t>(address, size);
  const std::size_t part = std::min(out.size(), size - begin);
  std::copy_n(image_.bytes.begin() + static_cast<std::ptrdiff_t>(begin), part, out.begin());
  std::fill(out.begin() + static_cast<std::ptrdiff_t>(part), out.end(), kFlashBlank);
}

std::uint64_t MemoryFlash::Read(CounterId id) const {
  return image_.counters[static_cast<std::size_t>(id)];
}

bool MemoryFlash::Increment(CounterId id) {
  ++image_.counters[static_cast<std::size_t>(id)];
  if (log_ != nullptr)
    log_->push_back({FlashStep::Kind::kCount, static_cast<std::uint32_t>(id), {}});
  return true;
}

void MemoryFlash::NoteSend() {
  if (log_ != nullptr) log_->push_back({FlashStep::Kind::kSend, 0, {}});
}

void MemoryFlash::FailPage(std::uint32_t page, FlashResult result, std::uint32_t count) {
  fail_result_[page] = result;
  fail_count_[page] = count;
}

}  // namespace keyferry::sim
