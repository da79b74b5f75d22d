#pragma once

#include "protocol/crypto.h"

namespace keyferry::protocol {

// How a login agent proves to the server that it holds the private half of the hop key that it
// wants a LOGIN certificate for (docs/workstation-api.md section 2). The server's challenge is an
// X25519 public key; the proof is a MAC under what the two keys agree on:
//   prk   = HKDF-Extract("keyferry/login-proof/v1\0", X25519(own, peer))
//   proof = HMAC(prk, workstation_id(16) || login_noise_pub(32) || challenge(32))
// The agent passes its private key and the challenge, the server the challenge's private key and
// `login_noise_pub`: both get the same 32 bytes. The label keeps the proof apart from everything
// that the hop key is used for in a handshake.
struct LoginProofSubject {
  Bytes<16> workstation{};
  X25519Public login_noise_pub{};
  X25519Public challenge{};
};
// False for a peer of low order.
bool LoginProof(const X25519Private& own, const X25519Public& peer,
                const LoginProofSubject& subject, Hash& proof);

}  // namespace keyferry::protocol
