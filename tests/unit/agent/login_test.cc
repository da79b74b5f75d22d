// Logging in, unlocking and confirming, with a key that proved itself.
#include <catch2/catch.hpp>

#include "tests/unit/agent/attempt_fixture.h"

using namespace keyferry;
using namespace keyferry::test;
using login::Problem;
using login::Purpose;
using login::Type;
using protocol::KeyState;
using protocol::Op;
using protocol::Status;

namespace {

constexpr uid_t kNobody = 4242;

// HELLO, PIN, and everything that came afterwards.
std::vector<Datagram> LogIn(AgentWorld& world, Purpose purpose = Purpose::kLogin, uid_t uid = 0,
                            const std::string& user = "alice", const std::string& pin = "246813") {
  std::vector<Datagram> received;
  Attempt attempt(world, uid);
  attempt.client->Hello(purpose, user);
  received.push_back(attempt.client->Receive());
  if (TypeOf(received.back()) != Type::kReady) return received;
  attempt.client->Pin(pin);
  do received.push_back(attempt.client->Receive());
  while (!received.back().empty());
  received.pop_back();
  return received;
}

bool HasPassword(const std::vector<Datagram>& received, const std::string& password) {
  for (const Datagram& datagram : received) {
    const std::string text(datagram.begin(), datagram.end());
    if (text.find(password) != std::string::npos) return true;
  }
  return false;
}

}  // namespace

TEST_CASE("root is given the password after PIN and touch") {
  AgentWorld world;
  const auto received = LogIn(world);
  REQUIRE(received.size() == 3);
  const auto ready = login::ParseReady(received[0]);
  REQUIRE(ready);
  CHECK(ready->tries == 8);
  CHECK(ready->pin_set);
  CHECK(TypeOf(received[1]) == Type::kTouch);
  const auto released = login::ParseReleased(received[2]);
  REQUIRE(released);
  CHECK(released->password == world.key.password);
  CHECK(released->seq == 7);
  CHECK(world.key.Count(Op::kConfirmLogin) == 0);
}

TEST_CASE("the login is compared without regard to ASCII case, as the directory does") {
  AgentWorld world;
  world.key.login = "Alice";
  world.daemon.login = "ALICE";
  CHECK(TypeOf(LogIn(world).back()) == Type::kReleased);
  CHECK(login::SameLogin("aBc.Z", "AbC.z"));
  CHECK_FALSE(login::SameLogin("alice", "alice2"));
  CHECK_FALSE(login::SameLogin("a[", "a{"));
  CHECK_FALSE(login::SameLogin("", "a"));
}

TEST_CASE("a password for another login is not handed out") {
  AgentWorld world;
  world.key.login = GENERATE("mallory", "alic", "alice2");
  const auto received = LogIn(world);
  CHECK(ProblemOf(received.back()) == Problem::kWrongAccount);
  CHECK_FALSE(HasPassword(received, world.key.password));
}

TEST_CASE("a password that cannot be typed is not handed out") {
  AgentWorld world;
  world.key.password = std::string("with\0nul", 8);
  CHECK(ProblemOf(LogIn(world).back()) == Problem::kFailed);
}

TEST_CASE("who may ask for what") {
  AgentWorld world;
  REQUIRE(world.state->Remember(world.key.account, "alice"));
  struct Case {
    uid_t uid;
    Purpose purpose;
    bool allowed;
  };
  const Case cases[] = {
      {0, Purpose::kLogin, true},          {0, Purpose::kUnlock, true},
      {0, Purpose::kConfirm, true},        {kAlice, Purpose::kLogin, false},
      {kAlice, Purpose::kConfirm, false},  {kAlice, Purpose::kUnlock, true},
      {kAlice, Purpose::kPinChange, true}, {kBob, Purpose::kLogin, false},
      {kBob, Purpose::kUnlock, false},     {kBob, Purpose::kPinSet, false},
      {kBob, Purpose::kPinChange, false},  {kBob, Purpose::kConfirm, false},
      {kNobody, Purpose::kUnlock, false},  {kNobody, Purpose::kLogin, false},
  };
  for (const Case& c : cases) {
    INFO("uid " << c.uid << ", purpose " << static_cast<int>(c.purpose));
    const int relays = world.daemon.relays;
    Attempt attempt(world, c.uid);
    attempt.client->Hello(c.purpose, "alice");
    const Datagram answer = attempt.client->Receive();
    if (c.allowed) {
      CHECK(TypeOf(answer) == Type::kReady);
    } else {
      CHECK(ProblemOf(answer) == Problem::kDenied);
      CHECK(world.daemon.relays == relays);  // nothing was looked up for a stranger
    }
  }
}

