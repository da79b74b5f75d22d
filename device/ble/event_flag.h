#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>

namespace keyferry::device {

// A descriptor that is readable while the flag is up, to be waited for beside others. Any thread.
class EventFlag {
 public:
  EventFlag() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  ~EventFlag() {
    if (fd_ >= 0) close(fd_);
  }
  EventFlag(const EventFlag&) = delete;
  EventFlag& operator=(const EventFlag&) = delete;

  void Raise() {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = write(fd_, &one, sizeof one);
  }
  void Lower() {
    std::uint64_t count = 0;
    [[maybe_unused]] const ssize_t n = read(fd_, &count, sizeof count);
  }
  int fd() const { return fd_; }

 private:
  const int fd_;
};

}  // namespace keyferry::device
