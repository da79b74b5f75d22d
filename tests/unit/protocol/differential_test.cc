// The primitives against OpenSSL, an implementation of its own: random inputs, and the edges where
// implementations differ (r and s at the ends of their ranges, public keys beyond the field, points
// of the twist, empty and odd-sized messages).
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/obj_mac.h>
#include <openssl/param_build.h>

#include <catch2/catch.hpp>
#include <memory>
#include <random>

#include "protocol/crypto.h"
#include "tests/unit/protocol/hex.h"

namespace keyferry::protocol {
namespace {

using test::Fixed;
using test::Hex;
using Blob = std::vector<std::uint8_t>;

template <auto Free>
struct Deleter {
  template <typename T>
  void operator()(T* p) const {
    Free(p);
  }
};
using Pkey = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;
using PkeyContext = std::unique_ptr<EVP_PKEY_CTX, Deleter<EVP_PKEY_CTX_free>>;
using CipherContext = std::unique_ptr<EVP_CIPHER_CTX, Deleter<EVP_CIPHER_CTX_free>>;
using Number = std::unique_ptr<BIGNUM, Deleter<BN_free>>;
using Sig = std::unique_ptr<ECDSA_SIG, Deleter<ECDSA_SIG_free>>;

class Dice {
 public:
  Blob Some(std::size_t size) {
    Blob out(size);
    for (auto& byte : out) byte = static_cast<std::uint8_t>(engine_());
    return out;
  }
  template <std::size_t N>
  Bytes<N> Fixed() {
    Bytes<N> out{};
    for (auto& byte : out) byte = static_cast<std::uint8_t>(engine_());
    return out;
  }

 private:
  std::mt19937 engine_{20260101};
};

bool PeerX25519(const Bytes<32>& key, const Bytes<32>& peer, Bytes<32>& shared) {
  const Pkey own(EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, nullptr, key.data(), key.size()));
  const Pkey other(EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, nullptr, peer.data(), peer.size()));
  const PkeyContext context(EVP_PKEY_CTX_new(own.get(), nullptr));
  std::size_t size = shared.size();
  return EVP_PKEY_derive_init(context.get()) == 1 &&
         EVP_PKEY_derive_set_peer(context.get(), other.get()) == 1 &&
         EVP_PKEY_derive(context.get(), shared.data(), &size) == 1;
}

void CompareX25519(const Bytes<32>& key, const Bytes<32>& peer) {
  Bytes<32> expected{};
  Secret<32> got;
  INFO(Hex(key) + " " + Hex(peer));
  const bool there = PeerX25519(key, peer, expected);
  REQUIRE(X25519Agree(X25519Private(key), peer, got) == there);
  if (there) CHECK(got.bytes == expected);
}

TEST_CASE("X25519 agrees with OpenSSL") {
  Dice dice;
  for (int i = 0; i < 40; ++i) CompareX25519(dice.Fixed<32>(), dice.Fixed<32>());
}

TEST_CASE("X25519 at the edges of the field agrees with OpenSSL") {
  Dice dice;
  std::vector<Bytes<32>> points;
  for (int low = 0; low < 256; low += 3) {  // 0 …, and 2^255-19 … 2^255-1 below the top bit
    Bytes<32> point{};
    point[0] = static_cast<std::uint8_t>(low);
    points.push_back(point);
    point.fill(0xFF);
    point[0] = static_cast<std::uint8_t>(low);
    points.push_back(point);
    point[31] = 0x7F;
    points.push_back(point);
  }
  for (const char* order8 : {"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
                             "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
                             "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f11d7"}) {
    points.push_back(Fixed<32>(order8));
  }
  for (const auto& point : points) CompareX25519(dice.Fixed<32>(), point);
  for (const int fill : {0x00, 0xFF, 0x55}) {  // clamping
    Bytes<32> key{};
    key.fill(static_cast<std::uint8_t>(fill));
    CompareX25519(key, dice.Fixed<32>());
  }
}

