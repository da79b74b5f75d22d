#include "firmware-sim/flash/file_flash.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

#include "protocol/failpoint.h"

namespace keyferry::sim {
namespace {

constexpr std::size_t kFlashBytes = std::size_t{kPages} * kPageSize;
constexpr std::size_t kCounterBytes = kCounters * 8;

tl::unexpected<Error> SystemError(const std::string& what, const std::string& path) {
  return Fail(ErrorCode::kIo, what + " " + path + ": " + std::strerror(errno) + ".");
}

bool WriteAll(int fd, const std::uint8_t* data, std::size_t size, off_t offset) {
  while (size != 0) {
    const ssize_t n = pwrite(fd, data, size, offset);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    data += n;
    offset += n;
    size -= static_cast<std::size_t>(n);
  }
  return true;
}

bool ReadAll(int fd, std::uint8_t* data, std::size_t size) {
  off_t offset = 0;
  while (size != 0) {
    const ssize_t n = pread(fd, data, size, offset);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    data += n;
    offset += n;
    size -= static_cast<std::size_t>(n);
  }
  return true;
}

}  // namespace

Result<std::unique_ptr<FileFlash>> FileFlash::Open(const std::string& path) {
  const int flash_fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (flash_fd < 0) return SystemError("Cannot open the state file", path);
  const std::string counter_path = path + ".counter";
  const int counter_fd =
      open(counter_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (counter_fd < 0) {
    close(flash_fd);
    return SystemError("Cannot open the counter file", counter_path);
  }
  std::unique_ptr<FileFlash> flash(new FileFlash(flash_fd, counter_fd));
  if (flock(flash_fd, LOCK_EX | LOCK_NB) != 0) {
    return Fail(ErrorCode::kConflict,
                "The state file " + path +
                    " is in use by another simulator; end that one or choose another file.");
  }
  struct stat info {};
  if (fstat(flash_fd, &info) != 0) return SystemError("Cannot read the state file", path);
  FlashImage image;
  if (info.st_size == 0) {
    flash->memory_ = MemoryFlash(image);
    if (!WriteAll(flash_fd, image.bytes.data(), kFlashBytes, 0) || !flash->WriteCounters() ||
        !flash->Map()) {
      return SystemError("Cannot write the state file", path);
    }
    return flash;
  }
  if (static_cast<std::size_t>(info.st_size) != kFlashBytes) {
    return Fail(ErrorCode::kInvalidArgument, "The state file " + path +
                                                 " is not a key's flash: it must be empty or " +
                                                 std::to_string(kFlashBytes) + " bytes long.");
  }
  if (!ReadAll(flash_fd, image.bytes.data(), kFlashBytes))
    return SystemError("Cannot read the state file", path);
  std::array<std::uint8_t, kCounterBytes> raw{};
  if (fstat(counter_fd, &info) != 0)
    return SystemError("Cannot read the counter file", counter_path);
  // A counter file that is missing reads as zero, and the key will see what that means.
  if (info.st_size != 0 && !ReadAll(counter_fd, raw.data(), raw.size())) {
    return Fail(ErrorCode::kIo,
                "The counter file " + counter_path + " is too short; put the whole file back.");
  }
  for (std::size_t i = 0; i < raw.size(); ++i)
    image.counters[i / 8] = image.counters[i / 8] << 8 | raw[i];
  flash->memory_ = MemoryFlash(std::move(image));
  if (!flash->Map()) return SystemError("Cannot map the state file", path);
  return flash;
}

FileFlash::~FileFlash() {
  if (map_ != nullptr) munmap(map_, kFlashBytes);
  close(flash_fd_);
  close(counter_fd_);
}

void FileFlash::Delay() const {
  if (delay_us_ != 0) std::this_thread::sleep_for(std::chrono::microseconds(delay_us_));
}

FlashResult FileFlash::Program(std::uint32_t address,
                               std::span<const std::uint8_t, kFlashWord> word) {
  Delay();
  KEYFERRY_FAILPOINT("key.flash.word");
  const FlashResult result = memory_.Program(address, word);
  if (address + kFlashWord > kFlashBytes) return result;
  std::memcpy(map_ + address, memory_.image().bytes.data() + address, kFlashWord);
  return result;
}

FlashResult FileFlash::ErasePage(std::uint32_t page) {
  Delay();
  KEYFERRY_FAILPOINT("key.flash.erase");
  const FlashResult result = memory_.ErasePage(page);
  if (page >= kPages) return result;
  const std::size_t offset = std::size_t{page} * kPageSize;
  std::memcpy(map_ + offset, memory_.image().bytes.data() + offset, kPageSize);
  return result;
}

bool FileFlash::Map() {
  void* map = mmap(nullptr, kFlashBytes, PROT_READ | PROT_WRITE, MAP_SHARED, flash_fd_, 0);
  if (map == MAP_FAILED) return false;
  map_ = static_cast<std::uint8_t*>(map);
  return true;
}

void FileFlash::Read(std::uint32_t address, std::span<std::uint8_t> out) const {
  memory_.Read(address, out);
}

bool FileFlash::WriteCounters() {
  std::array<std::uint8_t, kCounterBytes> raw;
  for (std::size_t i = 0; i < raw.size(); ++i) {
    raw[i] = static_cast<std::uint8_t>(memory_.image().counters[i / 8] >> (56 - 8 * (i % 8)));
  }
  return WriteAll(counter_fd_, raw.data(), raw.size(), 0);
}

bool FileFlash::Increment(CounterId id) {
  KEYFERRY_FAILPOINT("key.counter.before");
  (void)memory_.Increment(id);
  if (WriteCounters()) {
    KEYFERRY_FAILPOINT("key.counter.after");
    return true;
  }
  --memory_.mutable_image().counters[static_cast<std::size_t>(id)];
  return false;
}

}  // namespace keyferry::sim
