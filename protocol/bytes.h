#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace keyferry::protocol {

using ByteView = std::span<const std::uint8_t>;
using MutableBytes = std::span<std::uint8_t>;
template <std::size_t N>
using Bytes = std::array<std::uint8_t, N>;

// Reads big-endian fields from a span. Every read checks the length first; the first one that does
// not fit makes the reader fail for good and yields zeros, so a parser may read all fields and ask
// ok() once.
class Reader {
 public:
  explicit Reader(ByteView data) : data_(data) {}

  bool ok() const { return ok_; }
  std::size_t remaining() const { return data_.size() - offset_; }
  bool AtEnd() const { return ok_ && remaining() == 0; }

  std::uint8_t U8() { return static_cast<std::uint8_t>(Number(1)); }
  std::uint16_t U16() { return static_cast<std::uint16_t>(Number(2)); }
  std::uint32_t U32() { return static_cast<std::uint32_t>(Number(4)); }
  std::uint64_t U64() { return Number(8); }

  // A view into the source; empty when it does not fit.
  ByteView Take(std::size_t size) {
    if (!ok_ || remaining() < size) {
      ok_ = false;
      return {};
    }
    const ByteView out = data_.subspan(offset_, size);
    offset_ += size;
    return out;
  }
  template <std::size_t N>
  Bytes<N> Array() {
    Bytes<N> out{};
    const ByteView view = Take(N);
    if (view.size() == N) std::memcpy(out.data(), view.data(), N);
    return out;
  }
  // Reads `size` bytes that have to be zero; fails otherwise.
  void Zero(std::size_t size) {
    for (const std::uint8_t byte : Take(size)) {
      if (byte != 0) ok_ = false;
    }
  }

 private:
  std::uint64_t Number(std::size_t size) {
    std::uint64_t value = 0;
    for (const std::uint8_t byte : Take(size)) value = value << 8 | byte;
    return value;
  }

  ByteView data_;
  std::size_t offset_ = 0;
  bool ok_ = true;
};

// Writes big-endian fields into a caller's span. Writing past the end writes nothing and makes ok()
// false.
class Writer {
 public:
  explicit Writer(MutableBytes out) : out_(out) {}

  bool ok() const { return ok_; }
  std::size_t size() const { return offset_; }

  Writer& U8(std::uint8_t value) { return Number(value, 1); }
  Writer& U16(std::uint16_t value) { return Number(value, 2); }
  Writer& U32(std::uint32_t value) { return Number(value, 4); }
  Writer& U64(std::uint64_t value) { return Number(value, 8); }
  Writer& Put(ByteView data) {
    if (!Fits(data.size())) return *this;
    if (!data.empty()) std::memcpy(out_.data() + offset_, data.data(), data.size());
    offset_ += data.size();
    return *this;
  }
  Writer& Zero(std::size_t size) {
    if (!Fits(size)) return *this;
    if (size != 0) std::memset(out_.data() + offset_, 0, size);
    offset_ += size;
    return *this;
  }

 private:
  bool Fits(std::size_t size) {
    if (!ok_ || out_.size() - offset_ < size) ok_ = false;
    return ok_;
  }
  Writer& Number(std::uint64_t value, std::size_t size) {
    if (!Fits(size)) return *this;
    for (std::size_t i = 0; i < size; ++i) {
      out_[offset_ + i] = static_cast<std::uint8_t>(value >> (8 * (size - 1 - i)));
    }
    offset_ += size;
    return *this;
  }

  MutableBytes out_;
  std::size_t offset_ = 0;
  bool ok_ = true;
};

// The bytes of a label such as "keyferry/job/v1\0": pass a literal, the closing NUL is included.
template <std::size_t N>
ByteView Label(const char (&text)[N]) {
  return {reinterpret_cast<const std::uint8_t*>(text), N};
}

inline ByteView AsBytes(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

// Constant time in the common length; false when the lengths differ.
bool ConstantTimeEquals(ByteView a, ByteView b);
bool IsAllZero(ByteView data);  // constant time

// Overwrites with zeros in a way that the compiler keeps.
void Wipe(MutableBytes data);

// N secret bytes, wiped when they go. Copies are possible (each one wipes itself).
template <std::size_t N>
struct Secret {
  Bytes<N> bytes{};

  Secret() = default;
  explicit Secret(const Bytes<N>& value) : bytes(value) {}
  Secret(const Secret&) = default;
  Secret& operator=(const Secret&) = default;
  ~Secret() { protocol::Wipe(bytes); }

  ByteView view() const { return bytes; }
  MutableBytes span() { return bytes; }
};

}  // namespace keyferry::protocol
