#pragma once

#include <string.h>
#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <span>

namespace keyferry::daemon::login {

// SIZE bytes on the caller's stack, kept out of swap where the system allows it and wiped at the
// end. For the PAM module and the command line, which live in other people's processes or for a
// moment only and so link no secure heap; everything else uses SecureBytes. Cannot be copied.
template <std::size_t SIZE>
class WipedBuffer {
 public:
  WipedBuffer() { locked_ = mlock(bytes_, SIZE) == 0; }
  ~WipedBuffer() {
    Wipe();
    if (locked_) munlock(bytes_, SIZE);
  }
  WipedBuffer(const WipedBuffer&) = delete;
  WipedBuffer& operator=(const WipedBuffer&) = delete;

  void Wipe() { explicit_bzero(bytes_, SIZE); }
  std::uint8_t* data() { return bytes_; }
  std::span<std::uint8_t> span() { return {bytes_, SIZE}; }
  std::span<const std::uint8_t> first(std::size_t size) const { return {bytes_, size}; }
  static constexpr std::size_t size() { return SIZE; }

 private:
  std::uint8_t bytes_[SIZE] = {};
  bool locked_ = false;
};

}  // namespace keyferry::daemon::login
