#pragma once

#include "protocol/crypto.h"

// HPKE (RFC 9180) in base mode, suite DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305,
// one message per context.
namespace keyferry::protocol {

struct HpkeKeys {
  Secret<32> shared_secret;
  Secret<32> key;
  Secret<12> base_nonce;
};

// What a sender makes of a fresh ephemeral key: its public half, and what the two keys agree on
// (RFC 9180 section 4.1: enc and dh). For one message; wiped when it goes.
struct HpkeSender {
  X25519Public enc{};
  Secret<32> dh;
};
// False on a low-order public key. A host may fill in an HpkeSender with a faster X25519 instead.
bool MakeHpkeSender(const X25519Private& ephemeral, const X25519Public& recipient,
                    HpkeSender& sender);

// The key schedule, also for vectors and diagnosis. The sender's `enc` is the ephemeral's public
// key. False on a low-order public key.
bool HpkeSenderKeys(const X25519Pair& ephemeral, const X25519Public& recipient, ByteView info,
                    HpkeKeys& keys);
bool HpkeReceiverKeys(const X25519Pair& recipient, const X25519Public& enc, ByteView info,
                      HpkeKeys& keys);

// Seals with a given ephemeral key, which must never be used twice. `ct` is plaintext + 16 bytes.
bool HpkeSeal(const HpkeSender& sender, const X25519Public& recipient, ByteView info, ByteView aad,
              ByteView plaintext, MutableBytes ct);
bool HpkeSeal(const X25519Pair& ephemeral, const X25519Public& recipient, ByteView info,
              ByteView aad, ByteView plaintext, MutableBytes ct);
bool HpkeSeal(const X25519Private& ephemeral, const X25519Public& recipient, ByteView info,
              ByteView aad, ByteView plaintext, X25519Public& enc, MutableBytes ct);
// `plaintext` is ct - 16 bytes; zeroed on failure.
bool HpkeOpen(const X25519Pair& recipient, const X25519Public& enc, ByteView info, ByteView aad,
              ByteView ct, MutableBytes plaintext);
bool HpkeOpen(const X25519Private& recipient, const X25519Public& enc, ByteView info, ByteView aad,
              ByteView ct, MutableBytes plaintext);

}  // namespace keyferry::protocol
