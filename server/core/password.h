#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "protocol/crypto.h"
#include "protocol/result.h"
#include "protocol/secure/secure_bytes.h"

namespace keyferry::server {

inline constexpr std::size_t kMinPasswordLength = 12;
inline constexpr std::size_t kMaxPasswordLength = 128;

// A password of `length` (12…128) symbols, drawn evenly from those that have an upper-case letter,
// a lower-case letter, a digit and a sign each, without symbols that look alike (0O, 1lI). 24
// symbols carry about 145 bits. Lives in locked memory only.
Result<SecureBytes> GeneratePassword(std::size_t length, protocol::RandomSource& random);

// Whether a typed password can travel: UTF-8, 1…256 bytes, no control characters. The message says
// what is wrong without saying anything of the password.
Result<void> CheckTypedPassword(const SecureBytes& password);

// Activation code: 16 symbols of Crockford's base32 (80 bits) in groups of four with hyphens, 19
// characters in all. The key compares exactly these, hyphens included.
Result<std::string> GenerateActivationCode(protocol::RandomSource& random);

}  // namespace keyferry::server
