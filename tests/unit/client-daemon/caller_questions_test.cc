// What the help desk asks, from the server's event to the login agent and back.
#include "client-daemon/core/caller_questions.h"

#include <catch2/catch.hpp>

#include "tests/unit/client-daemon/workstation_rig.h"

using namespace keyferry;
using namespace keyferry::daemon;
using namespace keyferry::test;
using std::chrono::seconds;

namespace {

CallerEvent Asks(std::uint8_t number, const std::string& login = "alice", int life = 180) {
  CallerEvent event;
  event.request = {number};
  event.login = login;
  event.challenge = {number};
  event.agent = "Anna Agent (anna)";
  event.ticket = "INC-1";
  event.reason = "forgot it";
  event.life = seconds(life);
  return event;
}

}  // namespace

TEST_CASE("a question is for its login and its time, the newest first") {
  CallerQuestions questions;
  const auto now = CallerQuestions::Clock::time_point{} + seconds(1000);
  CHECK_FALSE(questions.Of("alice", now));
  questions.Put(Asks(1), now);
  questions.Put(Asks(2, "bob"), now);
  CHECK(questions.Of("ALICE", now)->request == Id{1});
  CHECK(questions.Of("bob", now)->request == Id{2});
  CHECK_FALSE(questions.Of("alic", now));
  CHECK_FALSE(questions.Of("alice2", now));
  questions.Put(Asks(3), now);
  CHECK(questions.Of("alice", now)->request == Id{3});
  questions.Remove({3});
  CHECK(questions.Of("alice", now)->request == Id{1});
  // Asked anew: one question a request.
  CallerEvent anew = Asks(1);
  anew.challenge = {9};
  questions.Put(anew, now);
  CHECK(questions.Of("alice", now)->challenge[0] == 9);
  questions.Remove({1});
  CHECK_FALSE(questions.Of("alice", now));

  questions.Put(Asks(4), now);
  CHECK(questions.Of("alice", now + seconds(180) - std::chrono::nanoseconds(1)));
  CHECK_FALSE(questions.Of("alice", now + seconds(180)));
}

TEST_CASE("questions without end do not fill the memory") {
  CallerQuestions questions;
  const auto now = CallerQuestions::Clock::time_point{} + seconds(1000);
  for (int i = 0; i < 100; ++i) {
    questions.Put(Asks(static_cast<std::uint8_t>(i), "user" + std::to_string(i)), now);
  }
  int kept = 0;
  for (int i = 0; i < 100; ++i) kept += questions.Of("user" + std::to_string(i), now) ? 1 : 0;
  CHECK(kept == static_cast<int>(CallerQuestions::kMost));
  CHECK(questions.Of("user99", now));
}

TEST_CASE("the workstation keeps what is asked until it is answered or over") {
  WorkstationRig rig;
  Workstation& desk = *rig.workstation;
  CHECK(desk.Caller("alice").error().code == ErrorCode::kNotFound);
  desk.OnCaller(Asks(1));
  const auto question = desk.Caller("alice");
  REQUIRE(question);
  CHECK(question->agent == "Anna Agent (anna)");
  CHECK(desk.Caller("bob").error().code == ErrorCode::kNotFound);
  desk.OnCallerOver({1});
  CHECK_FALSE(desk.Caller("alice"));

  const std::array<std::uint8_t, 172> proof{1, 2, 3};
  desk.OnCaller(Asks(2));
  rig.granter.verdict = Fail(ErrorCode::kUnavailable, "The server cannot be asked now.");
  CHECK(desk.AnswerCaller({2}, proof).error().code == ErrorCode::kUnavailable);
  CHECK(desk.Caller("alice"));  // it may be tried again
  rig.granter.verdict = CallerVerdict{true, {}};
  const auto taken = desk.AnswerCaller({2}, proof);
  REQUIRE(taken);
  CHECK(taken->passed);
  CHECK_FALSE(desk.Caller("alice"));
  REQUIRE(rig.granter.answers.size() == 2);
  CHECK(rig.granter.answers.back() == proof);

  desk.OnCaller(Asks(3));
  rig.granter.verdict = CallerVerdict{false, "The number was another one."};
  CHECK(desk.AnswerCaller({3}, std::nullopt)->reason == "The number was another one.");
  CHECK_FALSE(rig.granter.answers.back());
  CHECK_FALSE(desk.Caller("alice"));  // used up all the same
}
