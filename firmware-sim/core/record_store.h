#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "firmware-sim/core/flash_map.h"
#include "firmware-sim/core/hal.h"

namespace keyferry::sim {

// Called between flash words, so that a long commit does not silence the key (KEEPALIVE, section
// 6).
class Progress {
 public:
  virtual ~Progress() = default;
  virtual void OnProgress() = 0;
};

enum class StoreResult : std::uint8_t {
  kOk,       // durable
  kFault,    // the flash does not take it (status 41); the old record stands
  kWornOut,  // erase cycles or counter used up (status 42); the old record stands
};

enum class MountResult : std::uint8_t {
  kEmpty,       // never written
  kReady,       // data() is the record
  kRolledBack,  // what is in flash is not what the counter says was written last (state 6). data()
                // is the newest readable record, or empty; nothing was changed
};

// One record in two slots A/B of one page each (section 9).
//   slot = header(16: magic "KFS1" length(4) generation(8)) data(length, padded with FF to a word)
//          digest(32 = SHA-256 of all before it) commit(16: magic "KFC1" length(4) generation(8))
// A commit writes the other slot with generation = counter + 1, reads it back, programs the commit
// word, reads it back, advances the counter, and erases the slot that was. After a power cut at any
// step the record is the old one or the new one: a slot whose generation is counter + 1 was
// complete, so Mount advances the counter for it; one whose generation is lower than the counter is
// a copy put back.
class RecordStore {
 public:
  static constexpr std::size_t kMaxData = kPageSize - 4 * kFlashWord;

  RecordStore(Flash& flash, MonotonicCounters& counters, CounterId counter, std::uint32_t page_a,
              std::uint32_t page_b, Progress& progress);

  // Finds the record and finishes an interrupted step. Call once, at boot.
  MountResult Mount();

  // The buffer to encode the next record into before Commit(length), and the record after Mount.
  // Commit leaves it unspecified.
  std::span<std::uint8_t> buffer() { return {buffer_.data() + kFlashWord, kMaxData}; }
  std::span<const std::uint8_t> data() const { return {buffer_.data() + kFlashWord, length_}; }

  // Makes buffer()[0, length) the record. On anything but kOk the old record stands.
  StoreResult Commit(std::size_t length);

  // Overwrites the buffer.
  void ClearBuffer();

 private:
  bool ReadSlot(std::uint32_t page, std::uint64_t* generation);
  bool IsBlank(std::uint32_t page) const;
  StoreResult ErasePage(std::uint32_t page);
  StoreResult WriteSlot(std::uint32_t page, std::size_t length, std::uint64_t generation);
  bool Program(std::uint32_t address, const std::uint8_t* word);

  Flash& flash_;
  MonotonicCounters& counters_;
  const CounterId counter_;
  const std::uint32_t pages_[2];
  Progress& progress_;
  std::uint32_t current_ =
      1;  // index of the slot that holds the record; the other one is written next
  std::size_t length_ = 0;
  std::array<std::uint8_t, kPageSize> buffer_{};
};

}  // namespace keyferry::sim
