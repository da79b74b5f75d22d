#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "protocol/result.h"
#include "server/core/records.h"

namespace keyferry::server {

// What a browser and a FIDO2 authenticator say (Web Authentication Level 2), taken apart. Nothing
// here is judged: whether challenge, origin, relying party, flags and counter are the right ones is
// for FidoKeys (fido_keys.h).

// Most that is read of each part, in bytes.
inline constexpr std::size_t kMaxClientData = 4096;
inline constexpr std::size_t kMaxAttestationObject = 8192;
inline constexpr std::size_t kMaxAuthenticatorData = 2048;
inline constexpr std::size_t kMaxAssertionSignature = 1024;
inline constexpr std::size_t kMaxCredentialId = 1023;  // as the recommendation has it
inline constexpr std::size_t kMaxUserHandle = 64;

// COSE's numbers of the algorithms that are taken, the preferred one first.
inline constexpr std::int64_t kFidoAlgorithms[] = {-7, -8, -257};  // ES256, EdDSA, RS256

struct FidoClientData {
  std::string type;       // "webauthn.create", "webauthn.get"
  std::string challenge;  // base64url without padding
  std::string origin;
  bool cross_origin = false;
};

struct FidoAuthenticatorData {
  Hash32 relying_party{};  // SHA-256 of its identifier
  bool user_present = false;
  bool user_verified = false;
  std::uint32_t counter = 0;
};

struct FidoCreation {
  FidoClientData client;
  FidoAuthenticatorData authenticator;
  Bytes credential_id;  // 1…kMaxCredentialId
  std::int64_t algorithm = 0;
  Bytes public_key;  // in the verifier's own form
};

struct FidoAssertion {
  FidoClientData client;
  FidoAuthenticatorData authenticator;
};

// Reads and verifies the bytes of both ceremonies. Every byte comes from outside: all are bounded,
// and a structure with anything behind its end is refused. kInvalidArgument: the message is for the
// log. Thread-safe.
class FidoVerifier {
 public:
  virtual ~FidoVerifier() = default;
  // Of a registration. Attestation "none", and "packed" signed by the credential's own key (then
  // that signature is verified); none that would name the maker: none is asked for.
  virtual Result<FidoCreation> ReadCreation(const std::string& relying_party,
                                            std::span<const std::uint8_t> client_data,
                                            std::span<const std::uint8_t> attestation_object) = 0;
  // Of an authentication, whose signature by that key is right.
  struct Signed {
    std::span<const std::uint8_t> client_data, authenticator_data, signature;
  };
  virtual Result<FidoAssertion> ReadAssertion(const std::string& relying_party,
                                              std::int64_t algorithm, const Bytes& public_key,
                                              const Signed& given) = 0;
};

}  // namespace keyferry::server
