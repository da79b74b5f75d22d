#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "protocol/result.h"
#include "server/core/fido.h"

namespace keyferry::server {

struct ParsedCredential {
  std::span<const std::uint8_t> id;
  std::int64_t algorithm = 0;  // of the COSE key, one of kFidoAlgorithms
};

// Authenticator data (Web Authentication Level 2, section 6.1) as it lies in memory; the spans
// point into the bytes that were read.
struct ParsedAuthenticatorData {
  FidoAuthenticatorData said;
  std::optional<ParsedCredential> credential;  // of a registration
};

// kInvalidArgument: too short, too long, a length that does not fit, bytes behind the end, an
// algorithm that is not taken.
Result<ParsedAuthenticatorData> ParseAuthenticatorData(std::span<const std::uint8_t> bytes);

// The attestation object of a registration (section 6.5.4).
struct ParsedAttestation {
  std::span<const std::uint8_t> authenticator_data;
  std::span<const std::uint8_t> self_signature;  // empty: attestation "none"
  std::int64_t algorithm = 0;                    // of the signature
};
Result<ParsedAttestation> ParseAttestationObject(std::span<const std::uint8_t> bytes);

}  // namespace keyferry::server
