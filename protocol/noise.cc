#include "protocol/noise.h"

namespace keyferry::protocol {
namespace {

constexpr char kName[] = "Noise_XX_25519_ChaChaPoly_SHA256";  // 32 bytes: used as h without hashing

// Noise section 12.3: 32 zero bits and the little-endian counter.
Bytes<12> NonceOf(std::uint64_t counter) {
  Bytes<12> nonce{};
  for (std::size_t i = 0; i < 8; ++i) nonce[4 + i] = static_cast<std::uint8_t>(counter >> (8 * i));
  return nonce;
}

// Noise section 4.3 HKDF with two outputs.
void Hkdf2(const Secret<32>& ck, ByteView ikm, Secret<32>& first, Secret<32>& second) {
  const Secret<32> prk = HkdfExtract(ck.view(), ikm);
  Secret<64> out;
  HkdfExpand(prk.view(), {}, out.span());
  std::memcpy(first.bytes.data(), out.bytes.data(), 32);
  std::memcpy(second.bytes.data(), out.bytes.data() + 32, 32);
}

// A public key that cannot be derived stays zero: the other side refuses it.
X25519Pair PairOf(const X25519Private& priv) {
  X25519Pair pair{priv, {}};
  X25519DerivePublic(priv, pair.pub);
  return pair;
}

}  // namespace

Bytes<74> HopPrologue(Transport transport, const Bytes<kInfoSize>& info) {
  Bytes<74> out{};
  Writer(out)
      .Put(Label("keyferry/hop/v1"))
      .U8(static_cast<std::uint8_t>(transport))
      .U8(1)
      .Put(info);
  return out;
}

bool CipherState::Seal(std::uint8_t ad, ByteView plaintext, MutableBytes out) {
  return nonce_ != UINT64_MAX && AeadSeal(key_, NonceOf(nonce_++), {&ad, 1}, plaintext, out);
}

bool CipherState::Open(std::uint8_t ad, ByteView sealed, MutableBytes out) {
  return nonce_ != UINT64_MAX && AeadOpen(key_, NonceOf(nonce_++), {&ad, 1}, sealed, out);
}

namespace noise_internal {

Symmetric::Symmetric(ByteView prologue) {
  std::memcpy(h_.data(), kName, 32);
  ck_ = Secret<32>(h_);
  MixHash(prologue);
}

void Symmetric::MixHash(ByteView data) { h_ = Sha256Of(h_, data); }

void Symmetric::MixKey(const Secret<32>& dh) {
  Secret<32> next;
  Hkdf2(ck_, dh.view(), next, k_);
  ck_ = next;
  n_ = 0;
  has_key_ = true;
}

bool Symmetric::EncryptAndHash(ByteView plaintext, MutableBytes out) {
  if (!has_key_ || !AeadSeal(k_, NonceOf(n_++), h_, plaintext, out)) return false;
  MixHash(out);
  return true;
}

bool Symmetric::DecryptAndHash(ByteView sealed, MutableBytes out) {
  if (!has_key_ || !AeadOpen(k_, NonceOf(n_++), h_, sealed, out)) return false;
  MixHash(sealed);
  return true;
}

void Symmetric::Split(CipherState& first, CipherState& second) const {
  Secret<32> a;
  Secret<32> b;
  Hkdf2(ck_, {}, a, b);
  first = CipherState(a);
  second = CipherState(b);
}

}  // namespace noise_internal

NoiseInitiator::NoiseInitiator(const X25519Pair& own_static, const X25519Pair& ephemeral,
                               ByteView prologue)
    : symmetric_(prologue), static_(own_static), ephemeral_(ephemeral) {}

NoiseInitiator::NoiseInitiator(const X25519Private& own_static, const X25519Private& ephemeral,
                               ByteView prologue)
    : NoiseInitiator(PairOf(own_static), PairOf(ephemeral), prologue) {}

bool NoiseInitiator::WriteHs1(Bytes<kHs1Size>& out) {
  out = ephemeral_.pub;
  symmetric_.MixHash(out);
  symmetric_.MixHash({});  // empty payload, no key yet
  return true;
}

bool NoiseInitiator::ReadHs2(ByteView hs2) {
  if (hs2.size() != kHs2Size) return false;
  std::memcpy(peer_ephemeral_.data(), hs2.data(), 32);
  symmetric_.MixHash(peer_ephemeral_);
  Secret<32> dh;
  if (!X25519Agree(ephemeral_.priv, peer_ephemeral_, dh)) return false;
  symmetric_.MixKey(dh);
  if (!symmetric_.DecryptAndHash(hs2.subspan(32, 48), peer_static_)) return false;
  if (!X25519Agree(ephemeral_.priv, peer_static_, dh)) return false;
  symmetric_.MixKey(dh);
  return symmetric_.DecryptAndHash(hs2.subspan(80, 16), {});
}

bool NoiseInitiator::WriteHs3(const Bytes<kHostCertSize>& host_cert, Bytes<kHs3Size>& out,
                              HopSession& session) {
  Secret<32> dh;
  const MutableBytes message(out);
  if (!symmetric_.EncryptAndHash(static_.pub, message.first(48))) return false;
  if (!X25519Agree(static_.priv, peer_ephemeral_, dh)) return false;
  symmetric_.MixKey(dh);
  if (!symmetric_.EncryptAndHash(host_cert, message.subspan(48))) return false;
  symmetric_.Split(session.send, session.receive);
  session.handshake_hash = symmetric_.hash();
  return true;
}

NoiseResponder::NoiseResponder(const X25519Pair& own_static, const X25519Pair& ephemeral,
                               ByteView prologue)
    : symmetric_(prologue), static_(own_static), ephemeral_(ephemeral) {}

NoiseResponder::NoiseResponder(const X25519Private& own_static, const X25519Private& ephemeral,
                               ByteView prologue)
    : NoiseResponder(PairOf(own_static), PairOf(ephemeral), prologue) {}

bool NoiseResponder::ReadHs1(ByteView hs1) {
  if (hs1.size() != kHs1Size) return false;
  std::memcpy(peer_ephemeral_.data(), hs1.data(), 32);
  symmetric_.MixHash(peer_ephemeral_);
  symmetric_.MixHash({});
  return true;
}

bool NoiseResponder::WriteHs2(Bytes<kHs2Size>& out) {
  const MutableBytes message(out);
  Secret<32> dh;
  std::memcpy(message.data(), ephemeral_.pub.data(), 32);
  symmetric_.MixHash(ephemeral_.pub);
  if (!X25519Agree(ephemeral_.priv, peer_ephemeral_, dh)) return false;
  symmetric_.MixKey(dh);
  if (!symmetric_.EncryptAndHash(static_.pub, message.subspan(32, 48))) return false;
  if (!X25519Agree(static_.priv, peer_ephemeral_, dh)) return false;
  symmetric_.MixKey(dh);
  return symmetric_.EncryptAndHash({}, message.subspan(80, 16));
}

bool NoiseResponder::ReadHs3(ByteView hs3, Bytes<kHostCertSize>& host_cert, HopSession& session) {
  if (hs3.size() != kHs3Size || !symmetric_.DecryptAndHash(hs3.first(48), peer_static_))
    return false;
  Secret<32> dh;
  if (!X25519Agree(ephemeral_.priv, peer_static_, dh)) return false;
  symmetric_.MixKey(dh);
  if (!symmetric_.DecryptAndHash(hs3.subspan(48), host_cert)) return false;
  symmetric_.Split(session.receive, session.send);
  session.handshake_hash = symmetric_.hash();
  return true;
}

}  // namespace keyferry::protocol
