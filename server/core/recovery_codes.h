#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/crypto.h"
#include "protocol/result.h"
#include "protocol/secure/secure_bytes.h"

namespace keyferry::server {

// Recovery codes of the second factor: ten of 80 random bits, each of which works once. They are
// kept as argon2id hashes, cheaper than those of passwords that people think up: nobody guesses
// 80 bits, and hashing them at all is what ASVS 5.0 (6.5.2) asks of secrets of fewer than 112.
struct RecoverySet {
  std::string salt;                 // as FactorRecord::recovery_salt
  std::vector<std::string> hashes;  // of as many codes as there are in `shown`
  std::vector<SecureBytes> shown;   // "abcd-efgh-ijkl-mnop"
};

// kInternal without random numbers, kUnavailable without memory.
Result<RecoverySet> MakeRecoverySet(protocol::RandomSource& random);

// What somebody typed, as it is hashed: sixteen symbols of base 32, upper case. Hyphens do not
// count; anything else is no code.
std::optional<SecureBytes> ParseRecoveryCode(const SecureBytes& typed);

// The hash under which a code is kept. A salt says at which cost its codes were hashed.
Result<std::string> RecoveryHash(const SecureBytes& code, std::string_view salt);

}  // namespace keyferry::server
