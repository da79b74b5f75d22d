#pragma once

#include <cstddef>
#include <cstdint>

#include "protocol/bytes.h"
#include "protocol/limits.h"

// The primitives of suite 1 and of the signatures (PROTOCOL.md section 1). crypto.cc is the only
// file of the product's protocol that names mbedTLS. All functions are reentrant; none keeps a
// pointer. `bool` results are false for bad input or failure of the library (out of memory), and
// outputs are then zero.
namespace keyferry::protocol {

// Where random bytes come from: the operating system on a host, the HAL on a key, fixed bytes in
// tests.
class RandomSource {
 public:
  // Fills all of `out`, or returns false and the caller must stop what it does.
  virtual bool Fill(MutableBytes out) = 0;

 protected:
  ~RandomSource() = default;
};

using Hash = Bytes<kHashSize>;
using Signature = Bytes<kSignatureSize>;
using P256Public = Bytes<kP256PublicSize>;
using P256Private = Secret<kP256PrivateSize>;
using X25519Public = Bytes<kX25519Size>;
using X25519Private = Secret<kX25519Size>;
using Kid = Bytes<kKidSize>;

// SHA-256 (FIPS 180-4), in parts.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256& other);
  Sha256& operator=(const Sha256&) = delete;
  Sha256& Update(ByteView data);
  // Ends it; the object must not be used afterwards.
  Hash Final();

 private:
  alignas(8) unsigned char state_[128];
};
template <typename... Parts>
Hash Sha256Of(const Parts&... parts) {
  Sha256 hash;
  (hash.Update(parts), ...);
  return hash.Final();
}

// HMAC-SHA-256 (RFC 2104), in parts. Like Sha256 it allocates nothing and cannot fail, so that no
// key is ever derived from an error.
class Hmac {
 public:
  explicit Hmac(ByteView key);
  Hmac& Update(ByteView data);
  // Ends it; the object must not be used afterwards.
  void Final(Bytes<kHashSize>& out);

 private:
  Sha256 inner_;
  Sha256 outer_;
};

// HMAC-SHA-1 (RFC 2104) of a key of at most 64 bytes, for one-time codes (RFC 4226), which are made
// of it; for nothing else. False, and nothing written, for a longer key or when the primitive
// fails.
bool HmacSha1(ByteView key, ByteView data, Bytes<20>& out);

Secret<kHashSize> HkdfExtract(ByteView salt, ByteView ikm);      // RFC 5869
bool HkdfExpand(ByteView prk, ByteView info, MutableBytes out);  // RFC 5869, out ≤ 8160 bytes

// A private key with its public one, for those who keep both: deriving the public key again costs
// as much as an agreement.
struct X25519Pair {
  X25519Private priv;
  X25519Public pub{};
};

// X25519 (RFC 7748). The top bit of a public key is ignored and a value of 2^255-19 or more
// reduced.
bool X25519Generate(RandomSource& random, X25519Private& key, X25519Public& pub);
bool X25519DerivePublic(const X25519Private& key, X25519Public& pub);
// False when the shared secret is all zero (low-order point).
bool X25519Agree(const X25519Private& key, const X25519Public& peer, Secret<kX25519Size>& shared);

// ECDSA P-256 with SHA-256: RFC 6979 deterministic, low-s. Callers hash label and message.
bool P256Generate(RandomSource& random, P256Private& key, P256Public& pub);
bool P256DerivePublic(const P256Private& key,
                      P256Public& pub);  // false for a scalar outside 1 … n-1
bool P256IsOnCurve(const P256Public& pub);
bool P256SignHash(const P256Private& key, const Hash& hash, Signature& signature);
// False for r or s out of range, s > n/2, a point off the curve, or a wrong signature.
bool P256VerifyHash(const P256Public& pub, const Hash& hash, const Signature& signature);

// A public key whose signatures are verified. Made from the key alone it is no more than the key.
// After Prepare it holds a table of the key's multiples (some 4 KiB of mbedTLS's heap), and a good
// signature costs half; that pays from the second signature of the same key on. Not thread-safe.
class P256Verifier {
 public:
  P256Verifier() = default;
  P256Verifier(const P256Public& pub) : pub_(pub) {}  // NOLINT: a key is a verifier
  ~P256Verifier();
  P256Verifier(const P256Verifier&) = delete;
  P256Verifier& operator=(const P256Verifier&) = delete;

  // Takes this key instead and makes its table; at once when it is there already. False for a point
  // that is not on the curve.
  bool Prepare(const P256Public& pub);
  bool prepared_for(const P256Public& pub) const { return table_ && pub_ == pub; }
  const P256Public& pub() const { return pub_; }
  // As P256VerifyHash.
  bool Verify(const Hash& hash, const Signature& signature) const;

 private:
  bool VerifyFast(const Hash& hash, const Signature& signature) const;
  void Clear();

  P256Public pub_{};
  bool table_ = false;
  alignas(8) mutable unsigned char group_[512];  // the curve with this key as its generator
};

// First 8 bytes of SHA-256 of the 65-byte point.
Kid KidOf(const P256Public& pub);

// ChaCha20-Poly1305 (RFC 8439), nonce 12 bytes. `out` of Seal is plaintext + 16 bytes; it may begin
// where `plaintext` does.
bool AeadSeal(const Secret<32>& key, const Bytes<12>& nonce, ByteView ad, ByteView plaintext,
              MutableBytes out);
// `out` is sealed.size() - 16 bytes; zeroed when the tag is wrong.
bool AeadOpen(const Secret<32>& key, const Bytes<12>& nonce, ByteView ad, ByteView sealed,
              MutableBytes out);

}  // namespace keyferry::protocol
