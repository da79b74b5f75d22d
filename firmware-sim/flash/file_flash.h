#pragma once

#include <memory>
#include <string>

#include "firmware-sim/flash/memory_flash.h"
#include "protocol/result.h"

namespace keyferry::sim {

// The simulator's flash and counters in two files: FILE is the flash, byte for byte; FILE.counter
// holds the monotonic counters (two big-endian 64-bit numbers), apart from it as on hardware, so
// that putting back an old copy of FILE is found out. Every step is written to the files before it
// returns: the process may be killed at any moment. (Written, not synced: the host machine's own
// power cut is outside the model.)
class FileFlash : public Flash, public MonotonicCounters {
 public:
  // A missing or empty FILE is made blank, with counters at zero. Errors: a FILE of another size, a
  // FILE that another simulator holds, anything the operating system refuses.
  static Result<std::unique_ptr<FileFlash>> Open(const std::string& path);
  ~FileFlash() override;
  FileFlash(const FileFlash&) = delete;
  FileFlash& operator=(const FileFlash&) = delete;

  std::uint32_t PageSize() const override { return kPageSize; }
  std::uint32_t PageCount() const override { return kPages; }
  FlashResult Program(std::uint32_t address,
                      std::span<const std::uint8_t, kFlashWord> word) override;
  FlashResult ErasePage(std::uint32_t page) override;
  void Read(std::uint32_t address, std::span<std::uint8_t> out) const override;
  std::uint64_t Read(CounterId id) const override { return memory_.Read(id); }
  bool Increment(CounterId id) override;

  // Every program and erase takes this much longer (faults.h, slow flash).
  void SetDelay(std::uint32_t microseconds) { delay_us_ = microseconds; }

 private:
  FileFlash(int flash_fd, int counter_fd) : flash_fd_(flash_fd), counter_fd_(counter_fd) {}
  bool Map();
  bool WriteCounters();
  void Delay() const;

  int flash_fd_;
  int counter_fd_;
  // The flash file, mapped and shared: what is written here survives the process.
  std::uint8_t* map_ = nullptr;
  std::uint32_t delay_us_ = 0;
  MemoryFlash memory_;
};

}  // namespace keyferry::sim
