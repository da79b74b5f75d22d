#include "protocol/secure/secure_bytes.h"

#include <cstring>
#include <utility>

#include "protocol/crypto.h"
#include "protocol/secure/locked_memory.h"

namespace keyferry {

SecureBytes::SecureBytes(std::size_t size) {
  if (size == 0) return;
  data_ = static_cast<std::uint8_t*>(AllocateLocked(size));
  std::memset(data_, 0, size);
  size_ = size;
}

SecureBytes SecureBytes::CopyOf(std::span<const std::uint8_t> data) {
  SecureBytes out(data.size());
  if (!data.empty()) std::memcpy(out.data_, data.data(), data.size());
  return out;
}

SecureBytes SecureBytes::CopyOf(std::string_view text) {
  return CopyOf(std::span<const std::uint8_t>(reinterpret_cast<const std::uint8_t*>(text.data()),
                                              text.size()));
}

SecureBytes::~SecureBytes() { Clear(); }

SecureBytes::SecureBytes(SecureBytes&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

SecureBytes& SecureBytes::operator=(SecureBytes&& other) noexcept {
  if (this != &other) {
    Clear();
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

SecureBytes SecureBytes::Clone() const { return CopyOf(span()); }

void SecureBytes::Truncate(std::size_t size) {
  if (size >= size_) return;
  Wipe(data_ + size, size_ - size);
  size_ = size;
}

void SecureBytes::Clear() {
  if (data_ != nullptr) FreeLocked(data_);
  data_ = nullptr;
  size_ = 0;
}

bool SecureBytes::Equals(const SecureBytes& other) const {
  return protocol::ConstantTimeEquals(span(), other.span());
}

}  // namespace keyferry
