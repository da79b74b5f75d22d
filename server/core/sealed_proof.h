#pragma once

#include <cstdint>
#include <span>

#include "protocol/result.h"
#include "protocol/secure/secure_bytes.h"
#include "server/core/factor_store.h"
#include "server/core/services.h"

namespace keyferry::server {

// What people prove with, as the database holds it: nonce ‖ ciphertext ‖ tag
// (XChaCha20-Poly1305-IETF) under a key that is derived from the issuer's private key, which is in
// a file of its own. `bound_to` is authenticated: a row that is copied to another place does not
// open.
Result<Bytes> SealProof(const CorePorts& ports, std::span<const std::uint8_t> bound_to,
                        std::span<const std::uint8_t> secret);
// `size`: of what was sealed. `otherwise`: the sentence when it does not open.
Result<SecureBytes> OpenProof(const CorePorts& ports, std::span<const std::uint8_t> bound_to,
                              const Bytes& sealed, std::size_t size, const char* otherwise);

// The secret of the person's authenticator app; FactorRecord::app is not 0, or it is a proposal.
Result<SecureBytes> OpenAppSecret(const CorePorts& ports, const FactorRecord& factor);

}  // namespace keyferry::server
