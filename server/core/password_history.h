#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "protocol/result.h"
#include "protocol/secure/secure_bytes.h"

namespace keyferry::server {

// What one computation of argon2id (RFC 9106) costs.
struct SlowHashCost {
  unsigned long long passes;
  std::size_t memory;  // bytes
};
inline constexpr std::size_t kSlowHashSaltSize = 16;

// argon2id of 32 bytes, as hex. `salt` is hex of kSlowHashSaltSize bytes, else kInternal;
// kUnavailable when there is no memory for it.
Result<std::string> SlowHash(const SecureBytes& secret, std::string_view salt, SlowHashCost cost);

// The server's own password history, for directories that do not hold resets to theirs: argon2id of
// every password that somebody typed. Generated ones are left out: with 12 or more symbols drawn
// anew each time (145 bits by default) they neither repeat nor are known to anybody who could type
// them. All entries of one account share one random salt, so that one computation (64 MiB, some
// 0.1 s) compares with all of them; entries of different accounts cannot be compared.
inline constexpr SlowHashCost kHistoryCost = {3, 64u << 20};

// UTF-16 units of UTF-8 text: the way Active Directory counts characters.
std::size_t Utf16Length(const SecureBytes& text);

}  // namespace keyferry::server