TEST_CASE("a program that runs as the user gets yes, never the password") {
  AgentWorld world;
  REQUIRE(world.state->Remember(world.key.account, "alice"));
  const auto received = LogIn(world, Purpose::kUnlock, kAlice);
  CHECK(TypeOf(received.back()) == Type::kYes);
  CHECK(world.key.Count(Op::kAssert) == 1);
  CHECK(world.key.Count(Op::kRelease) == 0);
  CHECK_FALSE(HasPassword(received, world.key.password));
}

TEST_CASE("a key unlocks only for the login whose password it once released") {
  AgentWorld world;
  SECTION("nothing is known of it") {}
  SECTION("it is somebody else's") { REQUIRE(world.state->Remember(world.key.account, "bob")); }
  CHECK(ProblemOf(LogIn(world, Purpose::kUnlock, kAlice).back()) == Problem::kWrongAccount);
  CHECK(world.key.Count(Op::kPinVerify) == 0);
  CHECK(TypeOf(LogIn(world).back()) == Type::kReleased);
  CHECK(TypeOf(LogIn(world, Purpose::kUnlock, kAlice).back()) == Type::kYes);
}

TEST_CASE("an assertion that proves less than PIN and touch at this key does not unlock") {
  AgentWorld world;
  REQUIRE(world.state->Remember(world.key.account, "alice"));
  SECTION("forged") { world.key.faults.bad_assertion = true; }
  SECTION("without touch") { world.key.faults.assertion_flags = 6; }
  SECTION("without PIN") { world.key.faults.assertion_flags = 5; }
  SECTION("attached only") { world.key.faults.assertion_flags = 0; }
  const auto received = LogIn(world, Purpose::kUnlock, kAlice);
  REQUIRE(ProblemOf(received.back()).has_value());
  for (const Datagram& datagram : received) CHECK(TypeOf(datagram) != Type::kYes);
}

TEST_CASE("wrong PINs are told with the tries that are left") {
  AgentWorld world;
  const auto wrong = [&] { return LogIn(world, Purpose::kLogin, 0, "alice", "000000").back(); };
  Datagram answer = wrong();
  CHECK(ProblemOf(answer) == Problem::kWrongPin);
  CHECK(SentenceOf(answer) == "Wrong PIN, 7 tries left.");
  CHECK(login::ParseRefusal(answer)->tries == 7);
  wrong();
  answer = wrong();
  CHECK(ProblemOf(answer) == Problem::kBlocked);
  CHECK(SentenceOf(answer) ==
        "Three wrong PINs in a row: pull the security key out, plug it in and try again; 5 tries "
        "left.");
  world.key.status.tries = 2;
  CHECK(SentenceOf(wrong()) == "Wrong PIN, 1 try left.");
  answer = wrong();
  CHECK(ProblemOf(answer) == Problem::kLocked);
  CHECK(SentenceOf(answer).find("administrator") != std::string::npos);
  CHECK(world.key.Count(Op::kRelease) == 0);
}

TEST_CASE("what the key's state forbids is said before the PIN is asked for") {
  AgentWorld world;
  struct Case {
    KeyState state;
    std::uint8_t slots;
    Problem problem;
  };
  const Case c = GENERATE(
      Case{KeyState::kEnrolledNoPin, 1, Problem::kNoPin},
      Case{KeyState::kPinBlocked, 1, Problem::kBlocked},
      Case{KeyState::kLocked, 1, Problem::kLocked}, Case{KeyState::kTampered, 1, Problem::kFailed},
      Case{KeyState::kWiped, 0, Problem::kFailed}, Case{KeyState::kReady, 0, Problem::kNoPassword},
      Case{KeyState::kReady, 6, Problem::kNoPassword});
  world.key.status.state = c.state;
  world.key.status.slots = c.slots;
  const auto received = LogIn(world);
  REQUIRE(received.size() == 1);
  CHECK(ProblemOf(received[0]) == c.problem);
}

TEST_CASE("no touch, no password") {
  AgentWorld world;
  world.key.touch = LoginKey::Touch::kTimeout;
  const auto received = LogIn(world);
  CHECK(ProblemOf(received.back()) == Problem::kTouchTimeout);
  CHECK_FALSE(HasPassword(received, world.key.password));
}

TEST_CASE("a client that goes, or cancels, ends the key's wait for touch") {
  AgentWorld world;
  world.key.touch = LoginKey::Touch::kNever;
  const bool closes = GENERATE(true, false);
  {
    Attempt attempt(world);
    attempt.client->Hello(Purpose::kLogin, "alice");
    REQUIRE(TypeOf(attempt.client->Receive()) == Type::kReady);
    attempt.client->Pin("246813");
    world.key.WaitForTouchWait();
    if (closes) {
      attempt.client->Close();
    } else {
      attempt.client->Cancel();
      Datagram answer;
      do answer = attempt.client->Receive();
      while (TypeOf(answer) == Type::kTouch);
      CHECK(ProblemOf(answer) == Problem::kCancelled);
    }
  }  // the attempt ends
  CHECK(world.key.cancelled());
}

