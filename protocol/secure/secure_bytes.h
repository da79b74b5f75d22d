#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace keyferry {

// A secret of fixed capacity in its own locked pages (locked_memory.h: guard pages, never swapped,
// left out of core dumps, wiped on destruction). It cannot be copied, printed or compared by
// accident; comparisons go through Equals (constant time in the length of the shorter operand's
// capacity). Not thread-safe; move it to hand it over. A moved-from object is empty.
class SecureBytes {
 public:
  SecureBytes() = default;
  // `size` zero bytes. Throws std::bad_alloc when locked memory is used up (RLIMIT_MEMLOCK).
  explicit SecureBytes(std::size_t size);
  // Copies `data` in. The caller still owns, and wipes, the source.
  static SecureBytes CopyOf(std::span<const std::uint8_t> data);
  static SecureBytes CopyOf(std::string_view text);
  ~SecureBytes();

  SecureBytes(SecureBytes&& other) noexcept;
  SecureBytes& operator=(SecureBytes&& other) noexcept;
  SecureBytes(const SecureBytes&) = delete;
  SecureBytes& operator=(const SecureBytes&) = delete;

  // A deliberate second copy, for a hand-over that needs one.
  SecureBytes Clone() const;

  std::uint8_t* data() { return data_; }
  const std::uint8_t* data() const { return data_; }
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  std::span<std::uint8_t> span() { return {data_, size_}; }
  std::span<const std::uint8_t> span() const { return {data_, size_}; }
  // The bytes as text, for a C interface that takes pointer and length. The view dies with the
  // object.
  std::string_view view() const { return {reinterpret_cast<const char*>(data_), size_}; }

  // Shortens to `size` bytes (never grows) and wipes the rest.
  void Truncate(std::size_t size);
  // Wipes and frees at once.
  void Clear();
  bool Equals(const SecureBytes& other) const;

 private:
  std::uint8_t* data_ = nullptr;
  std::size_t size_ = 0;
};

// Wipes memory that is not a SecureBytes (stack buffers, std::string storage) so that the compiler
// keeps it.
void Wipe(void* data, std::size_t size);

// Process-wide protection, called first in main() of every program that meets a secret: no core
// dumps (RLIMIT_CORE 0, PR_SET_DUMPABLE 0), no new privileges, umask 077; on Windows what
// system_windows.cc says. Copies that libraries make on the heap are wiped by wiping_heap.cc, which
// such a program links.
void HardenProcess();

}  // namespace keyferry
