// What the agent keeps: its key, the organisation's root, whose login an account is.
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "client-daemon/agent/agent_state.h"
#include "protocol/secure/system_random.h"
#include "tests/unit/agent/attempt_fixture.h"

using namespace keyferry;
using namespace keyferry::test;
using login::AgentState;

namespace {

protocol::P256Public SomeRoot() {
  protocol::P256Private key;
  protocol::P256Public root{};
  protocol::P256Generate(OsRandom(), key, root);
  return root;
}

}  // namespace

TEST_CASE("the LOGIN key is made once and kept closed") {
  const TemporaryDirectory directory;
  const std::string path = directory.path() + "/state";
  protocol::X25519Public first{};
  {
    const auto state = AgentState::Open(path, std::nullopt);
    REQUIRE(state);
    first = (*state)->LoginPublic();
  }
  const auto again = AgentState::Open(path, std::nullopt);
  REQUIRE(again);
  CHECK((*again)->LoginPublic() == first);
  struct stat info {};
  REQUIRE(stat((path + "/login.key").c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
  REQUIRE(stat(path.c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0700);
}

TEST_CASE("a state folder that others may open, or damaged files, are refused in words") {
  const TemporaryDirectory directory;
  const std::string path = directory.path() + "/state";
  REQUIRE(AgentState::Open(path, std::nullopt));
  SECTION("wide folder") {
    chmod(path.c_str(), 0755);
    const auto state = AgentState::Open(path, std::nullopt);
    REQUIRE_FALSE(state);
    CHECK(state.error().message.find("chmod 700") != std::string::npos);
  }
  SECTION("short key") {
    std::ofstream(path + "/login.key") << "short";
    const auto state = AgentState::Open(path, std::nullopt);
    REQUIRE_FALSE(state);
    CHECK(state.error().message.find("login.key is damaged") != std::string::npos);
  }
  SECTION("long key") {
    std::ofstream(path + "/login.key") << std::string(33, 'k');
    CHECK_FALSE(AgentState::Open(path, std::nullopt));
  }
  SECTION("root that is no point") {
    std::ofstream(path + "/root.pub") << std::string(65, '\4');
    CHECK_FALSE(AgentState::Open(path, std::nullopt));
  }
}

TEST_CASE("the first root is pinned, for good") {
  const TemporaryDirectory directory;
  const std::string path = directory.path() + "/state";
  const auto ours = SomeRoot();
  const auto other = SomeRoot();
  {
    const auto state = AgentState::Open(path, std::nullopt);
    CHECK_FALSE((*state)->CheckRoot(protocol::P256Public{}));  // no point: nothing is pinned
    CHECK((*state)->CheckRoot(ours));
    CHECK((*state)->CheckRoot(ours));
    CHECK_FALSE((*state)->CheckRoot(other));
  }
  const auto again = AgentState::Open(path, std::nullopt);
  CHECK_FALSE((*again)->CheckRoot(other));
  CHECK((*again)->CheckRoot(ours));
}

TEST_CASE("a root from the configuration stands above the file") {
  const TemporaryDirectory directory;
  const std::string path = directory.path() + "/state";
  const auto ours = SomeRoot();
  const auto other = SomeRoot();
  {
    const auto state = AgentState::Open(path, std::nullopt);
    REQUIRE((*state)->CheckRoot(other));
  }
  const auto state = AgentState::Open(path, ours);
  CHECK((*state)->CheckRoot(ours));
  CHECK_FALSE((*state)->CheckRoot(other));
}

TEST_CASE("whose login an account is, is remembered and may change") {
  const TemporaryDirectory directory;
  const std::string path = directory.path() + "/state";
  const daemon::Id account{1, 2, 3};
  {
    const auto state = AgentState::Open(path, std::nullopt);
    CHECK_FALSE((*state)->LoginOf(account));
    REQUIRE((*state)->Remember(account, "alice"));
    REQUIRE((*state)->Remember(account, "alice"));
    CHECK((*state)->LoginOf(account) == "alice");
    REQUIRE((*state)->Remember(account, "alice.new"));
  }
  const auto again = AgentState::Open(path, std::nullopt);
  CHECK((*again)->LoginOf(account) == "alice.new");
  CHECK_FALSE((*again)->LoginOf(daemon::Id{9}));
}
