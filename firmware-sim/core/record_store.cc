#include "firmware-sim/core/record_store.h"

#include <algorithm>
#include <cstring>

#include "firmware-sim/core/flash_words.h"
#include "protocol/crypto.h"

namespace keyferry::sim {
namespace {

using protocol::ByteView;

constexpr protocol::Bytes<4> kHeaderMagic{'K', 'F', 'S', '1'};
constexpr protocol::Bytes<4> kCommitMagic{'K', 'F', 'C', '1'};
constexpr std::size_t kDigest = 32;
constexpr int kAttempts = 3;

// Header and commit word have one shape.
FlashWord MakeWord(const protocol::Bytes<4>& magic, std::size_t length, std::uint64_t generation) {
  FlashWord out{};
  protocol::Writer(out).Put(magic).U32(static_cast<std::uint32_t>(length)).U64(generation);
  return out;
}

constexpr std::size_t Padded(std::size_t length) {
  return (length + kFlashWord - 1) / kFlashWord * kFlashWord;
}

}  // namespace

RecordStore::RecordStore(Flash& flash, MonotonicCounters& counters, CounterId counter,
                         std::uint32_t page_a, std::uint32_t page_b, Progress& progress)
    : flash_(flash),
      counters_(counters),
      counter_(counter),
      pages_{page_a, page_b},
      progress_(progress) {}

// Reads a slot into the buffer; true when it is whole.
bool RecordStore::ReadSlot(std::uint32_t page, std::uint64_t* generation) {
  flash_.Read(page * kPageSize, buffer_);
  protocol::Reader header(ByteView(buffer_).first(kFlashWord));
  const bool magic = header.Array<4>() == kHeaderMagic;
  const std::size_t length = header.U32();
  *generation = header.U64();
  if (!magic || length > kMaxData) return false;
  const std::size_t hashed = kFlashWord + Padded(length);
  const protocol::Hash digest = protocol::Sha256Of(ByteView(buffer_).first(hashed));
  const FlashWord commit = MakeWord(kCommitMagic, length, *generation);
  if (std::memcmp(buffer_.data() + hashed, digest.data(), digest.size()) != 0 ||
      std::memcmp(buffer_.data() + hashed + kDigest, commit.data(), kFlashWord) != 0) {
    return false;
  }
  length_ = length;
  return true;
}

bool RecordStore::IsBlank(std::uint32_t page) const { return PageIsBlank(flash_, page); }

MountResult RecordStore::Mount() {
  const std::uint64_t counter = counters_.Read(counter_);
  std::uint64_t generation[2] = {0, 0};
  bool whole[2];
  for (std::uint32_t i = 0; i < 2; ++i) {
    whole[i] = ReadSlot(pages_[i], &generation[i]) && generation[i] != 0;
  }
  // counter + 1 was complete when the power went; counter is the record; nothing else counts.
  for (const std::uint64_t wanted : {counter + 1, counter}) {
    for (std::uint32_t i = 0; i < 2; ++i) {
      if (!whole[i] || generation[i] != wanted) continue;
      if (wanted != counter && !counters_.Increment(counter_)) continue;
      current_ = i;
      if (!IsBlank(pages_[1 - i])) (void)ErasePage(pages_[1 - i]);  // left over: finish the erase
      std::uint64_t again = 0;
      (void)ReadSlot(pages_[i], &again);
      return MountResult::kReady;
    }
  }
  if (counter == 0 && !whole[0] && !whole[1]) {
    length_ = 0;
    return MountResult::kEmpty;
  }
  const std::uint32_t newest = whole[1] && (!whole[0] || generation[1] > generation[0]) ? 1 : 0;
  length_ = 0;
  current_ = newest;
  std::uint64_t again = 0;
  if (whole[newest]) (void)ReadSlot(pages_[newest], &again);
  return MountResult::kRolledBack;
}

bool RecordStore::Program(std::uint32_t address, const std::uint8_t* word) {
  progress_.OnProgress();
  return ProgramChecked(flash_, address, {word, kFlashWord}) == FlashResult::kOk;
}

StoreResult RecordStore::ErasePage(std::uint32_t page) {
  progress_.OnProgress();
  const FlashResult result = flash_.ErasePage(page);
  if (result == FlashResult::kWornOut) return StoreResult::kWornOut;
  return result == FlashResult::kOk && IsBlank(page) ? StoreResult::kOk : StoreResult::kFault;
}

StoreResult RecordStore::WriteSlot(std::uint32_t page, std::size_t length,
                                   std::uint64_t generation) {
  if (!IsBlank(page)) {
    const StoreResult erased = ErasePage(page);
    if (erased != StoreResult::kOk) return erased;
  }
  const std::size_t hashed = kFlashWord + Padded(length);
  const std::uint32_t base = page * kPageSize;
  for (std::size_t at = 0; at < hashed + kDigest; at += kFlashWord) {
    if (!Program(base + static_cast<std::uint32_t>(at), buffer_.data() + at))
      return StoreResult::kFault;
  }
  // A second read-back of the whole: a late word may have disturbed an early one.
  for (std::size_t at = 0; at < hashed + kDigest; at += kFlashWord) {
    std::uint8_t back[kFlashWord];
    flash_.Read(base + static_cast<std::uint32_t>(at), back);
    if (std::memcmp(back, buffer_.data() + at, kFlashWord) != 0) return StoreResult::kFault;
  }
  const FlashWord commit = MakeWord(kCommitMagic, length, generation);
  return Program(base + static_cast<std::uint32_t>(hashed + kDigest), commit.data())
             ? StoreResult::kOk
             : StoreResult::kFault;
}

StoreResult RecordStore::Commit(std::size_t length) {
  const std::uint64_t generation = counters_.Read(counter_) + 1;
  const std::uint32_t target = 1 - current_;
  const FlashWord header = MakeWord(kHeaderMagic, length, generation);
  std::copy(header.begin(), header.end(), buffer_.begin());
  std::fill(buffer_.begin() + static_cast<std::ptrdiff_t>(kFlashWord + length),
            buffer_.begin() + static_cast<std::ptrdiff_t>(kFlashWord + Padded(length)),
            kFlashBlank);
  const std::size_t hashed = kFlashWord + Padded(length);
  const protocol::Hash digest = protocol::Sha256Of(ByteView(buffer_).first(hashed));
  std::copy(digest.begin(), digest.end(), buffer_.begin() + static_cast<std::ptrdiff_t>(hashed));
  StoreResult result = StoreResult::kFault;
  for (int attempt = 0; attempt < kAttempts && result == StoreResult::kFault; ++attempt) {
    result = WriteSlot(pages_[target], length, generation);
    // A failed slot goes at once: were it whole after all, the next boot would take it for the
    // record.
    if (result != StoreResult::kOk && !IsBlank(pages_[target])) (void)ErasePage(pages_[target]);
  }
  if (result == StoreResult::kOk && !counters_.Increment(counter_)) {
    (void)ErasePage(pages_[target]);
    result = StoreResult::kWornOut;
  }
  if (result != StoreResult::kOk) return result;
  current_ = target;
  length_ = length;
  (void)ErasePage(
      pages_[1 - target]);  // the keys and passwords that were; a fault here is mended at boot
  return StoreResult::kOk;
}

void RecordStore::ClearBuffer() { protocol::Wipe(buffer_); }

}  // namespace keyferry::sim