Pkey PeerPublic(const P256Public& pub) {
  const PkeyContext context(EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr));
  char group[] = "P-256";
  P256Public copy = pub;
  OSSL_PARAM params[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
      OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, copy.data(), copy.size()),
      OSSL_PARAM_construct_end()};
  EVP_PKEY* key = nullptr;
  if (EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, params) != 1) {
    return nullptr;
  }
  return Pkey(key);
}

// OpenSSL's word on r || s, whose high s it accepts.
bool PeerVerify(const P256Public& pub, const Hash& hash, const Signature& signature) {
  const Pkey key = PeerPublic(pub);
  if (!key) return false;
  const Sig sig(ECDSA_SIG_new());
  ECDSA_SIG_set0(sig.get(), BN_bin2bn(signature.data(), 32, nullptr),
                 BN_bin2bn(signature.data() + 32, 32, nullptr));
  Blob der(80);
  unsigned char* end = der.data();
  const int size = i2d_ECDSA_SIG(sig.get(), &end);
  const PkeyContext context(EVP_PKEY_CTX_new(key.get(), nullptr));
  return size > 0 && EVP_PKEY_verify_init(context.get()) == 1 &&
         EVP_PKEY_verify(context.get(), der.data(), static_cast<std::size_t>(size), hash.data(),
                         hash.size()) == 1;
}

constexpr char kOrder[] = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
constexpr char kHalf[] = "7fffffff800000007fffffffffffffffde737d56d38bcf4279dce5617e3192a8";

bool IsLow(const Signature& signature) {
  const auto half = Fixed<32>(kHalf);
  return !std::lexicographical_compare(half.begin(), half.end(), signature.begin() + 32,
                                       signature.end());
}

TEST_CASE("ECDSA signatures are low-s and OpenSSL accepts them") {
  Dice dice;
  for (int i = 0; i < 30; ++i) {
    const P256Private key(dice.Fixed<32>());
    P256Public pub{};
    if (!P256DerivePublic(key, pub)) continue;
    const Hash hash = dice.Fixed<32>();
    Signature signature{};
    REQUIRE(P256SignHash(key, hash, signature));
    CHECK(IsLow(signature));
    CHECK(PeerVerify(pub, hash, signature));
    CHECK(P256VerifyHash(pub, hash, signature));
  }
}

// For r = x(k G) and any s and hash there is a public key under which (r, s) verifies:
// Q = r^-1 (s k G - hash G). So every edge of s can be tested on a signature that is right.
P256Public KeyFor(std::uint64_t k, const BIGNUM* s, const Hash& hash, BIGNUM* r) {
  const std::unique_ptr<EC_GROUP, Deleter<EC_GROUP_free>> group(
      EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1));
  const std::unique_ptr<BN_CTX, Deleter<BN_CTX_free>> context(BN_CTX_new());
  const std::unique_ptr<EC_POINT, Deleter<EC_POINT_free>> point(EC_POINT_new(group.get()));
  const BIGNUM* n = EC_GROUP_get0_order(group.get());
  const Number scalar(BN_new());
  const Number e(BN_bin2bn(hash.data(), 32, nullptr));
  BN_set_word(scalar.get(), k);
  EC_POINT_mul(group.get(), point.get(), scalar.get(), nullptr, nullptr, context.get());
  EC_POINT_get_affine_coordinates(group.get(), point.get(), r, nullptr, context.get());
  BN_nnmod(r, r, n, context.get());
  BN_mod_mul(scalar.get(), scalar.get(), s, n, context.get());
  BN_mod_sub(scalar.get(), scalar.get(), e.get(), n, context.get());
  const Number inverse(BN_mod_inverse(nullptr, r, n, context.get()));
  BN_mod_mul(scalar.get(), scalar.get(), inverse.get(), n, context.get());
  EC_POINT_mul(group.get(), point.get(), scalar.get(), nullptr, nullptr, context.get());
  P256Public pub{};
  EC_POINT_point2oct(group.get(), point.get(), POINT_CONVERSION_UNCOMPRESSED, pub.data(),
                     pub.size(), context.get());
  return pub;
}

