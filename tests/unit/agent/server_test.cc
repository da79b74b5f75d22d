// The agent's socket: who is at the other end, how many may be, and that one never holds up
// another.
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <fstream>

#include "client-daemon/agent/agent_client.h"
#include "client-daemon/agent/agent_server.h"
#include "tests/unit/agent/attempt_fixture.h"

using namespace keyferry;
using namespace keyferry::test;
using login::AgentClient;
using login::AgentServer;
using login::Problem;
using login::Purpose;
using login::Type;

namespace {

constexpr uid_t kAliceUid = 1000;

struct ServedWorld : AgentWorld {
  ServedWorld() { chmod(directory.path().c_str(), 0755); }
  std::string Socket() const { return directory.path() + "/agent.sock"; }
  std::unique_ptr<AgentServer> Start(std::optional<std::vector<uid_t>> allow = std::nullopt) {
    auto started = AgentServer::Start({Socket(), allow, limits}, services);
    REQUIRE(started);
    return *std::move(started);
  }
};

// HELLO on a fresh connection; READY is 0, a refusal its number, anything else negative.
int Greet(AgentClient& client, const std::string& path, Purpose purpose, const char* user) {
  login::Buffer buffer;
  if (!client.Connect(path.c_str())) return -1;
  const auto answer = client.Ask(
      buffer, login::Write(login::Hello{purpose, user, "t", ""}, buffer.span()), nullptr, nullptr);
  if (answer.outcome != AgentClient::Outcome::kAnswer) return -2;
  if (answer.type == Type::kReady) return 0;
  const auto refusal = login::ParseRefusal(buffer.first(answer.size));
  return refusal ? static_cast<int>(refusal->problem) : -3;
}

// The same from a process of another user, which holds `count` connections at once; the last answer
// counts.
int GreetAs(uid_t uid, const std::string& path, Purpose purpose, int count = 1) {
  const pid_t child = fork();
  if (child == 0) {
    if (setgid(uid) != 0 || setuid(uid) != 0) _exit(200);
    AgentClient clients[3] = {AgentClient(5000), AgentClient(5000), AgentClient(5000)};
    int last = 0;
    for (int i = 0; i < count; ++i) last = Greet(clients[i], path, purpose, "alice");
    _exit(last < 0 ? 100 - last : last);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

bool NeedsRoot() {
  if (geteuid() == 0) return false;
  WARN("not run: becoming another user needs root");
  return true;
}

}  // namespace

TEST_CASE("the socket is open to connect, and gone afterwards") {
  ServedWorld world;
  {
    const auto server = world.Start();
    struct stat info {};
    REQUIRE(stat(world.Socket().c_str(), &info) == 0);
    CHECK((info.st_mode & 0777) == 0666);
    const auto second = AgentServer::Start({world.Socket(), std::nullopt, {}}, world.services);
    REQUIRE_FALSE(second);
    CHECK(second.error().code == ErrorCode::kConflict);
  }
  struct stat info {};
  CHECK(stat(world.Socket().c_str(), &info) != 0);
  const auto again = world.Start();  // and can be made anew
}

TEST_CASE("a file in the socket's place is not removed") {
  ServedWorld world;
  std::ofstream(world.Socket()) << "precious";
  const auto server = AgentServer::Start({world.Socket(), std::nullopt, {}}, world.services);
  REQUIRE_FALSE(server);
  std::string text;
  std::ifstream(world.Socket()) >> text;
  CHECK(text == "precious");
}

TEST_CASE("the kernel says who asks") {
  if (NeedsRoot()) return;
  ServedWorld world;
  const auto server = world.Start();
  REQUIRE(world.state->Remember(world.key.account, "alice"));
  AgentClient root(5000);
  CHECK(Greet(root, world.Socket(), Purpose::kLogin, "alice") == 0);
  CHECK(GreetAs(kAliceUid, world.Socket(), Purpose::kUnlock) == 0);
  CHECK(GreetAs(kAliceUid, world.Socket(), Purpose::kLogin) == static_cast<int>(Problem::kDenied));
  CHECK(GreetAs(1001, world.Socket(), Purpose::kUnlock) == static_cast<int>(Problem::kDenied));
}

TEST_CASE("users that are not listed may not even ask") {
  if (NeedsRoot()) return;
  ServedWorld world;
  const auto server = world.Start(std::vector<uid_t>{1001});
  CHECK(GreetAs(kAliceUid, world.Socket(), Purpose::kUnlock) == static_cast<int>(Problem::kDenied));
  AgentClient root(5000);
  CHECK(Greet(root, world.Socket(), Purpose::kLogin, "alice") == 0);
}

TEST_CASE("a user gets two connections, root still gets in") {
  if (NeedsRoot()) return;
  // An agent for each: when it notices that connections are closed, nobody is told.
  for (const auto& [count, last] :
       {std::pair(2, 0), std::pair(3, static_cast<int>(Problem::kBusy))}) {
    ServedWorld world;
    const auto server = world.Start();
    REQUIRE(world.state->Remember(world.key.account, "alice"));
    CHECK(GreetAs(kAliceUid, world.Socket(), Purpose::kUnlock, count) == last);
    AgentClient root(5000);
    CHECK(Greet(root, world.Socket(), Purpose::kLogin, "alice") == 0);
  }
}

TEST_CASE("the seventeenth connection is told that the agent is busy") {
  if (NeedsRoot()) return;
  ServedWorld world;
  const auto server = world.Start();
  std::vector<std::unique_ptr<AgentClient>> clients;
  for (std::size_t i = 0; i < AgentServer::kMaxConnections; ++i) {
    clients.push_back(std::make_unique<AgentClient>(5000));
    REQUIRE(Greet(*clients.back(), world.Socket(), Purpose::kLogin, "alice") == 0);
  }
  AgentClient late(5000);
  CHECK(Greet(late, world.Socket(), Purpose::kLogin, "alice") == static_cast<int>(Problem::kBusy));
  clients.clear();
  // The threads notice by themselves; the next but few is served.
  int last = -1;
  for (int i = 0; i < 1000 && last != 0; ++i) {
    AgentClient client(5000);
    last = Greet(client, world.Socket(), Purpose::kLogin, "alice");
  }
  CHECK(last == 0);
}

TEST_CASE("one client at the key does not keep the agent from the others") {
  if (NeedsRoot()) return;
  ServedWorld world;
  world.key.touch = LoginKey::Touch::kNever;
  auto server = world.Start();
  std::thread waiting([&] {
    AgentClient client(5000);
    login::Buffer buffer;
    if (Greet(client, world.Socket(), Purpose::kLogin, "alice") != 0) return;
    client.Ask(
        buffer, login::WritePin("246813", buffer.span()), [](void*) {}, nullptr);
  });
  world.key.WaitForTouchWait();
  AgentClient other(5000);
  CHECK(Greet(other, world.Socket(), Purpose::kLogin, "alice") == 0);
  server.reset();  // ends the wait for touch too, and does not hang
  CHECK(world.key.cancelled());
  waiting.join();
}
