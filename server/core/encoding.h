#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/crypto.h"
#include "protocol/secure/secure_bytes.h"

namespace keyferry::server {

// Text forms of bytes. Decoders are strict: one accepted spelling per value.
std::string ToHex(std::span<const std::uint8_t> bytes);  // lower case
std::optional<std::vector<std::uint8_t>> FromHex(std::string_view text);
std::string ToBase64(std::span<const std::uint8_t> bytes);  // RFC 4648 section 4, padded
std::optional<std::vector<std::uint8_t>> FromBase64(std::string_view text);
std::string ToBase64Url(std::span<const std::uint8_t> bytes);  // RFC 4648 section 5, no padding
std::optional<std::vector<std::uint8_t>> FromBase64Url(std::string_view text);
// "ab12 cd34 …": how a fingerprint is shown and compared by a person.
std::string ToFingerprint(std::span<const std::uint8_t> bytes);

std::array<std::uint8_t, 32> Sha256(std::span<const std::uint8_t> bytes);
std::array<std::uint8_t, 32> Sha256(std::string_view text);
// Constant time.
bool SameDigest(const std::array<std::uint8_t, 32>& a, const std::array<std::uint8_t, 32>& b);

// A private key of 32 bytes as the protocol wants it: a copy on the stack that wipes itself.
protocol::P256Private ScalarOf(const SecureBytes& key);

// Well-formed UTF-8: no truncated, overlong or surrogate sequences.
bool IsUtf8(std::string_view text);
// Valid UTF-8 without C0, C1 and DEL control characters.
bool IsPrintableUtf8(std::string_view text);
// For what other machines say about themselves or their troubles: control characters and bad UTF-8
// become '?', and the text is cut at a character boundary.
std::string Presentable(std::string_view text, std::size_t limit);

}  // namespace keyferry::server
