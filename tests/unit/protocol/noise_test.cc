// The handshake when somebody meddles: every damaged byte, wrong prologue, low-order points,
// messages out of order; and the nonce of a session.
#include "protocol/noise.h"

#include <catch2/catch.hpp>

#include "tests/unit/protocol/hex.h"

namespace keyferry::protocol {
namespace {

X25519Pair Pair(std::uint8_t fill) {
  X25519Pair pair;
  pair.priv.bytes.fill(fill);
  REQUIRE(X25519DerivePublic(pair.priv, pair.pub));
  return pair;
}

// One handshake in which `meddle` may change each message on its way; how far it came.
struct Run {
  bool hs2_read = false;
  bool hs3_read = false;
  HopSession host;
  HopSession key;
};

template <typename Meddle>
Run Handshake(Meddle meddle, std::uint8_t key_transport = 3) {
  const Bytes<kInfoSize> info{};
  const auto at_host = HopPrologue(Transport::kSocket, info);
  const auto at_key = HopPrologue(static_cast<Transport>(key_transport), info);
  NoiseInitiator host(Pair(1), Pair(2), at_host);
  NoiseResponder key(Pair(3), Pair(4), at_key);
  Bytes<kHostCertSize> cert{};
  cert.fill(0x77);
  Bytes<kHostCertSize> received{};
  Bytes<kHs1Size> hs1{};
  Bytes<kHs2Size> hs2{};
  Bytes<kHs3Size> hs3{};
  Run run;
  REQUIRE(host.WriteHs1(hs1));
  meddle(1, MutableBytes(hs1));
  if (!key.ReadHs1(hs1) || !key.WriteHs2(hs2)) return run;
  meddle(2, MutableBytes(hs2));
  run.hs2_read = host.ReadHs2(hs2);
  if (!run.hs2_read) return run;
  CHECK(host.key_static() == Pair(3).pub);
  REQUIRE(host.WriteHs3(cert, hs3, run.host));
  meddle(3, MutableBytes(hs3));
  run.hs3_read = key.ReadHs3(hs3, received, run.key);
  if (!run.hs3_read) return run;
  CHECK(received == cert);
  CHECK(key.host_static() == Pair(1).pub);
  return run;
}

void Leave(int, MutableBytes) {}

TEST_CASE("a handshake left alone gives both ends the same keys") {
  const Run run = Handshake(Leave);
  REQUIRE(run.hs3_read);
  CHECK(run.host.send.key().bytes == run.key.receive.key().bytes);
  CHECK(run.host.receive.key().bytes == run.key.send.key().bytes);
  CHECK(run.host.send.key().bytes != run.host.receive.key().bytes);
  CHECK(run.host.handshake_hash == run.key.handshake_hash);
}

TEST_CASE("pairs and bare private keys make the same handshake") {
  const auto prologue = HopPrologue(Transport::kHid, {});
  NoiseInitiator a(Pair(1), Pair(2), prologue);
  NoiseInitiator b(Pair(1).priv, Pair(2).priv, prologue);
  Bytes<kHs1Size> from_a{};
  Bytes<kHs1Size> from_b{};
  REQUIRE(a.WriteHs1(from_a));
  REQUIRE(b.WriteHs1(from_b));
  CHECK(from_a == from_b);
}

TEST_CASE("every damaged byte of a handshake message ends it") {
  for (std::size_t at = 0; at < kHs1Size; ++at) {
    const Run run = Handshake([&](int message, MutableBytes bytes) {
      if (message == 1) bytes[at] ^= 4;
    });
    CHECK_FALSE(run.hs2_read);
  }
  for (std::size_t at = 0; at < kHs2Size; ++at) {
    const Run run = Handshake([&](int message, MutableBytes bytes) {
      if (message == 2) bytes[at] ^= 4;
    });
    CHECK_FALSE(run.hs2_read);
  }
  for (std::size_t at = 0; at < kHs3Size; ++at) {
    const Run run = Handshake([&](int message, MutableBytes bytes) {
      if (message == 3) bytes[at] ^= 4;
    });
    CHECK(run.hs2_read);
    CHECK_FALSE(run.hs3_read);
  }
}

TEST_CASE("both ends have to see the same transport and INFO") {
  CHECK_FALSE(Handshake(Leave, 1).hs2_read);
}

TEST_CASE("an ephemeral of low order is refused on either side") {
  for (const int message : {1, 2}) {
    const Run run = Handshake([&](int number, MutableBytes bytes) {
      if (number == message) std::fill_n(bytes.begin(), 32, std::uint8_t{0});
    });
    CHECK_FALSE(run.hs2_read);
  }
}

TEST_CASE("messages of another size are refused") {
  NoiseInitiator host(Pair(1), Pair(2), {});
  NoiseResponder key(Pair(3), Pair(4), {});
  Bytes<kHostCertSize> cert{};
  HopSession session;
  CHECK_FALSE(key.ReadHs1(Bytes<kHs1Size - 1>{}));
  CHECK_FALSE(key.ReadHs1(Bytes<kHs1Size + 1>{}));
  CHECK_FALSE(host.ReadHs2(Bytes<kHs2Size - 1>{}));
  CHECK_FALSE(host.ReadHs2({}));
  CHECK_FALSE(key.ReadHs3(Bytes<kHs3Size + 1>{}, cert, session));
  CHECK_FALSE(key.ReadHs3(Bytes<kHs3Size>{}, cert, session));  // no key has been mixed in yet
}

TEST_CASE("a session message opens once, in order, under its own frame command") {
  Run run = Handshake(Leave);
  REQUIRE(run.hs3_read);
  const Bytes<20> plain{1, 2, 3};
  Bytes<36> first{};
  Bytes<36> second{};
  Bytes<20> opened{};
  REQUIRE(run.host.send.Seal(0x24, plain, first));
  REQUIRE(run.host.send.Seal(0x24, plain, second));
  CHECK(first != second);
  CHECK(run.host.send.nonce() == 2);

  SECTION("in order") {
    CHECK(run.key.receive.Open(0x24, first, opened));
    CHECK(opened == plain);
    CHECK(run.key.receive.Open(0x24, second, opened));
  }
  SECTION("repeated") {
    CHECK(run.key.receive.Open(0x24, first, opened));
    CHECK_FALSE(run.key.receive.Open(0x24, first, opened));
    CHECK(IsAllZero(opened));
  }
  SECTION("the first one lost") { CHECK_FALSE(run.key.receive.Open(0x24, second, opened)); }
  SECTION("another command") { CHECK_FALSE(run.key.receive.Open(0x25, first, opened)); }
  SECTION("sent back") { CHECK_FALSE(run.host.receive.Open(0x24, first, opened)); }
  SECTION("shorter than a tag") {
    CHECK_FALSE(run.key.receive.Open(0x24, ByteView(first).first(15), {}));
  }
}

// One side of the pattern with any payload, as the published vector has them; the hop channel's
// classes fix the payloads.
class Xx {
 public:
  Xx(std::string_view own_static, std::string_view ephemeral, ByteView prologue)
      : symmetric_(prologue),
        static_(test::Fixed<32>(own_static)),
        e_(test::Fixed<32>(ephemeral)) {}

