#include "server/core/password_history.h"

#include <sodium.h>

#include <array>

#include "server/core/encoding.h"

namespace keyferry::server {

static_assert(kSlowHashSaltSize == crypto_pwhash_argon2id_SALTBYTES);

Result<std::string> SlowHash(const SecureBytes& secret, std::string_view salt, SlowHashCost cost) {
  const auto bytes = FromHex(salt);
  if (!bytes || bytes->size() != kSlowHashSaltSize) {
    return Fail(ErrorCode::kInternal, "The server's record is damaged: its salt is no salt.");
  }
  std::array<std::uint8_t, 32> out{};
  if (sodium_init() < 0 ||
      crypto_pwhash_argon2id(out.data(), out.size(), reinterpret_cast<const char*>(secret.data()),
                             secret.size(), bytes->data(), cost.passes, cost.memory,
                             crypto_pwhash_argon2id_ALG_ARGON2ID13) != 0) {
    return Fail(ErrorCode::kUnavailable,
                "The server has no memory to hash what was typed; try again in a moment.");
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
