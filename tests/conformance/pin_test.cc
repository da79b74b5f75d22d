// PROTOCOL.md section 5: PIN, activation code, release, assertion, touch, local wipe.
#include <catch2/catch.hpp>

#include "tests/conformance/driver.h"

namespace keyferry::conformance {
namespace {

struct Vault {
  explicit Vault(const std::string& touch = "auto") : simulator(touch), wire(simulator.socket()) {}
  Simulator simulator;
  Wire wire;
  Enrolled key = Enrol(wire);
  Session Login() { return Session(wire, wire.Open(), key.organisation.MakeHost(kRoleLogin)); }
  Session Deliverer() {
    return Session(wire, wire.Open(), key.organisation.MakeHost(kRoleDeliver));
  }
  void Store(const std::string& password) {
    Session session = Deliverer();
    key.Deliver(session, key.SealPassword("taras", password));
  }
};

Response SetPinWith(Session& session, const std::string& code, const std::string& pin) {
  return session.Request(Op::kPinSet, Concat({CodeField(code), PinField(pin)}));
}

Response Verify(Session& session, const std::string& pin) {
  return session.Request(Op::kPinVerify, PinField(pin));
}

std::string PasswordOf(const Response& response) {
  const auto released = Released::Parse(response.body);
  return released ? std::string(released->password.begin(), released->password.end()) : "";
}

TEST_CASE_METHOD(Vault, "pin: the activation code sets it, once") {
  Session login = Login();
  CHECK(Verify(login, kPin).status == Status::kPinRequired);
  CHECK(SetPinWith(login, kCode, kPin).status == Status::kOk);
  CHECK(SetPinWith(login, kCode, kPin).status == Status::kNotAuthorised);
  CHECK(Verify(login, kPin).status == Status::kOk);
  CHECK(wire.ReadInfo(wire.Open()).state == KeyState::kReady);
}

TEST_CASE_METHOD(Vault, "pin: three wrong activation codes lock the key, across power cycles") {
  {
    Session login = Login();
    CHECK(SetPinWith(login, "WRONG-CODE", kPin).body == Blob{2});
  }
  simulator.KillAndRestart();
  Wire again(simulator.socket());
  Session login(again, again.Open(), key.organisation.MakeHost(kRoleLogin));
  const Response second = SetPinWith(login, "WRONG-CODE", kPin);
  CHECK(second.status == Status::kPinWrong);
  CHECK(second.body == Blob{1});
  SetPinWith(login, "WRONG-CODE", kPin);
  const Response locked = SetPinWith(login, kCode, kPin);
  CHECK(locked.status == Status::kPinLocked);
  CHECK(locked.body == Blob{0});
  CHECK(again.ReadInfo(again.Open()).state == KeyState::kLocked);
}

TEST_CASE_METHOD(
    Vault, "pin: too short for the policy, too long, bad padding are BAD_FORMAT and cost no try") {
  Session login = Login();
  CHECK(SetPinWith(login, kCode, "12345").status == Status::kBadFormat);
  Blob padded = Concat({CodeField(kCode), PinField(kPin)});
  padded.back() = 1;
  CHECK(login.Request(Op::kPinSet, padded).status == Status::kBadFormat);
  CHECK(login.Request(Op::kPinSet, CodeField(kCode)).status == Status::kBadFormat);
  CHECK(SetPinWith(login, kCode, kPin).status == Status::kOk);
  CHECK(Verify(login, "123").status == Status::kBadFormat);
}

TEST_CASE_METHOD(Vault, "pin: a wrong one counts down, the right one restores") {
  SetPin(wire, key);
  Session login = Login();
  const Response wrong = Verify(login, "999999");
  CHECK(wrong.status == Status::kPinWrong);
  CHECK(wrong.body == Blob{7});
  const Response right = Verify(login, kPin);
  CHECK(right.status == Status::kOk);
  CHECK(right.body == Blob{8});
}

TEST_CASE_METHOD(Vault,
                 "pin: three wrong in a power cycle block until the next, eight in all lock") {
  SetPin(wire, key);
  {
    Session login = Login();
    Verify(login, "999999");
    Verify(login, "999999");
    CHECK(Verify(login, "999999").status == Status::kPinWrong);
    const Response blocked = Verify(login, kPin);
    CHECK(blocked.status == Status::kPinBlocked);
    CHECK(blocked.body == Blob{5});
    CHECK(login.Refresh().state == KeyState::kPinBlocked);
  }
  for (const int tries : {3, 2}) {
    simulator.Control("unplug");
    simulator.Control("plug");
    Wire again(simulator.socket());
    Session login(again, again.Open(), key.organisation.MakeHost(kRoleLogin));
    for (int i = 0; i < tries; ++i) Verify(login, "999999");
    if (tries == 2) {
      CHECK(Verify(login, kPin).status == Status::kPinLocked);
      CHECK(login.Refresh().state == KeyState::kLocked);
    }
  }
}

TEST_CASE_METHOD(Vault, "pin: change needs the old one") {
  SetPin(wire, key);
  Session login = Login();
  CHECK(login.Request(Op::kPinChange, Concat({PinField("999999"), PinField("135791")})).status ==
        Status::kPinWrong);
  CHECK(login.Request(Op::kPinChange, Concat({PinField(kPin), PinField("135791")})).status ==
        Status::kOk);
  CHECK(Verify(login, kPin).status == Status::kPinWrong);
  CHECK(Verify(login, "135791").status == Status::kOk);
}

TEST_CASE_METHOD(Vault, "release: PIN and touch give login and password; each PIN releases once") {
  SetPin(wire, key);
  Store("Kobzar-1840");
  Session login = Login();
  CHECK(login.Request(Op::kRelease, ReleaseBody(key.account_id, 0)).status == Status::kPinRequired);
  REQUIRE(Verify(login, kPin).status == Status::kOk);
  const Response released = login.Request(Op::kRelease, ReleaseBody(key.account_id, 0));
  REQUIRE(released.status == Status::kOk);
  CHECK(released.body.size() == kReleaseBodySize);
  CHECK(PasswordOf(released) == "Kobzar-1840");
  CHECK(Released::Parse(released.body)->seq == 1);
  CHECK(login.Request(Op::kRelease, ReleaseBody(key.account_id, 0)).status == Status::kPinRequired);
}

TEST_CASE_METHOD(Vault, "release: a password stored before the PIN was set, and after a restart") {
  Store("Before-PIN-1840");
  SetPin(wire, key);
  simulator.KillAndRestart();
  Wire again(simulator.socket());
  Session login(again, again.Open(), key.organisation.MakeHost(kRoleLogin));
  REQUIRE(Verify(login, kPin).status == Status::kOk);
  CHECK(PasswordOf(login.Request(Op::kRelease, ReleaseBody(key.account_id, 0))) ==
        "Before-PIN-1840");
}

TEST_CASE_METHOD(Vault, "release: empty slots, another account, a slot that does not exist") {
  SetPin(wire, key);
  Session login = Login();
  REQUIRE(Verify(login, kPin).status == Status::kOk);
  CHECK(login.Request(Op::kRelease, ReleaseBody(key.account_id, 2)).status == Status::kBadFormat);
  Id other = key.account_id;
  other[0] ^= 1;
  CHECK(login.Request(Op::kRelease, ReleaseBody(other, 0)).status == Status::kWrongAccount);
  CHECK(login.Request(Op::kRelease, ReleaseBody(key.account_id, 0)).status == Status::kNoPassword);
}

TEST_CASE_METHOD(Vault, "release: previous stays until the new one is confirmed") {
  SetPin(wire, key);
  Store("One-1840");
  Store("Two-1840");
  Session login = Login();
  REQUIRE(Verify(login, kPin).status == Status::kOk);
  CHECK(PasswordOf(login.Request(Op::kRelease, ReleaseBody(key.account_id, 1))) == "One-1840");
  Bytes<8> seq{};
  Writer(seq).U64(1);
  CHECK(login.Request(Op::kConfirmLogin, Concat({key.account_id, seq})).status == Status::kOk);
  CHECK(login.Refresh().slots == 0b011);
  Writer(seq).U64(2);
  CHECK(login.Request(Op::kConfirmLogin, Concat({key.account_id, seq})).status == Status::kOk);
  CHECK(login.Refresh().slots == 0b001);
}

TEST_CASE_METHOD(Vault, "release: a held password cannot be released") {
  SetPin(wire, key);
  Session deliver = Deliverer();
  key.Deliver(deliver, key.SealPassword("taras", "Held-1840", kFlagHold));
  Session login = Login();
  REQUIRE(Verify(login, kPin).status == Status::kOk);
  CHECK(login.Request(Op::kRelease, ReleaseBody(key.account_id, 0)).status == Status::kNoPassword);
}

TEST_CASE_METHOD(Vault, "pin: PIN_UNBLOCK forgets PIN and passwords and takes a new code") {
  SetPin(wire, key);
  Store("Kobzar-1840");
  const std::string code = "NEWC-ODE2-NEWC-ODE3";
  const Hash hash = ActivationHash(key.device_id, AsBytes(code));
  Session deliver = Deliverer();
  key.Deliver(deliver, key.Seal(JobType::kPinUnblock, hash));
  CHECK(deliver.Refresh().slots == 0);
  CHECK(deliver.Refresh().state == KeyState::kEnrolledNoPin);
  Session login = Login();
  CHECK(Verify(login, kPin).status == Status::kPinRequired);
  CHECK(SetPinWith(login, kCode, kPin).status == Status::kPinWrong);
  CHECK(SetPinWith(login, code, "654321").status == Status::kOk);
}

TEST_CASE_METHOD(Vault,
                 "assert: signed, with what was really done, and only what the role may say") {
  SetPin(wire, key);
  AssertRequest request;
  Random().Fill(request.challenge);
  Random().Fill(request.context_hash);
  Session login = Login();
  request.want = 3;
  CHECK(login.Request(Op::kAssert, request.Encode()).status == Status::kPinRequired);
  REQUIRE(Verify(login, kPin).status == Status::kOk);
  const Response answer = login.Request(Op::kAssert, request.Encode());
  const auto assertion = Assertion::Parse(answer.body);
  REQUIRE(assertion);
  CHECK(assertion->flags == (kAssertTouched | kAssertPin | kAssertByLogin));
  CHECK(assertion->challenge == request.challenge);
  CHECK(assertion->context_hash == request.context_hash);
  CHECK(assertion->account_id == key.account_id);
  CHECK(assertion->VerifySignature(key.statement.sig_pub));
  CHECK(login.Request(Op::kAssert, request.Encode()).status == Status::kPinRequired);

  Session deliver = Deliverer();
  CHECK(deliver.Request(Op::kAssert, request.Encode()).status == Status::kNotAuthorised);
  request.want = 0;
  const auto attached = Assertion::Parse(deliver.Request(Op::kAssert, request.Encode()).body);
  REQUIRE(attached);
  CHECK(attached->flags == 0);
}

TEST_CASE("touch: asked by KEEPALIVE, cancelled by CANCEL, given once") {
  Simulator simulator("ask");
  Wire wire(simulator.socket());
  Organisation organisation;
  const std::uint32_t cid = wire.Open();
  Session session(wire, cid, organisation.MakeHost(kRoleEnroll));
  const EnrollBegin begin = organisation.Begin();
  MessageHeader header;
  header.op = static_cast<std::uint8_t>(Op::kEnrollBegin);

  session.Send(Concat({header.Encode(), begin.Encode()}));
  const auto waiting = wire.Receive();
  REQUIRE(waiting);
  CHECK(HidFrame::Parse(*waiting).command == static_cast<std::uint8_t>(FrameCommand::kKeepalive));
  wire.SendMessage(cid, static_cast<std::uint8_t>(FrameCommand::kCancel), {});
  CHECK(session.Receive().status == Status::kCancelled);

  session.Send(Concat({header.Encode(), begin.Encode()}));
  const auto again = wire.Receive();
  REQUIRE(again);
  simulator.Control("touch");
  const Response touched = session.Receive();
  CHECK(touched.status == Status::kOk);
  CHECK(Statement::Parse(touched.body).has_value());
}

TEST_CASE("touch: while one channel waits, others are BUSY") {
  Simulator simulator("ask");
  Wire wire(simulator.socket());
  Organisation organisation;
  const std::uint32_t other = wire.Open();
  const std::uint32_t cid = wire.Open();
  Session session(wire, cid, organisation.MakeHost(kRoleEnroll));
  MessageHeader header;
  header.op = static_cast<std::uint8_t>(Op::kEnrollBegin);
  session.Send(Concat({header.Encode(), organisation.Begin().Encode()}));
  REQUIRE(wire.Receive());
  wire.SendMessage(other, static_cast<std::uint8_t>(FrameCommand::kPing), {});
  for (;;) {
    const auto report = wire.Receive();
    REQUIRE(report);
    const HidFrame frame = HidFrame::Parse(*report);
    if (frame.cid != other) continue;  // KEEPALIVE of the waiting channel
    CHECK(frame.command == static_cast<std::uint8_t>(FrameCommand::kError));
    CHECK(frame.data[0] == static_cast<std::uint8_t>(FrameError::kBusy));
    break;
  }
  simulator.Control("touch");
  CHECK(session.Receive().status == Status::kOk);
}

TEST_CASE("touch: a key that nobody touches answers TOUCH_TIMEOUT after fifteen seconds") {
  Simulator simulator("never");
  Wire wire(simulator.socket());
  Organisation organisation;
  Session session(wire, wire.Open(), organisation.MakeHost(kRoleEnroll));
  const Response answer = session.Request(Op::kEnrollBegin, organisation.Begin().Encode());
  CHECK(answer.status == Status::kTouchTimeout);
  CHECK(answer.touch_asked);
  CHECK(answer.keepalives > 10);
}

TEST_CASE_METHOD(Vault, "wipe: WIPE_LOCAL erases and leaves its receipt") {
  SetPin(wire, key);
  Store("Kobzar-1840");
  Session login = Login();
  const Response answer = login.Request(Op::kWipeLocal);
  const auto receipt = Receipt::Parse(answer.body);
  REQUIRE(receipt);
  CHECK(receipt->result == Status::kWiped);
  CHECK(IsAllZero(receipt->job_hash));
  CHECK(receipt->VerifySignature(key.statement.sig_pub));
  CHECK(wire.ReadInfo(wire.Open()).state == KeyState::kWiped);
}

TEST_CASE("wipe: RESET within ten seconds of power-on clears a key whose organisation is lost") {
  Simulator simulator;
  Wire wire(simulator.socket());
  const Enrolled key = Enrol(wire);
  const std::uint32_t cid = wire.Open();
  CHECK(wire.Exchange(cid, FrameCommand::kReset, {}).data == Blob{0});
  CHECK(wire.ReadInfo(cid).state == KeyState::kWiped);
  CHECK(Enrol(wire).device_id == key.device_id);
}

}  // namespace
}  // namespace keyferry::conformance
