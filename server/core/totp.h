#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "protocol/secure/secure_bytes.h"

namespace keyferry::server {

// Time-based one-time codes (RFC 6238) as authenticator apps make them: HMAC-SHA-1, steps of 30 s
// since 1970, six digits. Pure; the caller keeps which step was used last.
inline constexpr std::size_t kTotpSecretSize = 20;  // 160 bits (RFC 4226 section 4, R6)
inline constexpr std::int64_t kTotpStepSeconds = 30;
inline constexpr std::int64_t kTotpWindow = 1;  // steps that a clock may be off, either way

// Exactly six ASCII digits; anything else (blanks, signs, other digits of Unicode) is no code.
std::optional<std::uint32_t> ParseTotpCode(std::string_view text);

// The code of one step; nothing for a step before 1970 or a secret of another size.
std::optional<std::uint32_t> TotpCode(std::span<const std::uint8_t> secret, std::int64_t step);

// The step around `now` (Unix seconds) whose code this is, if it is later than `after`. Looks at
// every step of the window, so that its time does not tell which one fits.
std::optional<std::int64_t> FindTotpStep(std::span<const std::uint8_t> secret, std::uint32_t code,
                                         std::int64_t now, std::int64_t after);

// RFC 4648 base 32 without padding, upper case, for 1…64 bytes.
SecureBytes ToBase32(std::span<const std::uint8_t> bytes);

}  // namespace keyferry::server
