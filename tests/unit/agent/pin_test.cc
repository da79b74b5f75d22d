// Setting and changing the PIN.
#include <catch2/catch.hpp>

#include "tests/unit/agent/attempt_fixture.h"

using namespace keyferry;
using namespace keyferry::test;
using login::Problem;
using login::Purpose;
using login::Type;
using protocol::KeyState;
using protocol::Op;

namespace {

Datagram Ask(AgentWorld& world, Purpose purpose, const Datagram& request, uid_t uid = 1000) {
  Attempt attempt(world, uid);
  attempt.client->Hello(purpose, "alice");
  const Datagram ready = attempt.client->Receive();
  if (TypeOf(ready) != Type::kReady) return ready;
  attempt.client->Send(request);
  return attempt.client->Receive();
}

Datagram SetPin(AgentWorld& world, const std::string& code, const std::string& pin) {
  Datagram out(login::kMaxMessage);
  out.resize(login::Write(login::PinSet{code, pin}, out));
  return Ask(world, Purpose::kPinSet, out);
}

Datagram ChangePin(AgentWorld& world, const std::string& old_pin, const std::string& new_pin) {
  Datagram out(login::kMaxMessage);
  out.resize(login::Write(login::PinChange{old_pin, new_pin}, out));
  return Ask(world, Purpose::kPinChange, out);
}

}  // namespace

TEST_CASE("the activation code sets the first PIN") {
  AgentWorld world;
  world.key.status.state = KeyState::kEnrolledNoPin;
  world.key.status.tries = 3;
  Datagram answer = SetPin(world, "WRONG-CODE", "111222");
  CHECK(ProblemOf(answer) == Problem::kWrongPin);
  CHECK(SentenceOf(answer) == "Wrong activation code, 2 tries left.");
  CHECK(TypeOf(SetPin(world, "ACTIVATE-ME", "111222")) == Type::kDone);
  CHECK(world.key.pin == "111222");
  CHECK(ProblemOf(SetPin(world, "ACTIVATE-ME", "333444")) == Problem::kPinIsSet);
  CHECK(world.key.pin == "111222");
}

TEST_CASE("too many wrong codes need a new one") {
  AgentWorld world;
  world.key.status.state = KeyState::kEnrolledNoPin;
  world.key.status.tries = 1;
  const Datagram answer = SetPin(world, "WRONG-CODE", "111222");
  CHECK(ProblemOf(answer) == Problem::kLocked);
  CHECK(SentenceOf(answer) ==
        "Too many wrong activation codes; ask your administrator for a new one.");
}

TEST_CASE("a code or PIN of impossible form costs no try") {
  AgentWorld world;
  world.key.status.state = KeyState::kEnrolledNoPin;
  CHECK(ProblemOf(SetPin(world, "SHORT", "111222")) == Problem::kPinRules);
  CHECK(ProblemOf(SetPin(world, "WITH SPACE", "111222")) == Problem::kPinRules);
  CHECK(ProblemOf(SetPin(world, "ACTIVATE-ME", "11122")) == Problem::kPinRules);
  CHECK(world.key.Count(Op::kPinSet) == 0);
}

TEST_CASE("the PIN is changed by who knows the old one") {
  AgentWorld world;
  CHECK(SentenceOf(ChangePin(world, "000000", "111222")) == "Wrong PIN, 7 tries left.");
  CHECK(ProblemOf(ChangePin(world, "246813", "11122")) == Problem::kPinRules);
  CHECK(world.key.Count(Op::kPinChange) == 1);
  CHECK(TypeOf(ChangePin(world, "246813", "111222")) == Type::kDone);
  CHECK(world.key.pin == "111222");
}

TEST_CASE("before there is a PIN none can be changed") {
  AgentWorld world;
  world.key.status.state = KeyState::kEnrolledNoPin;
  CHECK(ProblemOf(ChangePin(world, "246813", "111222")) == Problem::kNoPin);
}
