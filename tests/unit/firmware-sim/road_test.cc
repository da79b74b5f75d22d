// The main road: enrol, store, release, and what a restart leaves.

#include <catch2/catch.hpp>
#include <set>

#include "tests/unit/firmware-sim/bench.h"

namespace keyferry::sim::test {
namespace {

TEST_CASE("a fresh key enrols, stores, and gives the password against PIN and touch") {
  Bench bench;
  bench.PowerOn();
  Owner owner(bench);
  owner.Enrol();
  Host daemon = owner.Daemon();
  REQUIRE(daemon.Connect());
  CHECK(daemon.status().state == protocol::KeyState::kEnrolledNoPin);
  CHECK(daemon.status().tries == 3);
  CHECK(daemon.key_static() == owner.statement.noise_pub);
  CHECK(owner.Put(daemon, owner.SealPassword("first")).ok());
  Host login = owner.Login();
  REQUIRE(login.Connect());
  CHECK(login.Request(Op::kRelease, owner.ReleaseBody()).status == Status::kPinRequired);
  CHECK(login.Request(Op::kPinSet, owner.PinSetBody(kPin)).ok());
  CHECK(owner.Release(login, kPin) == "first");
  CHECK(owner.Put(daemon, owner.SealPassword("second")).ok());
  CHECK(owner.Release(login, kPin) == "second");
  CHECK(owner.Release(login, kPin, 1) == "first");

  SECTION("a confirmed login forgets the password before") {
    Blob confirm = Copy(owner.account);
    protocol::Bytes<8> seq{};
    protocol::Writer(seq).U64(owner.seq);
    confirm.insert(confirm.end(), seq.begin(), seq.end());
    CHECK(login.Request(Op::kConfirmLogin, confirm).ok());
    CHECK(login.Request(Op::kPinVerify, Owner::PinBody(kPin)).ok());
    CHECK(login.Request(Op::kRelease, owner.ReleaseBody(1)).status == Status::kNoPassword);
  }
  SECTION("all of it survives a power cycle; sessions do not") {
    bench.PowerCycle();
    Host again = owner.Login();
    REQUIRE(again.Connect());
    CHECK(again.status().state == protocol::KeyState::kReady);
    CHECK(again.status().boot == 2);
    CHECK(again.status().last_seq == 2);
    CHECK(again.status().slots == 3);
    CHECK(owner.Release(again, kPin) == "second");
  }
  SECTION("a job sent again gets the same receipt, byte for byte") {
    const Blob job = owner.SealPassword("third");
    const Reply first = owner.Put(daemon, job);
    REQUIRE(first.ok());
    CHECK(daemon.Request(Op::kPutJob, job).body == first.body);
    bench.PowerCycle();
    Host back = owner.Daemon();
    REQUIRE(back.Connect());
    CHECK(back.Request(Op::kPutJob, job).body == first.body);
  }
  CHECK(bench.flash().violations() == 0);
}

TEST_CASE("what a key made ahead changes nothing but the time") {
  Bench bench;
  bench.PowerOn();
  Owner owner(bench);
  const auto prepare = [&bench] {
    int steps = 0;
    while (bench.key().Prepare()) REQUIRE(++steps < 20);
    return steps;
  };
  CHECK(prepare() == 3);  // spare pairs; a key that is not enrolled seals nothing
  owner.Enrol();
  Host daemon = owner.Daemon();
  REQUIRE(daemon.Connect());
  CHECK(prepare() >= 4);  // the slot's seal, the spares that were used, two tables
  CHECK(prepare() == 0);
  REQUIRE(owner.Put(daemon, owner.SealPassword("first")).ok());
  Host login = owner.Login();
  REQUIRE(login.Connect());
  REQUIRE(login.Request(Op::kPinSet, owner.PinSetBody(kPin)).ok());
  prepare();
  REQUIRE(owner.Put(daemon, owner.SealPassword("second")).ok());
  CHECK(owner.Release(login, kPin) == "second");
  CHECK(owner.Release(login, kPin, 1) == "first");
  SECTION("never twice the same") {
    prepare();
    std::set<Blob> seals;
    std::set<protocol::X25519Public> recipients{owner.last.recipient_pub};
    for (int i = 0; i < 4; ++i) {
      const auto& image = bench.flash().image().bytes;
      CHECK(seals.insert(Blob(image.begin(), image.end())).second);
      REQUIRE(owner.Put(daemon, owner.SealPassword("again")).ok());
      CHECK(recipients.insert(owner.last.recipient_pub).second);
      if (i % 2 == 0) prepare();
    }
    CHECK(owner.Release(login, kPin) == "again");
  }
  SECTION("a job of a stranger and a certificate of a stranger are refused as before") {
    prepare();
    Blob forged = owner.SealPassword("forged");
    forged.back() = static_cast<std::uint8_t>(forged.back() ^ 1);
    CHECK(daemon.Request(Op::kPutJob, forged).status == Status::kBadSignature);
    Host stranger = owner.Daemon();
    stranger.cert.signature[3] = static_cast<std::uint8_t>(stranger.cert.signature[3] ^ 1);
    CHECK_FALSE(stranger.Connect());
    Host again = owner.Daemon();  // its certificate is known by now
    CHECK(again.Connect());
    again.cert.host_epoch = 0;
    CHECK_FALSE(again.Connect());
  }
  SECTION("a new vault is not sealed to with what was made for the old one") {
    const Blob hash(32, 9);
    REQUIRE(owner.Put(daemon, owner.Seal(protocol::JobType::kPinUnblock, hash)).ok());
    REQUIRE(owner.Put(daemon, owner.SealPassword("after")).ok());
    CHECK(daemon.Request(Op::kGetStatus).ok());
  }
}

TEST_CASE("held passwords wait for COMMIT and go with DROP") {
  Bench bench;
  bench.PowerOn();
  Owner owner(bench);
  owner.Enrol();
  Host daemon = owner.Daemon();
  REQUIRE(daemon.Connect());
  REQUIRE(owner.Put(daemon, owner.SealPassword("first")).ok());
  Host login = owner.Login();
  REQUIRE(login.Connect());
  REQUIRE(login.Request(Op::kPinSet, owner.PinSetBody(kPin)).ok());
  REQUIRE(owner.Put(daemon, owner.SealPassword("held", protocol::kFlagHold)).ok());
  const protocol::Id held = owner.header.job_id;
  CHECK((owner.last.flags & protocol::kReceiptHeld) != 0);
  CHECK(owner.Release(login, kPin) == "first");

  SECTION("commit") {
    CHECK(owner.Put(daemon, owner.Seal(protocol::JobType::kCommit, held)).ok());
    CHECK(owner.Release(login, kPin) == "held");
    CHECK(owner.Release(login, kPin, 1) == "first");
    CHECK((owner.last.flags & protocol::kReceiptHeld) == 0);
  }
  SECTION("commit that drops the previous one") {
    CHECK(
        owner.Put(daemon, owner.Seal(protocol::JobType::kCommit, held, protocol::kFlagDropPrevious))
            .ok());
    CHECK(owner.Release(login, kPin) == "held");
    CHECK(owner.Release(login, kPin, 1).empty());
  }
  SECTION("drop") {
    CHECK(owner.Put(daemon, owner.Seal(protocol::JobType::kDrop, held)).ok());
    CHECK(owner.Release(login, kPin) == "first");
    const Reply gone = daemon.Request(Op::kPutJob, owner.Seal(protocol::JobType::kCommit, held));
    CHECK(gone.status == Status::kBadPlaintext);
  }
  SECTION("a later password takes its place") {
    CHECK(owner.Put(daemon, owner.SealPassword("newest")).ok());
    CHECK(owner.Release(login, kPin) == "newest");
    CHECK((owner.last.flags & protocol::kReceiptHeld) == 0);
  }
}

TEST_CASE("no more than two jobs sealed to one epoch are taken") {
  Bench bench;
  bench.PowerOn();
  Owner owner(bench);
  owner.Enrol();
  Host daemon = owner.Daemon();
  REQUIRE(daemon.Connect());
  const Blob one = owner.SealPassword("one");
  const Blob two = owner.SealPassword("two");
  const Blob three = owner.SealPassword("three");
  CHECK(owner.Put(daemon, one).ok());
  CHECK(owner.Put(daemon, two).ok());
  const Reply refused = daemon.Request(Op::kPutJob, three);
  CHECK(refused.status == Status::kWrongEpoch);
  const auto receipt = protocol::Receipt::Parse(refused.body);
  REQUIRE(receipt.has_value());
  CHECK(receipt->VerifySignature(owner.statement.sig_pub));
  CHECK(receipt->result == Status::kWrongEpoch);
  CHECK(receipt->seq == 2);
  CHECK(receipt->epoch == 3);
}

TEST_CASE("the journal holds the last sixteen receipts") {
  Bench bench;
  bench.PowerOn();
  Owner owner(bench);
  owner.Enrol();
  Host daemon = owner.Daemon();
  REQUIRE(daemon.Connect());
  std::vector<Blob> receipts{owner.last_bytes};
  for (int i = 0; i < 17; ++i) {
    REQUIRE(owner.Put(daemon, owner.SealPassword("p" + std::to_string(i))).ok());
    receipts.push_back(owner.last_bytes);
  }
  const auto ask = [&](std::uint64_t number) {
    protocol::Bytes<8> body{};
    protocol::Writer(body).U64(number);
    return daemon.Request(Op::kGetReceipt, body);
  };
  CHECK(ask(0).body == receipts.back());
  for (std::uint64_t n = 3; n <= 18; ++n) CHECK(ask(n).body == receipts[n - 1]);
  CHECK(ask(2).status == Status::kNoPassword);
  CHECK(ask(19).status == Status::kNoPassword);
  CHECK(ask(~std::uint64_t{0}).status == Status::kNoPassword);
}

}  // namespace
}  // namespace keyferry::sim::test