  void PublicKey(const X25519Public& key) { symmetric_.MixHash(key); }
  void Mix(bool with_static, const X25519Public& peer) {
    Secret<32> dh;
    REQUIRE(X25519Agree(with_static ? static_ : e_, peer, dh));
    symmetric_.MixKey(dh);
  }
  std::string Encrypt(ByteView plain) {
    std::vector<std::uint8_t> out(plain.size() + kTagSize);
    REQUIRE(symmetric_.EncryptAndHash(plain, out));
    return test::Hex(out);
  }
  noise_internal::Symmetric& symmetric() { return symmetric_; }

 private:
  noise_internal::Symmetric symmetric_;
  X25519Private static_;
  X25519Private e_;
};

TEST_CASE("Noise_XX_25519_ChaChaPoly_SHA256: the published vector") {
  const auto prologue = test::Unhex("4a6f686e2047616c74");
  constexpr char kInitStatic[] = "e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1";
  constexpr char kInitEphemeral[] =
      "893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a";
  constexpr char kRespStatic[] = "4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893";
  constexpr char kRespEphemeral[] =
      "bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b";
  const auto public_of = [](const char* hex) {
    X25519Public pub{};
    REQUIRE(X25519DerivePublic(X25519Private(test::Fixed<32>(hex)), pub));
    return pub;
  };
  const X25519Public init_e = public_of(kInitEphemeral);
  const X25519Public init_s = public_of(kInitStatic);
  const X25519Public resp_e = public_of(kRespEphemeral);
  const X25519Public resp_s = public_of(kRespStatic);
  Xx init(kInitStatic, kInitEphemeral, prologue);
  Xx resp(kRespStatic, kRespEphemeral, prologue);

  const auto first = test::Unhex("4c756477696720766f6e204d69736573");
  for (Xx* side : {&init, &resp}) {
    side->PublicKey(init_e);
    side->symmetric().MixHash(first);
  }
  CHECK(test::Hex(init_e) == "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944");

  for (Xx* side : {&init, &resp}) side->PublicKey(resp_e);
  resp.Mix(false, init_e);
  std::string second = test::Hex(resp_e) + resp.Encrypt(resp_s);
  resp.Mix(true, init_e);
  second += resp.Encrypt(test::Unhex("4d757272617920526f746862617264"));
  CHECK(
      second ==
      "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f14480884381cbad1f276e038c48378ffce2b6"
      "5285e08d6b68aaa3629a5a8639392490e5b9bd5269c2f1e4f488ed8831161f19b7815528f8982ffe09be9b5c412f"
      "8a0db50f8814c7194e83f23dbd8d162c9326ad");
  const auto raw = test::Unhex(second);
  X25519Public got{};
  std::vector<std::uint8_t> payload(15);
  init.Mix(false, resp_e);
  REQUIRE(init.symmetric().DecryptAndHash(ByteView(raw).subspan(32, 48), got));
  CHECK(got == resp_s);
  init.Mix(false, resp_s);
  REQUIRE(init.symmetric().DecryptAndHash(ByteView(raw).subspan(80), payload));

  std::string third = init.Encrypt(init_s);
  init.Mix(true, resp_e);
  third += init.Encrypt(test::Unhex("462e20412e20486179656b"));
  CHECK(
      third ==
      "c7195ffacac1307ff99046f219750fc47693e23c3cb08b89c2af808b444850a80ae475b9df0f169ae80a89be0865"
      "b57f58c9fea0d4ec82a286427402f113e4b6ae769a1d95941d49b25030");
  CHECK(test::Hex(init.symmetric().hash()) ==
        "c8e5f64e846193be2a834104c2a009868d6c9f3bd3c186299888b488b2f1f58e");

  CipherState to_resp;
  CipherState to_init;
  init.symmetric().Split(to_resp, to_init);
  const auto sealed = [](const CipherState& cipher, const char* plain_hex) {
    const auto plain = test::Unhex(plain_hex);
    std::vector<std::uint8_t> out(plain.size() + kTagSize);
    REQUIRE(AeadSeal(cipher.key(), {}, {}, plain, out));  // the vector has no AD; nonce 0
    return test::Hex(out);
  };
  CHECK(sealed(to_init, "4361726c204d656e676572") ==
        "96763ed773f8e47bb3712f0e29b3060ffc956ffc146cee53d5e1df");
  CHECK(sealed(to_resp, "4a65616e2d426170746973746520536179") ==
        "3e40f15f6f3a46ae446b253bf8b1d9ffb6ed9b174d272328ff91a7e2e5c79c07f5");
}

}  // namespace
}  // namespace keyferry::protocol
