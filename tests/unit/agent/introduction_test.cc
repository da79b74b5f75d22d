// How the agent's key becomes certified: by the approval, or by its own proof afterwards.
#include "client-daemon/agent/introduction.h"

#include <catch2/catch.hpp>

#include "tests/unit/agent/attempt_fixture.h"

using namespace keyferry;
using namespace keyferry::test;

TEST_CASE("an agent that was there at the approval is certified at once") {
  AgentWorld world;
  const auto said = login::Introduce(world.daemon, *world.state);
  CHECK(said.certified);
  CHECK(said.words == "certified by the organisation");
}

TEST_CASE("an agent that came after the approval proves its key") {
  AgentWorld world;
  world.daemon.certified = false;
  auto said = login::Introduce(world.daemon, *world.state);
  CHECK_FALSE(said.certified);
  CHECK_THAT(said.words, Catch::Contains("to be certified"));

  protocol::X25519Private challenge;
  challenge.bytes.fill(7);
  world.daemon.challenge = challenge;
  said = login::Introduce(world.daemon, *world.state);
  INFO(said.words);
  CHECK(said.certified);
  CHECK_THAT(said.words, Catch::Contains("after the approval"));
  CHECK(login::Introduce(world.daemon, *world.state).certified);
}

TEST_CASE("what keeps the agent's key from being certified is said in words") {
  AgentWorld world;
  world.daemon.certified = false;
  protocol::X25519Private challenge;
  challenge.bytes.fill(7);
  world.daemon.challenge = challenge;
  SECTION("the server refuses") {
    world.daemon.prove_error = Error{ErrorCode::kUnavailable, "An administrator must.", {}, 0};
    CHECK_THAT(login::Introduce(world.daemon, *world.state).words,
               Catch::Contains("An administrator must."));
  }
  SECTION("no daemon") {
    world.daemon.register_error = Error{ErrorCode::kUnavailable, "Not there.", {}, 0};
    CHECK_THAT(login::Introduce(world.daemon, *world.state).words, Catch::Contains("Not there."));
  }
  SECTION("another organisation's daemon gets no proof") {
    REQUIRE(login::Introduce(world.daemon, *world.state).certified);
    const Organisation other;
    LoginKey key(other);
    world.daemon.Serve(other, key);
    world.daemon.certified = false;
    CHECK_THAT(login::Introduce(world.daemon, *world.state).words,
               Catch::Contains("another organisation"));
    CHECK_FALSE(world.daemon.certified);
  }
}
