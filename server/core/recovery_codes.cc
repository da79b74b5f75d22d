#include "server/core/recovery_codes.h"

#include <array>

#include "server/core/encoding.h"
#include "server/core/password_history.h"
#include "server/core/totp.h"

namespace keyferry::server {
namespace {

constexpr std::size_t kCodes = 10;
constexpr std::size_t kCodeBytes = 10;    // 80 bits
constexpr std::size_t kCodeSymbols = 16;  // … in base 32
constexpr std::size_t kCodeGroup = 4;
// The least that OWASP's Password Storage Cheat Sheet names. A salt without the mark is of codes
// that were hashed as passwords are.
constexpr SlowHashCost kCodeCost = {2, 19u << 20};
constexpr std::string_view kCodeMark = "2:";

// "ABCDEFGH…" → "abcd-efgh-…", as it is shown.
SecureBytes ShownCode(const SecureBytes& code) {
  SecureBytes out(code.size() + code.size() / kCodeGroup - 1);
  std::size_t at = 0;
  for (std::size_t i = 0; i < code.size(); ++i) {
    if (i != 0 && i % kCodeGroup == 0) out.data()[at++] = '-';
    const std::uint8_t byte = code.data()[i];
    out.data()[at++] = static_cast<std::uint8_t>(byte >= 'A' && byte <= 'Z' ? byte + 32 : byte);
  }
  return out;
}

}  // namespace

std::optional<SecureBytes> ParseRecoveryCode(const SecureBytes& typed) {
  SecureBytes out(kCodeSymbols);
  std::size_t size = 0;
  for (const std::uint8_t byte : typed.span()) {
    if (byte == '-') continue;
    const auto upper = static_cast<std::uint8_t>(byte >= 'a' && byte <= 'z' ? byte - 32 : byte);
    const bool symbol = (upper >= 'A' && upper <= 'Z') || (upper >= '2' && upper <= '7');
    if (!symbol || size == kCodeSymbols) return std::nullopt;
    out.data()[size++] = upper;
  }
  if (size != kCodeSymbols) return std::nullopt;
  return out;
}

Result<std::string> RecoveryHash(const SecureBytes& code, std::string_view salt) {
  if (!salt.starts_with(kCodeMark)) return SlowHash(code, salt, kHistoryCost);
  return SlowHash(code, salt.substr(kCodeMark.size()), kCodeCost);
}

Result<RecoverySet> MakeRecoverySet(protocol::RandomSource& random) {
  const auto no_random = [] {
    return Fail(ErrorCode::kInternal, "The system gave no random numbers.");
  };
  std::array<std::uint8_t, kSlowHashSaltSize> salt{};
  if (!random.Fill(salt)) return no_random();
  RecoverySet set;
  set.salt = std::string(kCodeMark) + ToHex(salt);
  for (std::size_t i = 0; i < kCodes; ++i) {
    SecureBytes bytes(kCodeBytes);
    if (!random.Fill(bytes.span())) return no_random();
    const SecureBytes code = ToBase32(bytes.span());
    auto hash = RecoveryHash(code, set.salt);
    if (!hash) return tl::unexpected(std::move(hash.error()));
    set.hashes.push_back(*std::move(hash));
    set.shown.push_back(ShownCode(code));
  }
  return set;
}

}  // namespace keyferry::server
