// The answer to the help desk's question: what is shown is what is signed, and nothing without PIN
// and touch.
#include <catch2/catch.hpp>

#include "protocol/caller_proof.h"
#include "tests/unit/agent/attempt_fixture.h"

using namespace keyferry;
using namespace keyferry::test;
using login::Problem;
using login::Purpose;
using login::Type;
using protocol::KeyState;
using protocol::Op;

namespace {

struct CallerWorld : AgentWorld {
  CallerWorld() {
    daemon.question = login::QuestionAtHand{{5}, {6, 7}, "Anna Agent (anna)", "INC-1", "forgot it"};
  }
  // HELLO and what came.
  Datagram Begin(Attempt& attempt, const std::string& user = "alice") {
    attempt.client->Hello(Purpose::kCaller, user);
    return attempt.client->Receive();
  }
  // The whole way with this number and PIN; the last datagram.
  Datagram Prove(const std::string& number = "047", const std::string& pin = "246813",
                 uid_t uid = kAlice) {
    Attempt attempt(*this, uid);
    REQUIRE(TypeOf(Begin(attempt)) == Type::kQuestion);
    attempt.client->Prove(number, pin);
    return Last(attempt);
  }
  static Datagram Last(Attempt& attempt) {
    Datagram last;
    for (Datagram next = attempt.client->Receive(); !next.empty();
         next = attempt.client->Receive()) {
      last = next;
    }
    return last;
  }
};

}  // namespace

TEST_CASE("the person sees who asks and why; number, PIN and touch make the key's proof of it") {
  CallerWorld world;
  Attempt attempt(world, kAlice);
  const Datagram shown = world.Begin(attempt);
  const auto question = login::ParseQuestion(shown);
  REQUIRE(question);
  CHECK(question->asker == "Anna Agent (anna)");
  CHECK(question->ticket == "INC-1");
  CHECK(question->reason == "forgot it");
  CHECK(world.key.handshakes() == 0);  // the key is left alone until there is an answer
  attempt.client->Prove("047", "246813");
  CHECK(TypeOf(attempt.client->Receive()) == Type::kTouch);
  CHECK(TypeOf(attempt.client->Receive()) == Type::kDone);
  REQUIRE(world.daemon.answers.size() == 1);
  REQUIRE(world.daemon.answers[0]);
  const auto proof = protocol::Assertion::Parse(*world.daemon.answers[0]);
  REQUIRE(proof);
  CHECK(proof->challenge == world.daemon.question->challenge);
  CHECK(proof->context_hash ==
        protocol::CallerContext({1}, {5}, {"Anna Agent (anna)", "INC-1", "forgot it", "047"}));
  CHECK(proof->flags == 7);
  protocol::P256Public signer{};
  REQUIRE(protocol::P256DerivePublic(world.key.device_key, signer));
  CHECK(proof->VerifySignature(signer));
  CHECK(world.key.Count(Op::kRelease) == 0);
}

TEST_CASE("no key is needed to say: this is not me") {
  CallerWorld world;
  world.daemon.relay_error = Error{ErrorCode::kNotFound, "No key.", {}, 0};
  Attempt attempt(world, kAlice);
  REQUIRE(TypeOf(world.Begin(attempt)) == Type::kQuestion);
  attempt.client->Deny();
  CHECK(TypeOf(attempt.client->Receive()) == Type::kDone);
  REQUIRE(world.daemon.answers.size() == 1);
  CHECK_FALSE(world.daemon.answers[0]);
  CHECK(world.key.handshakes() == 0);
}

TEST_CASE("nothing is asked, or not this person") {
  CallerWorld world;
  SECTION("nothing") {
    world.daemon.question.reset();
    Attempt attempt(world, kAlice);
    CHECK(ProblemOf(world.Begin(attempt)) == Problem::kNoQuestion);
  }
  SECTION("somebody else's") {
    Attempt attempt(world, kBob);
    CHECK(ProblemOf(world.Begin(attempt, "alice")) == Problem::kDenied);
    CHECK(world.daemon.questions == 0);
  }
  SECTION("root may answer for whom it is asked, with that person's key and PIN") {
    CHECK(TypeOf(world.Prove("047", "246813", 0)) == Type::kDone);
  }
  CHECK(world.daemon.answers.size() <= 1);
}

