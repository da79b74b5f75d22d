// Published vectors of the primitives: RFC 5869, 6979, 7748, 8439, 9180.
#include <catch2/catch.hpp>

#include "protocol/hpke.h"
#include "tests/unit/protocol/hex.h"

namespace keyferry::protocol {
namespace {

using test::Fixed;
using test::Hex;
using test::Unhex;

TEST_CASE("RFC 5869 test case 1: HKDF with SHA-256") {
  const auto ikm = std::vector<std::uint8_t>(22, 0x0b);
  const auto prk = HkdfExtract(Unhex("000102030405060708090a0b0c"), ikm);
  CHECK(Hex(prk.view()) == "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5");
  std::vector<std::uint8_t> okm(42);
  REQUIRE(HkdfExpand(prk.view(), Unhex("f0f1f2f3f4f5f6f7f8f9"), okm));
  CHECK(Hex(okm) ==
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
}

TEST_CASE("RFC 5869 test case 3: empty salt and info") {
  const auto prk = HkdfExtract({}, std::vector<std::uint8_t>(22, 0x0b));
  CHECK(Hex(prk.view()) == "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04");
  std::vector<std::uint8_t> okm(42);
  REQUIRE(HkdfExpand(prk.view(), {}, okm));
  CHECK(Hex(okm) ==
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8");
}

TEST_CASE("RFC 6979 A.2.5: deterministic ECDSA on P-256 with SHA-256") {
  const P256Private key(
      Fixed<32>("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721"));
  P256Public pub{};
  REQUIRE(P256DerivePublic(key, pub));
  CHECK(Hex(pub) ==
        "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
        "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299");
  Signature signature{};

  SECTION("\"test\" has a low s already") {
    const Hash hash = Sha256Of(AsBytes("test"));
    REQUIRE(P256SignHash(key, hash, signature));
    CHECK(Hex(signature) ==
          "f1abb023518351cd71d881567b1ea663ed3efcf6c5132b354f28d3b0b7d38367"
          "019f4113742a2b14bd25926b49c649155f267e60d3814b4c0cc84250e46f0083");
    CHECK(P256VerifyHash(pub, hash, signature));
  }
  SECTION("\"sample\" has a high s, which is replaced by n - s and refused as it was") {
    const Hash hash = Sha256Of(AsBytes("sample"));
    REQUIRE(P256SignHash(key, hash, signature));
    CHECK(Hex(ByteView(signature).first(32)) ==
          "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716");
    CHECK(P256VerifyHash(pub, hash, signature));
    const auto high = Fixed<64>(
        "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
        "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8");
    CHECK(signature != high);
    CHECK_FALSE(P256VerifyHash(pub, hash, high));
  }
}

TEST_CASE("ECDSA refuses what is not a signature or not a point") {
  const P256Private key(
      Fixed<32>("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721"));
  P256Public pub{};
  REQUIRE(P256DerivePublic(key, pub));
  const Hash hash = Sha256Of(AsBytes("x"));
  Signature good{};
  REQUIRE(P256SignHash(key, hash, good));
  const auto order = Fixed<32>("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");

  Signature bad = good;
  std::fill_n(bad.begin(), 32, std::uint8_t{0});
  CHECK_FALSE(P256VerifyHash(pub, hash, bad));
  bad = good;
  std::fill_n(bad.begin() + 32, 32, std::uint8_t{0});
  CHECK_FALSE(P256VerifyHash(pub, hash, bad));
  bad = good;
  std::copy(order.begin(), order.end(), bad.begin());
  CHECK_FALSE(P256VerifyHash(pub, hash, bad));
  for (std::size_t i = 0; i < good.size(); ++i) {
    bad = good;
    bad[i] = static_cast<std::uint8_t>(bad[i] ^ 1);
    CHECK_FALSE(P256VerifyHash(pub, hash, bad));
  }
  P256Public off = pub;
  off[64] = static_cast<std::uint8_t>(off[64] ^ 1);
  CHECK_FALSE(P256IsOnCurve(off));
  CHECK_FALSE(P256VerifyHash(off, hash, good));
  off = pub;
  off[0] = 0x02;
  CHECK_FALSE(P256IsOnCurve(off));
  CHECK_FALSE(P256DerivePublic(P256Private(order), off));
  CHECK_FALSE(P256DerivePublic(P256Private{}, off));
}

TEST_CASE("RFC 7748: X25519") {
  Secret<32> out;
  const X25519Private scalar(
      Fixed<32>("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4"));
  REQUIRE(X25519Agree(
      scalar, Fixed<32>("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c"), out));
  CHECK(Hex(out.view()) == "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");

  const X25519Private second(
      Fixed<32>("4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d"));
  REQUIRE(X25519Agree(  // its top bit is ignored
      second, Fixed<32>("e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493"), out));
  CHECK(Hex(out.view()) == "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957");

  const X25519Private bob(
      Fixed<32>("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"));
  X25519Public bob_pub{};
  REQUIRE(X25519DerivePublic(bob, bob_pub));
  CHECK(Hex(bob_pub) == "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
  REQUIRE(X25519Agree(
      bob, Fixed<32>("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"), out));
  CHECK(Hex(out.view()) == "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
}

TEST_CASE("RFC 7748 section 5.2: X25519 a thousand times over") {
  Secret<32> k;
  k.bytes[0] = 9;
  X25519Public u = k.bytes;
  for (int i = 1; i <= 1000; ++i) {
    Secret<32> next;
    REQUIRE(X25519Agree(k, u, next));
    u = k.bytes;
    k = next;
    if (i == 1)
      CHECK(Hex(k.view()) == "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079");
  }
  CHECK(Hex(k.view()) == "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51");
}

TEST_CASE("X25519 refuses points of low order") {
  const X25519Private key(
      Fixed<32>("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4"));
  for (const char* point : {"0000000000000000000000000000000000000000000000000000000000000000",
                            "0100000000000000000000000000000000000000000000000000000000000000",
                            "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
                            "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
                            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"}) {
    Secret<32> shared;
    shared.bytes.fill(0xAA);
    INFO(point);
    CHECK_FALSE(X25519Agree(key, Fixed<32>(point), shared));
    CHECK(IsAllZero(shared.view()));
  }
}

TEST_CASE("RFC 8439 section 2.8.2: ChaCha20-Poly1305") {
  const Secret<32> key(
      Fixed<32>("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f"));
  const auto nonce = Fixed<12>("070000004041424344454647");
  const auto ad = Unhex("50515253c0c1c2c3c4c5c6c7");
  const std::string text =
      "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
      "sunscreen would be it.";
  std::vector<std::uint8_t> sealed(text.size() + 16);
  REQUIRE(AeadSeal(key, nonce, ad, AsBytes(text), sealed));
  CHECK(Hex(ByteView(sealed).first(16)) == "d31a8d34648e60db7b86afbc53ef7ec2");
  CHECK(Hex(ByteView(sealed).last(16)) == "1ae10b594f09e26a7e902ecbd0600691");
  std::vector<std::uint8_t> opened(text.size());
  REQUIRE(AeadOpen(key, nonce, ad, sealed, opened));
  CHECK(std::equal(opened.begin(), opened.end(), text.begin()));
  sealed[3] ^= 1;
  CHECK_FALSE(AeadOpen(key, nonce, ad, sealed, opened));
  CHECK(IsAllZero(opened));
  CHECK_FALSE(AeadOpen(key, nonce, ad, ByteView(sealed).first(15), MutableBytes(opened).first(0)));
}

TEST_CASE("RFC 9180 A.2.1: HPKE base mode, X25519, HKDF-SHA256, ChaCha20Poly1305") {
  const X25519Private ephemeral(
      Fixed<32>("f4ec9b33b792c372c1d2c2063507b684ef925b8c75a42dbcbf57d63ccd381600"));
  const X25519Private recipient(
      Fixed<32>("8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb"));
  const auto recipient_pub =
      Fixed<32>("4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a");
  const auto info = Unhex("4f6465206f6e2061204772656369616e2055726e");
  const auto plaintext = Unhex("4265617574792069732074727574682c20747275746820626561757479");
  const auto aad = Unhex("436f756e742d30");
  X25519Public enc{};
  HpkeKeys keys;
  REQUIRE(X25519DerivePublic(ephemeral, enc));
  REQUIRE(HpkeSenderKeys({ephemeral, enc}, recipient_pub, info, keys));
  CHECK(Hex(enc) == "1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a");
  CHECK(Hex(keys.shared_secret.view()) ==
        "0bbe78490412b4bbea4812666f7916932b828bba79942424abb65244930d69a7");
  CHECK(Hex(keys.key.view()) == "ad2744de8e17f4ebba575b3f5f5a8fa1f69c2a07f6e7500bc60ca6e3e3ec1c91");
  CHECK(Hex(keys.base_nonce.view()) == "5c4d98150661b848853b547f");
  std::vector<std::uint8_t> ct(plaintext.size() + 16);
  REQUIRE(HpkeSeal(ephemeral, recipient_pub, info, aad, plaintext, enc, ct));
  CHECK(
      Hex(ct) ==
      "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28");
  std::vector<std::uint8_t> opened(plaintext.size());
  REQUIRE(HpkeOpen(recipient, enc, info, aad, ct, opened));
  CHECK(opened == plaintext);
}

}  // namespace
}  // namespace keyferry::protocol