TEST_CASE("ECDSA verification at the edges of s agrees with OpenSSL, but for high s") {
  Dice dice;
  std::vector<Number> edges;
  for (unsigned value : {1u, 2u, 3u}) {
    edges.emplace_back(BN_new());
    BN_set_word(edges.back().get(), value);
  }
  for (int delta = -2; delta <= 2; ++delta) {
    for (const char* hex : {kOrder, kHalf}) {
      BIGNUM* parsed = nullptr;
      BN_hex2bn(&parsed, hex);
      edges.emplace_back(parsed);
      delta < 0 ? BN_sub_word(parsed, static_cast<BN_ULONG>(-delta))
                : BN_add_word(parsed, static_cast<BN_ULONG>(delta));
    }
  }
  std::size_t accepted = 0;
  for (std::uint64_t k : {1u, 2u, 12345u}) {
    for (const Number& s : edges) {
      for (const Hash& hash : {Hash{}, dice.Fixed<32>()}) {
        const Number r(BN_new());
        const P256Public pub = KeyFor(k, s.get(), hash, r.get());
        Signature signature{};
        BN_bn2binpad(r.get(), signature.data(), 32);
        BN_bn2binpad(s.get(), signature.data() + 32, 32);
        INFO(Hex(pub) + " " + Hex(signature));
        const bool good = P256VerifyHash(pub, hash, signature);
        CHECK(good == (IsLow(signature) && PeerVerify(pub, hash, signature)));
        accepted += good ? 1u : 0u;
      }
    }
  }
  CHECK(accepted == 3 * 2 * 6);  // s = 1, 2, 3 and n/2-2, n/2-1, n/2
}

TEST_CASE("points off the curve are refused as OpenSSL refuses them") {
  Dice dice;
  const P256Private key(dice.Fixed<32>());
  P256Public pub{};
  REQUIRE(P256DerivePublic(key, pub));
  CHECK(P256IsOnCurve(pub));
  CHECK(PeerPublic(pub) != nullptr);
  std::vector<P256Public> bad(6, pub);
  bad[0][1] ^= 0x80;
  bad[1][64] ^= 1;
  bad[2].fill(0);
  bad[3].fill(0xFF);
  bad[3][0] = 4;
  std::fill(bad[4].begin() + 1, bad[4].end(), std::uint8_t{0});
  bad[5][0] = 6;  // hybrid form
  for (const auto& point : bad) {
    INFO(Hex(point));
    CHECK_FALSE(P256IsOnCurve(point));
  }
}

TEST_CASE("ChaCha20-Poly1305 agrees with OpenSSL at every size") {
  Dice dice;
  for (const std::size_t size : {0u, 1u, 15u, 16u, 17u, 63u, 64u, 65u, 127u, 128u, 129u, 1008u}) {
    for (const std::size_t ad_size : {0u, 1u, 16u, 96u, 113u}) {
      const auto key = dice.Fixed<32>();
      const auto nonce = dice.Fixed<12>();
      const Blob ad = dice.Some(ad_size);
      const Blob plain = dice.Some(size);
      Blob expected(size + kTagSize);
      const CipherContext context(EVP_CIPHER_CTX_new());
      int n = 0;
      EVP_EncryptInit_ex(context.get(), EVP_chacha20_poly1305(), nullptr, key.data(), nonce.data());
      EVP_EncryptUpdate(context.get(), nullptr, &n, ad.data(), static_cast<int>(ad.size()));
      EVP_EncryptUpdate(context.get(), expected.data(), &n, plain.data(),
                        static_cast<int>(plain.size()));
      EVP_EncryptFinal_ex(context.get(), expected.data() + n, &n);
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG, kTagSize, expected.data() + size);
      Blob sealed(size + kTagSize);
      REQUIRE(AeadSeal(Secret<32>(key), nonce, ad, plain, sealed));
      CHECK(sealed == expected);
      Blob opened(size);
      CHECK(AeadOpen(Secret<32>(key), nonce, ad, sealed, opened));
      CHECK(opened == plain);
      for (const std::size_t at : {std::size_t{0}, size, size + kTagSize - 1}) {
        Blob bad = sealed;
        bad[at] ^= 0x80;
        CHECK_FALSE(AeadOpen(Secret<32>(key), nonce, ad, bad, opened));
        CHECK(IsAllZero(opened));
      }
    }
  }
}

