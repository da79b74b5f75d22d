#pragma once

#include <cstdint>

#include "firmware-sim/core/flash_map.h"
#include "firmware-sim/core/hal.h"
#include "firmware-sim/core/record_store.h"

namespace keyferry::sim {

// What changes often: written before every PIN comparison, after every right PIN, and at every
// boot.
struct Tries {
  std::uint32_t era = 0;   // the state record's era for which the two counts hold
  std::uint32_t boot = 0;  // boot counter
  std::uint8_t pin_left = 0;
  std::uint8_t code_left = 0;

  bool operator==(const Tries&) const = default;
};

// An append log over two pages, so that a PIN entry costs two words instead of an erase cycle.
//   entry = generation(8) era(4) boot(4) | pin_left(1) code_left(1) zero(2) digest(12)
// The second word is the commit: the digest (first bytes of SHA-256 over the 20 bytes before it)
// makes a torn entry invalid. Entries are bound to their own monotonic counter as the slots of
// RecordStore are, so a copy of the flash put back does not give tries back.
class TriesLog {
 public:
  TriesLog(Flash& flash, MonotonicCounters& counters, CounterId counter, std::uint32_t page_a,
           std::uint32_t page_b, Progress& progress);

  MountResult Mount();
  // The newest entry; after kRolledBack the newest readable one, after kEmpty zeros.
  const Tries& tries() const { return tries_; }
  // On anything but kOk the entry before stands. `fresh_page` moves to the other page, so that the
  // erase that follows takes all older entries away (wipe).
  StoreResult Append(const Tries& tries, bool fresh_page = false);
  // Erases all entries and begins again with `tries` (after a roll-back was found).
  StoreResult Restart(const Tries& tries);

 private:
  static constexpr std::uint32_t kEntry = 2 * kFlashWord;
  static constexpr std::uint32_t kEntries = kPageSize / kEntry;

  bool ReadEntry(std::uint32_t page, std::uint32_t index, std::uint64_t* generation,
                 Tries* out) const;
  bool EntryIsBlank(std::uint32_t page, std::uint32_t index) const;
  // The index after the last entry that holds anything.
  std::uint32_t FirstUnused(std::uint32_t page) const;
  bool WriteEntry(std::uint32_t page, std::uint32_t index, const std::uint8_t* entry);
  bool Erase(std::uint32_t page);
  StoreResult Count(const Tries& tries);

  Flash& flash_;
  MonotonicCounters& counters_;
  const CounterId counter_;
  const std::uint32_t pages_[2];
  Progress& progress_;
  std::uint32_t current_ = 0;  // page index in use
  std::uint32_t next_ = 0;     // first entry not yet used in it
  bool worn_out_ = false;
  Tries tries_;
};

}  // namespace keyferry::sim