TEST_CASE("nothing leaves without the right PIN, the touch, and the key that was enrolled") {
  CallerWorld world;
  SECTION("wrong PIN") {
    const Datagram last = world.Prove("047", "999999");
    CHECK(ProblemOf(last) == Problem::kWrongPin);
    CHECK(world.key.Count(Op::kAssert) == 0);
  }
  SECTION("no PIN yet") {
    world.key.status.state = KeyState::kEnrolledNoPin;
    CHECK(ProblemOf(world.Prove()) == Problem::kNoPin);
  }
  SECTION("no touch") {
    world.key.touch = LoginKey::Touch::kTimeout;
    CHECK(ProblemOf(world.Prove()) == Problem::kTouchTimeout);
  }
  SECTION("no key") {
    world.daemon.relay_error = Error{ErrorCode::kNotFound, "No key.", {}, 0};
    CHECK(ProblemOf(world.Prove()) == Problem::kNoKey);
  }
  SECTION("the key is pulled out before, in or after the PIN") {
    world.key.faults.unplugged_after = GENERATE(0, 1, 2);
    const auto problem = ProblemOf(world.Prove());
    CHECK((problem == Problem::kUnavailable || problem == Problem::kUntrusted));
  }
  SECTION("another key's proof") {
    world.key.faults.bad_assertion = true;
    CHECK(ProblemOf(world.Prove()) == Problem::kUntrusted);
  }
  SECTION("a proof without touch") {
    world.key.faults.assertion_flags = 6;
    CHECK(ProblemOf(world.Prove()) == Problem::kUntrusted);
  }
  SECTION("another organisation's daemon") {
    const Organisation other;
    world.daemon.root = other.root;
    REQUIRE(world.state->CheckRoot(world.organisation.root));
    CHECK(ProblemOf(world.Prove()) == Problem::kUntrusted);
    CHECK(world.key.Count(Op::kPinVerify) == 0);
  }
  CHECK(world.daemon.answers.empty());
}

TEST_CASE("who answers a question that was asked anew meanwhile is told to begin again") {
  CallerWorld world;
  SECTION("anew") {
    world.daemon.on_later_question = [&] { world.daemon.question->challenge = {8}; };
  }
  SECTION("withdrawn") {
    world.daemon.on_later_question = [&] { world.daemon.question.reset(); };
  }
  CHECK(ProblemOf(world.Prove()) == Problem::kNoQuestion);
  CHECK(world.key.Count(Op::kAssert) == 0);
  CHECK(world.daemon.answers.empty());
}

TEST_CASE("what the server says to the proof reaches the person") {
  CallerWorld world;
  SECTION("not taken") {
    world.daemon.answer_error = Error{ErrorCode::kConflict, "The number was another one.", {}, 0};
    const Datagram last = world.Prove();
    CHECK(ProblemOf(last) == Problem::kNotTaken);
    CHECK(SentenceOf(last) == "The number was another one.");
  }
  SECTION("not there") {
    world.daemon.answer_error = Error{ErrorCode::kUnavailable, "Try again.", {}, 0};
    CHECK(ProblemOf(world.Prove()) == Problem::kUnavailable);
  }
  SECTION("a no that came too late") {
    world.daemon.answer_error = Error{ErrorCode::kConflict, "Nobody asks any more.", {}, 0};
    Attempt attempt(world, kAlice);
    REQUIRE(TypeOf(world.Begin(attempt)) == Type::kQuestion);
    attempt.client->Deny();
    CHECK(ProblemOf(attempt.client->Receive()) == Problem::kNotTaken);
  }
}

TEST_CASE("cancelled, or with a message of another purpose: no answer at all") {
  CallerWorld world;
  Attempt attempt(world, kAlice);
  REQUIRE(TypeOf(world.Begin(attempt)) == Type::kQuestion);
  SECTION("cancel") {
    attempt.client->Cancel();
    CHECK(ProblemOf(attempt.client->Receive()) == Problem::kCancelled);
  }
  SECTION("a PIN alone") {
    attempt.client->Pin("246813");
    CHECK(ProblemOf(attempt.client->Receive()) == Problem::kFailed);
  }
  SECTION("the client goes") { attempt.client->Close(); }
  CHECK(world.daemon.answers.empty());
  CHECK(world.key.handshakes() == 0);
}

TEST_CASE("other purposes take neither proof nor denial") {
  CallerWorld world;
  Attempt attempt(world, kAlice);
  world.daemon.question.reset();
  attempt.client->Hello(Purpose::kPinChange, "alice");
  REQUIRE(TypeOf(attempt.client->Receive()) == Type::kReady);
  attempt.client->Prove("047", "246813");
  CHECK(ProblemOf(attempt.client->Receive()) == Problem::kFailed);
  CHECK(world.key.Count(Op::kPinVerify) == 0);
}