TEST_CASE("HKDF agrees with OpenSSL") {
  Dice dice;
  for (const std::size_t salt_size : {1u, 32u, 63u, 64u, 65u, 200u}) {
    for (const std::size_t out_size : {1u, 31u, 32u, 33u, 64u, 8160u}) {
      Blob salt = dice.Some(salt_size);
      Blob ikm = dice.Some(salt_size + 3);
      Blob info = dice.Some(out_size % 50);
      Blob expected(out_size);
      const std::unique_ptr<EVP_KDF, Deleter<EVP_KDF_free>> kdf(
          EVP_KDF_fetch(nullptr, "HKDF", nullptr));
      const std::unique_ptr<EVP_KDF_CTX, Deleter<EVP_KDF_CTX_free>> context(
          EVP_KDF_CTX_new(kdf.get()));
      char digest[] = "SHA256";
      OSSL_PARAM params[] = {
          OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
          OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, ikm.data(), ikm.size()),
          OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, salt.data(), salt.size()),
          OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info.data(), info.size()),
          OSSL_PARAM_construct_end()};
      REQUIRE(EVP_KDF_derive(context.get(), expected.data(), expected.size(), params) == 1);
      Blob got(out_size);
      REQUIRE(HkdfExpand(HkdfExtract(salt, ikm).view(), info, got));
      CHECK(got == expected);
    }
  }
  Blob too_long(8161);
  CHECK_FALSE(HkdfExpand(Blob(32), {}, too_long));
}

TEST_CASE("P256Verifier with a table says what P256VerifyHash says") {
  Dice dice;
  P256Verifier verifier;
  int good = 0;
  int bad = 0;
  for (int k = 0; k < 20; ++k) {
    P256Private key;
    P256Public pub{};
    do key.bytes = dice.Fixed<32>();
    while (!P256DerivePublic(key, pub));
    CHECK_FALSE(verifier.prepared_for(pub));
    REQUIRE(verifier.Prepare(pub));
    REQUIRE(verifier.Prepare(pub));
    CHECK(verifier.prepared_for(pub));
    const P256Verifier plain(pub);
    for (int i = 0; i < 10; ++i) {
      Hash hash = dice.Fixed<32>();
      if (i == 0) hash.fill(0);     // u1 is zero
      if (i == 1) hash.fill(0xFF);  // beyond the order
      Signature signature{};
      REQUIRE(P256SignHash(key, hash, signature));
      const auto check = [&](bool expected) {
        CHECK(P256VerifyHash(pub, hash, signature) == expected);
        CHECK(verifier.Verify(hash, signature) == expected);
        CHECK(plain.Verify(hash, signature) == expected);
        ++(expected ? good : bad);
      };
      check(true);
      const std::size_t at = static_cast<std::size_t>(dice.Fixed<1>()[0]) % 64;
      signature[at] = static_cast<std::uint8_t>(signature[at] ^ 0x10);
      check(false);
      signature[at] = static_cast<std::uint8_t>(signature[at] ^ 0x10);
      hash[31] = static_cast<std::uint8_t>(hash[31] ^ 1);
      check(false);
      for (const auto fill : {std::uint8_t{0x00}, std::uint8_t{0xFF}}) {
        Signature edge = signature;
        std::fill(edge.begin() + 32, edge.end(), fill);
        std::swap(edge, signature);
        check(false);
        std::swap(edge, signature);
      }
    }
  }
  CHECK(good == 200);
  CHECK(bad == 800);
  P256Public off{};
  off[0] = 4;
  off[1] = 1;
  CHECK_FALSE(verifier.Prepare(off));
  CHECK_FALSE(verifier.Verify(Hash{}, Signature{}));
}

}  // namespace
}  // namespace keyferry::protocol
