#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace keyferry::server {

// Reads CBOR (RFC 8949) as FIDO2 writes it: integers, byte and text strings, arrays, maps and
// simple values, all of definite length; no tags, no floating point. It owns nothing, believes no
// length before it has looked, and after the first mistake every call fails.
class CborReader {
 public:
  explicit CborReader(std::span<const std::uint8_t> bytes) : rest_(bytes) {}

  std::optional<std::size_t> Map();  // number of pairs that follow
  std::optional<std::string_view> Text();
  std::optional<std::span<const std::uint8_t>> Bytes();
  std::optional<std::int64_t> Integer();
  // Passes over one item, at most kMaxDepth deep.
  bool Skip();

  bool AtEnd() const { return good_ && rest_.empty(); }
  std::span<const std::uint8_t> rest() const { return rest_; }
  static constexpr int kMaxDepth = 4;  // CTAP 2.1 section 8

 private:
  struct Head {
    unsigned major = 0;
    std::uint64_t value = 0;
  };
  std::optional<Head> ReadHead();
  std::optional<Head> ReadHead(unsigned major);
  std::optional<std::span<const std::uint8_t>> Take(std::uint64_t size);
  bool Skip(int depth);
  void Break();

  std::span<const std::uint8_t> rest_;
  bool good_ = true;
};

}  // namespace keyferry::server
