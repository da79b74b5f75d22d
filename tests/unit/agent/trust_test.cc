// A PIN leaves the agent only for a key that proved, from the pinned root down, that the
// organisation enrolled it.
#include <catch2/catch.hpp>

#include "tests/unit/agent/attempt_fixture.h"

using namespace keyferry;
using namespace keyferry::test;
using login::Problem;
using login::Purpose;
using login::Type;
using protocol::Op;

namespace {

// Asks for a login and gives the PIN whatever is answered, as a careless client would.
Datagram TryToLogIn(AgentWorld& world) {
  Attempt attempt(world);
  attempt.client->Hello(Purpose::kLogin, "alice");
  Datagram answer = attempt.client->Receive();
  attempt.client->Pin("246813");
  if (TypeOf(answer) == Type::kReady) {
    do answer = attempt.client->Receive();
    while (TypeOf(answer) == Type::kTouch);
  }
  return answer;
}

void CheckNothingWasSent(const LoginKey& key) {
  CHECK(key.Count(Op::kPinVerify) == 0);
  CHECK(key.Count(Op::kRelease) == 0);
}

}  // namespace

TEST_CASE("the control: an honest daemon and key get the PIN") {
  AgentWorld world;
  CHECK(TypeOf(TryToLogIn(world)) == Type::kReleased);
  CHECK(world.key.Count(Op::kPinVerify) == 1);
}

TEST_CASE("no byte of the record may be changed") {
  AgentWorld world;
  const auto record = world.key.Record();
  for (std::size_t at = 0; at < record.size(); at += 7) {
    auto forged = record;
    forged[at] ^= 0x01;
    world.daemon.record = forged;
    INFO("byte " << at);
    const Datagram answer = TryToLogIn(world);
    CHECK(ProblemOf(answer) == Problem::kUntrusted);
    CheckNothingWasSent(world.key);
    CHECK(world.key.handshakes() == 0);
  }
}

TEST_CASE("another organisation's key is refused, whole and genuine as its record is") {
  AgentWorld world;
  CHECK(TypeOf(TryToLogIn(world)) == Type::kReleased);  // the root is pinned now
  const Organisation other;
  LoginKey stranger(other);
  SECTION("the daemon names the other root") { world.daemon.Serve(other, stranger); }
  SECTION("the daemon names our root and the other's record") {
    world.daemon.Serve(other, stranger);
    world.daemon.root = world.organisation.root;
  }
  CHECK(ProblemOf(TryToLogIn(world)) == Problem::kUntrusted);
  CheckNothingWasSent(stranger);
  CHECK(stranger.handshakes() == 0);
}

TEST_CASE("a key in the middle that shows another key's record does not finish the handshake") {
  AgentWorld world;
  LoginKey impostor(world.organisation);  // enrolled even, but not this one
  impostor.info.device_id = world.key.info.device_id;
  world.daemon.record = world.key.Record();
  world.daemon.device = world.key.info.device_id;
  world.daemon.Serve(world.organisation, impostor);
  CHECK(ProblemOf(TryToLogIn(world)) == Problem::kUntrusted);
  CheckNothingWasSent(impostor);
  CHECK(impostor.handshakes() == 0);  // not even our certificate was shown
}

TEST_CASE("names that do not fit together are refused") {
  AgentWorld world;
  SECTION("the daemon announces another device") { world.daemon.device = daemon::Id{9}; }
  SECTION("the key calls itself another device") {
    world.daemon.device = world.key.info.device_id;
    world.key.info.device_id = {9};
  }
  SECTION("the daemon opens somebody else's key") { world.daemon.login = "mallory"; }
  SECTION("the certificate is for another hop key") {
    world.daemon.certify = world.key.noise_public;
  }
  SECTION("the certificate has more roles than LOGIN") { world.daemon.role = 3; }
  CHECK(ProblemOf(TryToLogIn(world)) == Problem::kUntrusted);
  CheckNothingWasSent(world.key);
  CHECK(world.key.handshakes() == 0);
}

TEST_CASE("what is not there yet is said in words, and nothing is sent") {
  AgentWorld world;
  Problem expected = Problem::kUnavailable;
  SECTION("no daemon") {
    world.daemon.register_error = Error{ErrorCode::kUnavailable, "No daemon.", {}, 0};
  }
  SECTION("not certified") { world.daemon.certified = false; }
  SECTION("no record") { world.daemon.has_record = false; }
  SECTION("the daemon is late") {
    world.daemon.relay_error = Error{ErrorCode::kDeadline, "Late.", {}, 0};
  }
  SECTION("no key of this login") {
    world.daemon.relay_error = Error{ErrorCode::kNotFound, "None.", {}, 0};
    expected = Problem::kNoKey;
  }
  SECTION("the daemon is busy") {
    world.daemon.relay_error = Error{ErrorCode::kRateLimited, "Busy.", {}, 0};
    expected = Problem::kBusy;
  }
  SECTION("the key is silent") { world.key.faults.silent = true; }
  SECTION("the key is pulled out in the handshake") { world.key.faults.unplugged_after = 2; }
  const Datagram answer = TryToLogIn(world);
  CHECK(ProblemOf(answer) == expected);
  CHECK(SentenceOf(answer).size() > 3);
  CheckNothingWasSent(world.key);
}

TEST_CASE("a key that was changed while the person typed has to prove itself again") {
  AgentWorld world;
  world.key.faults.unplugged_after = 3;  // INFO, HS1, HS3, and then it is gone
  SECTION("the same key came back") {
    Attempt attempt(world);
    attempt.client->Hello(Purpose::kLogin, "alice");
    REQUIRE(TypeOf(attempt.client->Receive()) == Type::kReady);
    world.key.faults.unplugged_after = 0;
    // Whoever opens the next road finds it plugged in again.
    LoginKey& key = world.key;
    world.daemon.plugged_later = &key;
    world.daemon.on_later_relay = [&] { key.faults.unplugged_after = -1; };
    attempt.client->Pin("246813");
    Datagram answer;
    do answer = attempt.client->Receive();
    while (TypeOf(answer) == Type::kTouch);
    CHECK(TypeOf(answer) == Type::kReleased);
    CHECK(world.daemon.relays == 2);
  }
  SECTION("an impostor came instead") {
    LoginKey impostor(world.organisation);
    impostor.info.device_id = world.key.info.device_id;
    world.daemon.plugged_later = &impostor;
    const Datagram answer = TryToLogIn(world);
    CHECK(ProblemOf(answer) == Problem::kUntrusted);
    CHECK(world.daemon.relays == 2);
    CheckNothingWasSent(impostor);
    CheckNothingWasSent(world.key);
  }
}
