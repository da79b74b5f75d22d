// PIN, activation code, vault and release (section 5).

#include <catch2/catch.hpp>

#include "tests/unit/firmware-sim/bench.h"

namespace keyferry::sim::test {
namespace {

constexpr char kWrong[] = "000000";

struct Ready {
  Bench bench;
  Owner owner{bench};
  explicit Ready(bool pin = true, protocol::Policy policy = {}) {
    bench.PowerOn();
    owner.policy = policy;
    owner.Enrol();
    Host daemon = Daemon();
    REQUIRE(owner.Put(daemon, owner.SealPassword("secret")).ok());
    if (!pin) return;
    Host login = Login();
    REQUIRE(login.Request(Op::kPinSet, owner.PinSetBody(kPin)).ok());
  }
  Host Daemon() {
    Host host = owner.Daemon();
    REQUIRE(host.Connect());
    return host;
  }
  Host Login() {
    Host host = owner.Login();
    REQUIRE(host.Connect());
    return host;
  }
};

Reply Verify(Host& login, std::string_view pin) {
  return login.Request(Op::kPinVerify, Owner::PinBody(pin));
}

TEST_CASE("three wrong PINs block until the next power-on, eight lock") {
  Ready ready;
  Host login = ready.Login();
  std::uint8_t left = 8;
  for (int cycle = 0; cycle < 3; ++cycle) {
    for (int i = 0; i < 3 && left != 0; ++i) {
      const Reply wrong = Verify(login, kWrong);
      CHECK(wrong.status == Status::kPinWrong);
      CHECK(wrong.body == Blob{--left});
    }
    const Reply refused = Verify(login, kPin);
    CHECK(refused.status == (left == 0 ? Status::kPinLocked : Status::kPinBlocked));
    CHECK(refused.body == Blob{left});
    const Reply release = login.Request(Op::kRelease, ready.owner.ReleaseBody());
    CHECK(release.status == refused.status);
    CHECK(release.body == Blob{left});
    CHECK(ready.bench.key().View().state ==
          (left == 0 ? protocol::KeyState::kLocked : protocol::KeyState::kPinBlocked));
    if (left != 0) {
      ready.bench.PowerCycle();
      login = ready.Login();
      CHECK(login.status().tries == left);
    }
  }
  CHECK(left == 0);
  ready.bench.PowerCycle();
  login = ready.Login();
  CHECK(login.status().state == protocol::KeyState::kLocked);
  CHECK(Verify(login, kPin).status == Status::kPinLocked);

  // Unblocking forgets PIN and passwords, and gives tries back.
  Host daemon = ready.Daemon();
  const protocol::Hash hash =
      protocol::ActivationHash(ready.owner.statement.device_id, protocol::AsBytes("NEWCODE99"));
  REQUIRE(ready.owner.Put(daemon, ready.owner.Seal(protocol::JobType::kPinUnblock, hash)).ok());
  CHECK(ready.bench.key().View().state == protocol::KeyState::kEnrolledNoPin);
  REQUIRE(ready.owner.Put(daemon, ready.owner.SealPassword("after")).ok());
  CHECK(login.Request(Op::kPinSet, ready.owner.PinSetBody(kPin)).status ==
        Status::kPinWrong);  // the old code
  ready.owner.code = "NEWCODE99";
  REQUIRE(login.Request(Op::kPinSet, ready.owner.PinSetBody("77777777")).ok());
  CHECK(ready.owner.Release(login, "77777777") == "after");
  CHECK(ready.owner.Release(login, "77777777", 1).empty());
}

TEST_CASE("a right PIN gives all tries back") {
  Ready ready;
  Host login = ready.Login();
  CHECK(Verify(login, kWrong).body == Blob{7});
  CHECK(Verify(login, kWrong).body == Blob{6});
  CHECK(Verify(login, kPin).body == Blob{8});
  CHECK(Verify(login, kWrong).body == Blob{7});
  CHECK(Verify(login, kWrong).body == Blob{6});
  CHECK(Verify(login, kWrong).body == Blob{5});
  CHECK(Verify(login, kPin).status == Status::kPinBlocked);
}

TEST_CASE("a try is taken durably before the PIN is compared") {
  Ready ready;
  Host login = ready.Login();
  // One bad page is made up for by the other.
  ready.bench.flash().FailPage(kTriesPageA, FlashResult::kFault, 100'000);
  CHECK(Verify(login, kPin).ok());
  // The flash takes nothing: then the right PIN is not even looked at.
  ready.bench.flash().FailPage(kTriesPageB, FlashResult::kFault, 100'000);
  CHECK(Verify(login, kPin).status == Status::kStorageFault);
  CHECK(Verify(login, "000000").status == Status::kStorageFault);
  ready.bench.flash().FailPage(kTriesPageA, FlashResult::kOk, 0);
  ready.bench.flash().FailPage(kTriesPageB, FlashResult::kOk, 0);
  CHECK(Verify(login, "000000").body == Blob{7});
  CHECK(login.Request(Op::kRelease, ready.owner.ReleaseBody()).status == Status::kPinRequired);
}

TEST_CASE("a policy never raises the tries left") {
  Ready ready;
  Host login = ready.Login();
  Host daemon = ready.Daemon();
  CHECK(Verify(login, kWrong).body == Blob{7});
  protocol::Policy policy;
  policy.pin_tries = 3;
  REQUIRE(
      ready.owner.Put(daemon, ready.owner.Seal(protocol::JobType::kPolicy, policy.Encode())).ok());
  CHECK(Verify(login, kWrong).body == Blob{2});
  policy.pin_tries = 8;
  REQUIRE(
      ready.owner.Put(daemon, ready.owner.Seal(protocol::JobType::kPolicy, policy.Encode())).ok());
  CHECK(Verify(login, kWrong).body == Blob{1});
  ready.bench.PowerCycle();
  login = ready.Login();
  CHECK(login.status().tries == 1);
  CHECK(Verify(login, kPin).body == Blob{8});
}

TEST_CASE("the activation code has three tries across power cycles") {
  Ready ready(false);
  Host login = ready.Login();
  CHECK(login.status().tries == 3);
  ready.owner.code = "WRONGCODE";
  CHECK(login.Request(Op::kPinSet, ready.owner.PinSetBody(kPin)).body == Blob{2});
  ready.bench.PowerCycle();
  login = ready.Login();
  CHECK(login.Request(Op::kPinSet, ready.owner.PinSetBody(kPin)).body == Blob{1});
  CHECK(login.Request(Op::kPinSet, ready.owner.PinSetBody(kPin)).body == Blob{0});
  ready.owner.code = "7KQ4M2XD";
  const Reply locked = login.Request(Op::kPinSet, ready.owner.PinSetBody(kPin));
  CHECK(locked.status == Status::kPinLocked);
  CHECK(locked.body == Blob{0});
  CHECK(ready.bench.key().View().state == protocol::KeyState::kLocked);
}

TEST_CASE("PIN fields and minimum are checked before anything is spent") {
  Ready ready(false);
  Host login = ready.Login();
  CHECK(login.Request(Op::kPinSet, ready.owner.PinSetBody("12345")).status ==
        Status::kBadFormat);  // pin_min 6
  CHECK(login.Request(Op::kPinVerify, Owner::PinBody(kPin)).status == Status::kPinRequired);
  REQUIRE(login.Request(Op::kPinSet, ready.owner.PinSetBody(kPin)).ok());
  CHECK(login.Request(Op::kPinSet, ready.owner.PinSetBody(kPin)).status == Status::kNotAuthorised);
  Blob dirty = Owner::PinBody(kPin);
  dirty.back() = 1;
  CHECK(login.Request(Op::kPinVerify, dirty).status == Status::kBadFormat);
  CHECK(login.Request(Op::kPinVerify, Owner::PinBody("123")).status == Status::kBadFormat);
  CHECK(Verify(login, kWrong).body == Blob{7});
}

TEST_CASE("PIN_CHANGE takes the old PIN and ends verifications everywhere") {
  Ready ready;
  Host one = ready.Login();
  Host two(ready.bench, ready.owner.issuer, protocol::kRoleLogin, 1, 55);
  REQUIRE(two.Connect());
  REQUIRE(Verify(one, kPin).ok());
  Blob body = Owner::PinBody(kPin);
  const Blob fresh = Owner::PinBody("abcdefgh");
  body.insert(body.end(), fresh.begin(), fresh.end());
  const Reply changed = two.Request(Op::kPinChange, body);
  CHECK(changed.ok());
  CHECK(changed.body == Blob{8});
  CHECK(one.Request(Op::kRelease, ready.owner.ReleaseBody()).status == Status::kPinRequired);
  CHECK(Verify(one, kPin).status == Status::kPinWrong);
  CHECK(ready.owner.Release(one, "abcdefgh") == "secret");
}

TEST_CASE("a verification lasts thirty seconds, for one release, in its own session") {
  Ready ready;
  Host login = ready.Login();
  Host other(ready.bench, ready.owner.issuer, protocol::kRoleLogin, 1, 56);
  REQUIRE(other.Connect());
  const Blob release = ready.owner.ReleaseBody();
  REQUIRE(Verify(login, kPin).ok());
  CHECK(other.Request(Op::kRelease, release).status == Status::kPinRequired);
  ready.bench.Pass(29'900);
  CHECK(login.Request(Op::kRelease, release).ok());
  CHECK(login.Request(Op::kRelease, release).status == Status::kPinRequired);
  REQUIRE(Verify(login, kPin).ok());
  ready.bench.Pass(30'100);
  CHECK(login.Request(Op::kRelease, release).status == Status::kPinRequired);
  REQUIRE(Verify(login, kPin).ok());
  CHECK(Verify(other, kWrong).status == Status::kPinWrong);
  CHECK(login.Request(Op::kRelease, release).status == Status::kPinRequired);
  // An empty slot does not use it up.
  REQUIRE(Verify(login, kPin).ok());
  CHECK(login.Request(Op::kRelease, ready.owner.ReleaseBody(1)).status == Status::kNoPassword);
  CHECK(login.Request(Op::kRelease, release).ok());
}

TEST_CASE("RELEASE waits fifteen seconds for a touch that begins after it") {
  Ready ready;
  Host login = ready.Login();
  ready.bench.touching = Touching::kManual;
  const Blob release = ready.owner.ReleaseBody();
  REQUIRE(Verify(login, kPin).ok());

  SECTION("given") {
    ready.bench.key().OnTouch(TouchEvent::kDown);  // too early
    login.Ask(Op::kRelease, release);
    REQUIRE(ready.bench.waiting);
    ready.bench.key().OnTouch(TouchEvent::kUp);
    ready.bench.Pass(1'000);
    REQUIRE(ready.bench.waiting);
    ready.bench.key().OnTouch(TouchEvent::kDown);
    CHECK(login.Hear().ok());
    CHECK(ready.bench.touch_keepalives >= 9);
  }
  SECTION("not given") {
    login.Ask(Op::kRelease, release);
    ready.bench.Pass(14'990);
    CHECK(ready.bench.waiting);
    ready.bench.Pass(15);
    CHECK_FALSE(ready.bench.waiting);
    CHECK(login.Hear().status == Status::kTouchTimeout);
    CHECK(ready.bench.touch_keepalives >= 140);
    CHECK(login.Request(Op::kRelease, release).status == Status::kPinRequired);  // used up
  }
  SECTION("cancelled") {
    login.Ask(Op::kRelease, release);
    ready.bench.Send(login.cid(), FrameCommand::kCancel, {});
    CHECK(login.Hear().status == Status::kCancelled);
  }
  SECTION("everybody else is told that the key is busy") {
    login.Ask(Op::kRelease, release);
    Host daemon = ready.owner.Daemon();
    ready.bench.Send(protocol::kBroadcastCid, FrameCommand::kInit, Blob(8));
    const auto busy = ready.bench.Receive(protocol::kBroadcastCid);
    REQUIRE(busy.has_value());
    CHECK(busy->data == Blob{0x06});
    ready.bench.key().OnTouch(TouchEvent::kDown);
    CHECK(login.Hear().ok());
  }
  SECTION("given up by INIT on its own channel") {
    login.Ask(Op::kRelease, release);
    ready.bench.Send(login.cid(), FrameCommand::kInit, Blob(8));
    const auto answer = ready.bench.Receive(login.cid());
    REQUIRE(answer.has_value());
    CHECK(answer->command == FrameCommand::kInit);
    CHECK_FALSE(ready.bench.waiting);
    ready.bench.key().OnTouch(TouchEvent::kDown);
    CHECK_FALSE(ready.bench.Receive(login.cid(), 1'000).has_value());
    login.Ask(Op::kGetStatus);
    CHECK(login.Hear().frame_error == protocol::FrameError::kNoSession);
  }
}

TEST_CASE("touch_to_store asks for a touch before a password is stored") {
  protocol::Policy policy;
  policy.touch_to_store = true;
  Bench bench;
  bench.PowerOn();
  Owner owner(bench);
  owner.policy = policy;
  owner.Enrol();
  Host daemon = owner.Daemon();
  REQUIRE(daemon.Connect());
  bench.touching = Touching::kManual;
  const Blob job = owner.SealPassword("touched");
  daemon.Ask(Op::kPutJob, job);
  REQUIRE(bench.waiting);
  const Reply refused = daemon.Hear();
  CHECK(refused.status == Status::kTouchTimeout);
  CHECK(refused.body.empty());
  daemon.Ask(Op::kPutJob, job);
  REQUIRE(bench.waiting);
  bench.key().OnTouch(TouchEvent::kDown);
  CHECK(daemon.Hear().ok());
  // Only passwords.
  daemon.Ask(Op::kPutJob, job);
  CHECK_FALSE(bench.waiting);
  CHECK(daemon.Hear().ok());
}

TEST_CASE("keep_previous 0 keeps none") {
  protocol::Policy policy;
  policy.keep_previous = false;
  Ready ready(true, policy);
  Host daemon = ready.Daemon();
  Host login = ready.Login();
  REQUIRE(ready.owner.Put(daemon, ready.owner.SealPassword("second")).ok());
  CHECK(ready.owner.Release(login, kPin) == "second");
  CHECK(ready.owner.Release(login, kPin, 1).empty());
}

TEST_CASE("assertions say what was really asked and given") {
  Ready ready;
  Host login = ready.Login();
  Host daemon = ready.Daemon();
  protocol::AssertRequest request;
  request.challenge.fill(1);
  request.context_hash.fill(2);
  const auto ask = [&](Host& host, std::uint8_t want) {
    request.want = want;
    return host.Request(Op::kAssert, request.Encode());
  };
  const auto flags_of = [&](const Reply& reply) {
    REQUIRE(reply.ok());
    const auto assertion = protocol::Assertion::Parse(reply.body);
    REQUIRE(assertion.has_value());
    CHECK(assertion->VerifySignature(ready.owner.statement.sig_pub));
    CHECK(assertion->receipt_ctr == 2);
    CHECK(assertion->challenge == request.challenge);
    return static_cast<int>(assertion->flags);
  };
  CHECK(flags_of(ask(daemon, 0)) == 0);
  CHECK(ask(daemon, 1).status == Status::kNotAuthorised);
  CHECK(flags_of(ask(login, 0)) == 4);
  CHECK(flags_of(ask(login, 1)) == 5);
  CHECK(ask(login, 2).status == Status::kPinRequired);
  REQUIRE(Verify(login, kPin).ok());
  CHECK(flags_of(ask(login, 2)) == 6);
  CHECK(ask(login, 2).status == Status::kPinRequired);
  REQUIRE(Verify(login, kPin).ok());
  CHECK(flags_of(ask(login, 3)) == 7);
  ready.bench.touching = Touching::kRefuse;
  CHECK(ask(login, 1).status == Status::kCancelled);
}

TEST_CASE("without the PIN the vault does not open, whatever the flash holds") {
  Ready ready;
  // The record says that no PIN is needed; the vault key is still wrapped under it.
  const FlashImage image = ready.bench.flash().image();
  Bench copy(image);
  copy.PowerOn();
  Host login(copy, ready.owner.issuer, protocol::kRoleLogin, 1, 12);
  REQUIRE(login.Connect());
  for (const char* guess : {"482917", "48291", "4829160"}) {
    if (std::string_view(guess).size() < 4) continue;
    CHECK(Verify(login, guess).status == Status::kPinWrong);
  }
  for (const char* secret : {"secret", kPin}) {
    const auto& bytes = image.bytes;
    const std::string_view text(secret);
    CHECK(std::search(bytes.begin(), bytes.end(), text.begin(), text.end()) == bytes.end());
  }
}

}  // namespace
}  // namespace keyferry::sim::test