TEST_CASE("a key that refuses to release is reported as what it said") {
  AgentWorld world;
  struct Case {
    Status status;
    Problem problem;
  };
  const Case c = GENERATE(
      Case{Status::kNoPassword, Problem::kNoPassword}, Case{Status::kPinRequired, Problem::kFailed},
      Case{Status::kPinBlocked, Problem::kBlocked}, Case{Status::kPinLocked, Problem::kLocked},
      Case{Status::kTamper, Problem::kFailed}, Case{Status::kNotAuthorised, Problem::kFailed},
      Case{Status::kInternal, Problem::kFailed});
  world.key.faults.refuse_release = c.status;
  CHECK(ProblemOf(LogIn(world).back()) == c.problem);
}

TEST_CASE("a confirmed login reaches the key and the server") {
  AgentWorld world;
  const auto confirm = [&] {
    Attempt attempt(world);
    attempt.client->Hello(Purpose::kConfirm, "alice");
    REQUIRE(TypeOf(attempt.client->Receive()) == Type::kReady);
    Datagram out(login::kMaxMessage);
    out.resize(login::WriteConfirm(7, out));
    attempt.client->Send(out);
    return attempt.client->Receive();
  };
  CHECK(TypeOf(confirm()) == Type::kDone);
  CHECK(world.key.confirmed == 7);
  CHECK(world.daemon.used == std::vector<std::uint64_t>{7});
  world.daemon.used_error = Error{ErrorCode::kUnavailable, "Gone.", {}, 0};
  CHECK(TypeOf(confirm()) == Type::kDone);  // the key knows; that is what counts
}

TEST_CASE("what is no message, or not the one whose turn it is, ends the attempt") {
  AgentWorld world;
  SECTION("instead of HELLO") {
    Attempt attempt(world);
    attempt.client->Send(
        GENERATE(Datagram{}, Datagram{1}, Datagram{1, 2, 3}, Datagram(600, 1), Datagram(4096, 1)));
    attempt.client->Pin("246813");
    const Datagram answer = attempt.client->Receive();
    CHECK((answer.empty() || ProblemOf(answer) == Problem::kFailed ||
           ProblemOf(answer) == Problem::kCancelled));
    CHECK(world.daemon.relays == 0);
  }
  SECTION("instead of the PIN") {
    Attempt attempt(world);
    attempt.client->Hello(Purpose::kLogin, "alice");
    REQUIRE(TypeOf(attempt.client->Receive()) == Type::kReady);
    SECTION("garbage") { attempt.client->Send(Datagram{9, 9, 9}); }
    SECTION("too long") { attempt.client->Send(Datagram(4096, 1)); }
    SECTION("HELLO again") { attempt.client->Hello(Purpose::kLogin, "alice"); }
    SECTION("CONFIRM") {
      Datagram out(login::kMaxMessage);
      out.resize(login::WriteConfirm(7, out));
      attempt.client->Send(out);
    }
    CHECK(ProblemOf(attempt.client->Receive()) == Problem::kFailed);
    CHECK(attempt.client->Receive().empty());
  }
  SECTION("CANCEL instead of the PIN") {
    Attempt attempt(world);
    attempt.client->Hello(Purpose::kLogin, "alice");
    REQUIRE(TypeOf(attempt.client->Receive()) == Type::kReady);
    attempt.client->Cancel();
    CHECK(ProblemOf(attempt.client->Receive()) == Problem::kCancelled);
  }
  SECTION("a PIN that is too short for any key") {
    CHECK(ProblemOf(LogIn(world, Purpose::kLogin, 0, "alice", "123").back()) == Problem::kPinRules);
  }
  CHECK(world.key.Count(Op::kPinVerify) == 0);
}

TEST_CASE("a client that says nothing is let go") {
  AgentWorld world;
  world.limits.greeting = std::chrono::milliseconds(1);
  world.limits.typing = std::chrono::milliseconds(1);
  {
    Attempt attempt(world);
    CHECK(ProblemOf(attempt.client->Receive()) == Problem::kCancelled);
    CHECK(attempt.client->Receive().empty());
  }
  world.limits.greeting = std::chrono::seconds(3);
  Attempt attempt(world);
  attempt.client->Hello(Purpose::kLogin, "alice");
  REQUIRE(TypeOf(attempt.client->Receive()) == Type::kReady);
  CHECK(ProblemOf(attempt.client->Receive()) == Problem::kCancelled);
}
