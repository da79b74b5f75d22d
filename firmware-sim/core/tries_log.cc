#include "firmware-sim/core/tries_log.h"

#include <cstring>

#include "firmware-sim/core/flash_words.h"
#include "protocol/crypto.h"

namespace keyferry::sim {
namespace {

constexpr std::uint32_t kWordBytes = static_cast<std::uint32_t>(kFlashWord);
constexpr std::size_t kEntryDigested = 20;
constexpr std::size_t kDigestKept = 12;

using Entry = protocol::Bytes<2 * kFlashWord>;

Entry Encode(const Tries& tries, std::uint64_t generation) {
  Entry out{};
  protocol::Writer writer(out);
  writer.U64(generation)
      .U32(tries.era)
      .U32(tries.boot)
      .U8(tries.pin_left)
      .U8(tries.code_left)
      .Zero(2);
  const protocol::Hash digest = protocol::Sha256Of(protocol::ByteView(out).first(kEntryDigested));
  writer.Put(protocol::ByteView(digest).first(kDigestKept));
  return out;
}

}  // namespace

TriesLog::TriesLog(Flash& flash, MonotonicCounters& counters, CounterId counter,
                   std::uint32_t page_a, std::uint32_t page_b, Progress& progress)
    : flash_(flash),
      counters_(counters),
      counter_(counter),
      pages_{page_a, page_b},
      progress_(progress) {}

bool TriesLog::ReadEntry(std::uint32_t page, std::uint32_t index, std::uint64_t* generation,
                         Tries* out) const {
  Entry entry;
  flash_.Read(page * kPageSize + index * kEntry, entry);
  protocol::Reader reader(entry);
  *generation = reader.U64();
  Tries tries;
  tries.era = reader.U32();
  tries.boot = reader.U32();
  tries.pin_left = reader.U8();
  tries.code_left = reader.U8();
  if (*generation == 0 || entry != Encode(tries, *generation)) return false;
  *out = tries;
  return true;
}

bool TriesLog::EntryIsBlank(std::uint32_t page, std::uint32_t index) const {
  std::uint8_t entry[kEntry];
  flash_.Read(page * kPageSize + index * kEntry, entry);
  for (const std::uint8_t b : entry) {
    if (b != kFlashBlank) return false;
  }
  return true;
}

std::uint32_t TriesLog::FirstUnused(std::uint32_t page) const {
  std::uint32_t first = kEntries;
  while (first > 0 && EntryIsBlank(page, first - 1)) --first;
  return first;
}

MountResult TriesLog::Mount() {
  const std::uint64_t counter = counters_.Read(counter_);
  std::uint64_t best = 0;
  std::uint64_t newest = 0;
  Tries best_tries;
  Tries newest_tries;
  std::uint32_t best_page = 0;
  for (std::uint32_t p = 0; p < 2; ++p) {
    for (std::uint32_t i = 0; i < kEntries; ++i) {
      std::uint64_t generation = 0;
      Tries tries;
      if (EntryIsBlank(pages_[p], i) || !ReadEntry(pages_[p], i, &generation, &tries)) continue;
      if (generation > newest) {
        newest = generation;
        newest_tries = tries;
      }
      if ((generation == counter || generation == counter + 1) && generation >= best) {
        best = generation;
        best_tries = tries;
        best_page = p;
      }
    }
  }
  if (best == 0) {
    tries_ = newest_tries;
    next_ = FirstUnused(pages_[current_]);  // a first entry may lie there torn
    return counter == 0 && newest == 0 ? MountResult::kEmpty : MountResult::kRolledBack;
  }
  if (best == counter + 1 && !counters_.Increment(counter_)) return MountResult::kRolledBack;
  tries_ = best_tries;
  current_ = best_page;
  next_ = FirstUnused(pages_[current_]);
  const std::uint32_t other = pages_[1 - current_];
  if (!PageIsBlank(flash_, other)) (void)Erase(other);
  return MountResult::kReady;
}

bool TriesLog::Erase(std::uint32_t page) {
  progress_.OnProgress();
  const FlashResult result = flash_.ErasePage(page);
  if (result == FlashResult::kWornOut) worn_out_ = true;
  return result == FlashResult::kOk && PageIsBlank(flash_, page);
}

bool TriesLog::WriteEntry(std::uint32_t page, std::uint32_t index, const std::uint8_t* entry) {
  const std::uint32_t address = page * kPageSize + index * kEntry;
  for (std::uint32_t at = 0; at < kEntry; at += kWordBytes) {
    progress_.OnProgress();
    if (ProgramChecked(flash_, address + at, {entry + at, kFlashWord}) != FlashResult::kOk)
      return false;
  }
  return true;
}

StoreResult TriesLog::Count(const Tries& tries) {
  if (!counters_.Increment(counter_)) return StoreResult::kWornOut;
  tries_ = tries;
  return StoreResult::kOk;
}

StoreResult TriesLog::Append(const Tries& tries, bool fresh_page) {
  const Entry entry = Encode(tries, counters_.Read(counter_) + 1);
  worn_out_ = false;
  // A word that does not take is passed over. After two the page is given up for the other one.
  for (int attempt = 0; !fresh_page && attempt < 2 && next_ < kEntries; ++attempt) {
    if (WriteEntry(pages_[current_], next_++, entry.data())) return Count(tries);
  }
  const std::uint32_t other = 1 - current_;
  for (int attempt = 0; attempt < 2; ++attempt) {
    if (!PageIsBlank(flash_, pages_[other]) && !Erase(pages_[other])) continue;
    if (!WriteEntry(pages_[other], 0, entry.data())) continue;
    const StoreResult counted = Count(tries);
    if (counted != StoreResult::kOk) return counted;
    current_ = other;
    next_ = 1;
    (void)Erase(pages_[1 - other]);  // full; a fault here is mended at boot
    return StoreResult::kOk;
  }
  return worn_out_ ? StoreResult::kWornOut : StoreResult::kFault;
}

StoreResult TriesLog::Restart(const Tries& tries) {
  worn_out_ = false;
  if (!Erase(pages_[0]) || !Erase(pages_[1]))
    return worn_out_ ? StoreResult::kWornOut : StoreResult::kFault;
  current_ = 0;
  next_ = 0;
  return Append(tries);
}

}  // namespace keyferry::sim
