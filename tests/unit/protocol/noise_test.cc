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

}  // namespace
}  // namespace keyferry::protocol
