#include "server/core/password_history.h"

#include <sodium.h>

#include <array>

#include "server/core/encoding.h"

namespace keyferry::server {
namespace {

constexpr unsigned long long kPasses = 3;
constexpr std::size_t kMemory = 64u << 20;  // bytes
static_assert(kHistorySaltSize == crypto_pwhash_argon2id_SALTBYTES);

}  // namespace

Result<std::string> HistoryHash(const SecureBytes& password, std::string_view salt) {
  const auto bytes = FromHex(salt);
  if (!bytes || bytes->size() != kHistorySaltSize) {
    return Fail(ErrorCode::kInternal, "The password history is damaged.");
  }
  std::array<std::uint8_t, 32> out{};
  if (sodium_init() < 0 ||
      crypto_pwhash_argon2id(out.data(), out.size(), reinterpret_cast<const char*>(password.data()),
                             password.size(), bytes->data(), kPasses, kMemory,
                             crypto_pwhash_argon2id_ALG_ARGON2ID13) != 0) {
    return Fail(ErrorCode::kUnavailable,
                "The server has no memory to compare the password with former ones; try again.");
  }
  return ToHex(out);
}

std::size_t Utf16Length(const SecureBytes& text) {
  std::size_t units = 0;
  for (const std::uint8_t byte : text.span()) {
    if ((byte & 0xC0) != 0x80) units += byte >= 0xF0 ? 2 : 1;
  }
  return units;
}

}  // namespace keyferry::server
