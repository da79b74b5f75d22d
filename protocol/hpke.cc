#include "protocol/hpke.h"

namespace keyferry::protocol {
namespace {

// RFC 9180 section 4.1: suite_id of the KEM, and section 5.1: of the whole suite (KEM 0x0020, KDF
// 0x0001, AEAD 0x0003).
constexpr Bytes<5> kKemSuite{'K', 'E', 'M', 0x00, 0x20};
constexpr Bytes<10> kHpkeSuite{'H', 'P', 'K', 'E', 0x00, 0x20, 0x00, 0x01, 0x00, 0x03};
constexpr char kVersion[] = "HPKE-v1";

template <std::size_t N>
ByteView Text(const char (&text)[N]) {
  return {reinterpret_cast<const std::uint8_t*>(text), N - 1};
}

// LabeledExtract and LabeledExpand of RFC 9180 section 4.
Secret<32> LabeledExtract(ByteView suite, ByteView salt, ByteView label, ByteView ikm) {
  Secret<32> prk;
  Hmac(salt).Update(Text(kVersion)).Update(suite).Update(label).Update(ikm).Final(prk.bytes);
  return prk;
}

// `info` is at most 65 bytes here.
bool LabeledExpand(ByteView suite, const Secret<32>& prk, ByteView label, ByteView info,
                   MutableBytes out) {
  Bytes<256> buffer;
  Writer writer(buffer);
  writer.U16(static_cast<std::uint16_t>(out.size()))
      .Put(Text(kVersion))
      .Put(suite)
      .Put(label)
      .Put(info);
  return writer.ok() && HkdfExpand(prk.view(), ByteView(buffer).first(writer.size()), out);
}

bool KeySchedule(const Secret<32>& shared, ByteView info, HpkeKeys& keys) {
  keys.shared_secret = shared;
  const Secret<32> psk_id_hash = LabeledExtract(kHpkeSuite, {}, Text("psk_id_hash"), {});
  const Secret<32> info_hash = LabeledExtract(kHpkeSuite, {}, Text("info_hash"), info);
  Bytes<65> context;
  Writer(context).U8(0).Put(psk_id_hash.view()).Put(info_hash.view());  // mode_base is 0
  const Secret<32> secret = LabeledExtract(kHpkeSuite, shared.view(), Text("secret"), {});
  return LabeledExpand(kHpkeSuite, secret, Text("key"), context, keys.key.bytes) &&
         LabeledExpand(kHpkeSuite, secret, Text("base_nonce"), context, keys.base_nonce.bytes);
}

// RFC 9180 section 4.1: ExtractAndExpand over dh and kem_context = enc || pkR.
bool KemSecret(const Secret<32>& dh, const X25519Public& enc, const X25519Public& recipient,
               Secret<32>& shared) {
  Bytes<64> context;
  Writer(context).Put(enc).Put(recipient);
  const Secret<32> prk = LabeledExtract(kKemSuite, {}, Text("eae_prk"), dh.view());
  return LabeledExpand(kKemSuite, prk, Text("shared_secret"), context, shared.bytes);
}

bool SenderKeys(const HpkeSender& sender, const X25519Public& recipient, ByteView info,
                HpkeKeys& keys) {
  Secret<32> shared;
  return KemSecret(sender.dh, sender.enc, recipient, shared) && KeySchedule(shared, info, keys);
}

}  // namespace

bool MakeHpkeSender(const X25519Private& ephemeral, const X25519Public& recipient,
                    HpkeSender& sender) {
  return X25519DerivePublic(ephemeral, sender.enc) && X25519Agree(ephemeral, recipient, sender.dh);
}

bool HpkeSenderKeys(const X25519Pair& ephemeral, const X25519Public& recipient, ByteView info,
                    HpkeKeys& keys) {
  HpkeSender sender{ephemeral.pub, {}};
  return X25519Agree(ephemeral.priv, recipient, sender.dh) &&
         SenderKeys(sender, recipient, info, keys);
}

bool HpkeReceiverKeys(const X25519Pair& recipient, const X25519Public& enc, ByteView info,
                      HpkeKeys& keys) {
  Secret<32> dh;
  Secret<32> shared;
  return X25519Agree(recipient.priv, enc, dh) && KemSecret(dh, enc, recipient.pub, shared) &&
         KeySchedule(shared, info, keys);
}

bool HpkeSeal(const HpkeSender& sender, const X25519Public& recipient, ByteView info, ByteView aad,
              ByteView plaintext, MutableBytes ct) {
  HpkeKeys keys;
  return SenderKeys(sender, recipient, info, keys) &&
         AeadSeal(keys.key, keys.base_nonce.bytes, aad, plaintext, ct);
}

bool HpkeSeal(const X25519Pair& ephemeral, const X25519Public& recipient, ByteView info,
              ByteView aad, ByteView plaintext, MutableBytes ct) {
  HpkeKeys keys;
  return HpkeSenderKeys(ephemeral, recipient, info, keys) &&
         AeadSeal(keys.key, keys.base_nonce.bytes, aad, plaintext, ct);
}

bool HpkeSeal(const X25519Private& ephemeral, const X25519Public& recipient, ByteView info,
              ByteView aad, ByteView plaintext, X25519Public& enc, MutableBytes ct) {
  return X25519DerivePublic(ephemeral, enc) &&
         HpkeSeal(X25519Pair{ephemeral, enc}, recipient, info, aad, plaintext, ct);
}

bool HpkeOpen(const X25519Pair& recipient, const X25519Public& enc, ByteView info, ByteView aad,
              ByteView ct, MutableBytes plaintext) {
  HpkeKeys keys;
  if (HpkeReceiverKeys(recipient, enc, info, keys) &&
      AeadOpen(keys.key, keys.base_nonce.bytes, aad, ct, plaintext)) {
    return true;
  }
  Wipe(plaintext);
  return false;
}

bool HpkeOpen(const X25519Private& recipient, const X25519Public& enc, ByteView info, ByteView aad,
              ByteView ct, MutableBytes plaintext) {
  X25519Pair pair{recipient, {}};
  X25519DerivePublic(recipient, pair.pub);  // one that fails is zero, and then nothing opens
  return HpkeOpen(pair, enc, info, aad, ct, plaintext);
}

}  // namespace keyferry::protocol
