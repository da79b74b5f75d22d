#include "server/core/totp.h"

#include <array>

#include "protocol/crypto.h"

namespace keyferry::server {
namespace {

constexpr std::size_t kTotpDigits = 6;
constexpr std::uint32_t kTotpCodes = 1'000'000;
constexpr char kBase32[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

}  // namespace

std::optional<std::uint32_t> ParseTotpCode(std::string_view text) {
  if (text.size() != kTotpDigits) return std::nullopt;
  std::uint32_t code = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    code = code * 10 + static_cast<std::uint32_t>(c - '0');
  }
  return code;
}

std::optional<std::uint32_t> TotpCode(std::span<const std::uint8_t> secret, std::int64_t step) {
  if (secret.size() != kTotpSecretSize || step < 0) return std::nullopt;
  std::array<std::uint8_t, 8> counter{};
  for (std::size_t i = 0; i < counter.size(); ++i) {
    counter[counter.size() - 1 - i] =
        static_cast<std::uint8_t>(static_cast<std::uint64_t>(step) >> (8 * i));
  }
  std::array<std::uint8_t, 20> mac{};
  if (!protocol::HmacSha1(secret, counter, mac)) return std::nullopt;
  // RFC 4226 section 5.3, dynamic truncation.
  const std::size_t at = mac.back() & 0x0F;
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i) value = value << 8 | mac[at + i];
  Wipe(mac.data(), mac.size());
  return (value & 0x7FFF'FFFF) % kTotpCodes;
}

std::optional<std::int64_t> FindTotpStep(std::span<const std::uint8_t> secret, std::uint32_t code,
                                         std::int64_t now, std::int64_t after) {
  std::optional<std::int64_t> found;
  const std::int64_t middle = now / kTotpStepSeconds;
  for (std::int64_t step = middle - kTotpWindow; step <= middle + kTotpWindow; ++step) {
    const auto expected = TotpCode(secret, step);
    const bool fits = expected && *expected == code && step > after;
    if (fits && !found) found = step;
  }
  return found;
}

SecureBytes ToBase32(std::span<const std::uint8_t> bytes) {
  SecureBytes out((bytes.size() * 8 + 4) / 5);
  std::uint32_t bits = 0;
  unsigned held = 0;
  std::size_t at = 0;
  for (const std::uint8_t byte : bytes) {
    bits = (bits << 8 | byte) & 0xFFFF;
    held += 8;
    while (held >= 5) {
      held -= 5;
      out.data()[at++] = static_cast<std::uint8_t>(kBase32[bits >> held & 31]);
    }
  }
  if (held > 0) out.data()[at] = static_cast<std::uint8_t>(kBase32[bits << (5 - held) & 31]);
  return out;
}

}  // namespace keyferry::server
