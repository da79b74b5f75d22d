#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace keyferry::daemon {

using Bytes = std::vector<std::uint8_t>;

// device_id, job_id, workstation_id, enrolment_id: 16 bytes, written as 32 lower-case hex digits.
using Id = std::array<std::uint8_t, 16>;

std::string Hex(std::span<const std::uint8_t> bytes);
// Exactly 32 lower-case hex digits, else nothing.
std::optional<Id> ParseId(std::string_view hex);

// RFC 4648 section 4, padded. Decode accepts the canonical form only (no white space, no missing or
// surplus padding, no stray bits) and at most `max_size` bytes. Not for secrets: std::string and
// vector do not wipe.
std::string Base64(std::span<const std::uint8_t> bytes);
std::optional<Bytes> DecodeBase64(std::string_view text, std::size_t max_size);
// The same for a field of exactly N bytes.
template <std::size_t N>
std::optional<std::array<std::uint8_t, N>> DecodeBase64Exactly(std::string_view text) {
  const auto bytes = DecodeBase64(text, N);
  if (!bytes || bytes->size() != N) return std::nullopt;
  std::array<std::uint8_t, N> out;
  std::copy(bytes->begin(), bytes->end(), out.begin());
  return out;
}

// `text` fit for one log line or a terminal: control characters, DEL, invalid UTF-8 and
// bidirectional or line separators become '?', at most `max` bytes.
std::string Printable(std::string_view text, std::size_t max = 200);

}  // namespace keyferry::daemon
