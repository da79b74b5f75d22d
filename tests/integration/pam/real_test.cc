// The login road on real programs: pamtester → pam_keyferry.so → keyferry-agent → keyferryd →
// keyferry-sim.
#include <signal.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <thread>

#include "client-daemon/agent/agent_client.h"
#include "tests/integration/daemon/rig.h"
#include "tests/integration/pam/pam_stack.h"

using namespace keyferry;
using namespace keyferry::tests;
namespace login = keyferry::daemon::login;

namespace {

const std::string kPin = "246813\n";

// A workstation with everything, and a PAM stack of its own: the one that docs/login.md shows.
struct Workstation {
  Workstation() {
    REQUIRE(rig.server.Wait([&] { return rig.server.registrations >= 1; }));
    config = (rig.dir / "agent.toml").string();
    WriteConfig("");
    StartAgent();
    REQUIRE(
        rig.server.Wait([&] { return rig.server.registrations >= 2; }));  // now with the LOGIN key
    device = rig.Enrol();
    REQUIRE(rig.StatusHas("\"agent\":\"certified\""));
    REQUIRE(rig.StatusHas("\"known\":true"));
    stack.Service(
        "login",
        "auth [success=1 user_unknown=ignore authinfo_unavail=ignore default=die] $MODULE\n"
        "auth requisite pam_deny.so\nauth optional $SINK\nauth required pam_permit.so\n");
  }

  void WriteConfig(const std::string& more) {
    std::ofstream(config) << "state_dir = \"" << (rig.dir / "agent").string() << "\"\nsocket = \""
                          << stack.AgentSocket() << "\"\ndaemon_socket = \""
                          << rig.daemon_socket.string()
                          << "\"\nlog_level = \"trace\"\nlog_file = \""
                          << (rig.dir / "agent.log").string() << "\"\n"
                          << more;
    std::filesystem::permissions(
        config, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  }

  void StartAgent() {
    agent = std::make_unique<test::Process>(
        std::vector<std::string>{KEYFERRY_AGENT, "--config", config});
    REQUIRE(agent->WaitForLine("ready"));
  }

  PamRun Keyferry(std::vector<std::string> words, const std::string& typed) {
    words.insert(words.begin(), KEYFERRY);
    words.insert(words.end(), {"--stdin", "--socket", stack.AgentSocket()});
    return RunTyped(words, typed, {"PATH=/usr/bin:/bin", "LC_ALL=C"});
  }

  PamRun LogIn(const std::string& pin = kPin) {
    return stack.Run("login", "alice", {"authenticate", "setcred"}, pin);
  }

  // A PIN on the key, and a password.
  void Prepare() {
    const PamRun set = Keyferry({"pin", "set", "--user", "alice"}, "ACTIVATE-ME\n" + kPin);
    INFO(set.output);
    REQUIRE(set.ok());
    daemon::Id job;
    {
      const auto lock = rig.server.Lock();
      job = rig.server.QueueJob(device);
    }
    REQUIRE(rig.server.Wait([&] { return rig.server.job(job).result.has_value(); }));
    const auto lock = rig.server.Lock();
    REQUIRE(rig.server.job(job).result == protocol::Status::kOk);
  }

  std::string AgentLog() const {
    std::stringstream out;
    out << std::ifstream(rig.dir / "agent.log").rdbuf();
    return out.str();
  }

  PamStack stack;
  test::Rig rig;
  std::string config;
  daemon::Id device{};
  std::unique_ptr<test::Process> agent;
};

bool NeedsRoot() {
  if (geteuid() == 0) return false;
  WARN("not run: only root is given a password, so this needs root");
  return true;
}

}  // namespace

TEST_CASE("from the activation code to a confirmed login") {
  if (NeedsRoot()) return;
  Workstation here;
  // Nothing works before its time, and each time it is said why.
  PamRun run = here.LogIn();
  CHECK_FALSE(run.ok());
  CHECK(run.Says("has no PIN yet"));
  run = here.Keyferry({"pin", "set", "--user", "alice"}, "WRONG-CODE\n" + kPin);
  INFO(run.output);
  CHECK(run.status == 1);
  CHECK(run.Says("Wrong activation code, 2 tries left."));
  here.Prepare();
  CHECK(here.Keyferry({"pin", "set", "--user", "alice"}, "ACTIVATE-ME\n" + kPin)
            .Says("has a PIN already"));

  run = here.LogIn();
  INFO(run.output);
  CHECK(run.ok());
  CHECK(here.stack.TakePassword() == test::kJobPassword);
  const std::string device = daemon::Hex(here.device);
  CHECK(here.rig.server.Wait([&] { return here.rig.server.used.count(device) == 1; }));

  run = here.LogIn("135790\n");
  CHECK(run.status == 1);
  CHECK(run.Says("Wrong PIN, 7 tries left."));
  CHECK(here.stack.TakePassword().empty());
  CHECK(here.LogIn().ok());

  run = here.Keyferry({"login", "test", "alice"}, kPin);
  CHECK(run.ok());
  CHECK(run.Says("released a password"));
  CHECK_FALSE(run.Says(test::kJobPassword));

  run = here.Keyferry({"pin", "change", "--user", "alice"}, kPin + "97531864\n");
  CHECK(run.ok());
  CHECK_FALSE(here.LogIn().ok());
  CHECK(here.LogIn("97531864\n").ok());

  // Not a byte of a secret in the log, at its highest level.
  const std::string log = here.AgentLog() + here.rig.Log();
  CHECK(log.find("released by key") != std::string::npos);
  for (const char* secret :
       {test::kJobPassword, "246813", "97531864", "135790", "ACTIVATE-ME", "WRONG-CODE"}) {
    INFO(secret);
    CHECK(log.find(secret) == std::string::npos);
  }
  CHECK(here.agent->Stop(SIGTERM) == 0);
}

TEST_CASE("another account's person is not let in, nor is anybody without a key") {
  if (NeedsRoot()) return;
  Workstation here;
  here.Prepare();
  const PamRun run = here.stack.Run("login", "bob", {"authenticate"}, kPin);
  INFO(run.output);
  CHECK_FALSE(run.ok());
  CHECK_FALSE(run.Says("PIN of your security key"));
}

TEST_CASE("a screen is unlocked by an assertion once the login is known") {
  if (NeedsRoot()) return;
  Workstation here;
  here.Prepare();
  const auto unlock = [&]() -> int {
    login::AgentClient client(5000);
    login::Buffer buffer;
    REQUIRE(client.Connect(here.stack.AgentSocket().c_str()));
    auto answer = client.Ask(
        buffer,
        login::Write(login::Hello{login::Purpose::kUnlock, "alice", "t", ""}, buffer.span()),
        nullptr, nullptr);
    if (answer.type == login::Type::kReady) {
      answer = client.Ask(
          buffer, login::WritePin("246813", buffer.span()), [](void*) {}, nullptr);
    }
    REQUIRE(answer.outcome == login::AgentClient::Outcome::kAnswer);
    return static_cast<int>(answer.type);
  };
  CHECK(unlock() == static_cast<int>(login::Type::kError));
  CHECK(here.LogIn().ok());
  CHECK(unlock() == static_cast<int>(login::Type::kYes));
}

TEST_CASE("the person is told to touch the key, and nothing happens without it") {
  if (NeedsRoot()) return;
  Workstation here;
  here.Prepare();
  here.rig.key.reset();
  here.rig.key = std::make_unique<test::Process>(
      std::vector<std::string>{KEYFERRY_SIM, "--socket", here.rig.key_socket.string(), "--state",
                               (here.rig.dir / "flash.bin").string(), "--touch", "ask"});
  REQUIRE(here.rig.key->WaitForLine("ready"));
  REQUIRE(here.rig.StatusHas("\"known\":true"));
  PamRun run;
  std::thread person([&] { run = here.LogIn(); });
  // Not before the agent has heard that the key waits: a quicker touch would need no telling.
  while (here.AgentLog().find("waits for a touch") == std::string::npos) std::this_thread::yield();
  here.rig.Control("touch");
  person.join();
  INFO(run.output);
  CHECK(run.ok());
  CHECK(run.Says("Touch your security key"));
  CHECK(here.stack.TakePassword() == test::kJobPassword);
}

TEST_CASE("whatever is missing, the login goes on without the key, and with it again afterwards") {
  if (NeedsRoot()) return;
  Workstation here;
  here.Prepare();
  PamRun run;
  SECTION("the key is pulled out") {
    here.rig.Control("unplug");
    REQUIRE(here.rig.StatusHas("\"keys\":[]"));
    run = here.LogIn();
    here.rig.Control("plug");
    REQUIRE(here.rig.StatusHas("\"known\":true"));
  }
  SECTION("the daemon dies") {
    here.rig.daemon_process->Stop(SIGKILL);
    run = here.LogIn();
    here.rig.StartDaemon();
    REQUIRE(here.rig.StatusHas("\"known\":true"));
  }
  SECTION("the daemon hangs") {
    kill(here.rig.daemon_process->pid(), SIGSTOP);
    run = here.LogIn();
    kill(here.rig.daemon_process->pid(), SIGCONT);
  }
  SECTION("the key hangs") {
    kill(here.rig.key->pid(), SIGSTOP);
    run = here.LogIn();
    kill(here.rig.key->pid(), SIGCONT);
    REQUIRE(here.rig.StatusHas("\"known\":true"));
  }
  SECTION("the agent dies") {
    here.agent->Stop(SIGKILL);
    run = here.LogIn();
    here.StartAgent();  // over the socket that was left
  }
  INFO(run.output);
  CHECK(run.status == 1);
  CHECK_FALSE(run.Says("PIN of your security key"));
  const PamRun again = here.LogIn();
  INFO(again.output);
  CHECK(again.ok());
}

TEST_CASE("three wrong PINs block until the key is plugged in anew") {
  if (NeedsRoot()) return;
  Workstation here;
  here.Prepare();
  CHECK(here.LogIn("111111\n").Says("Wrong PIN, 7 tries left."));
  CHECK(here.LogIn("111111\n").Says("Wrong PIN, 6 tries left."));
  here.LogIn("111111\n");
  PamRun run = here.LogIn();
  INFO(run.output);
  CHECK_FALSE(run.ok());
  CHECK(run.Says("pull the security key out, plug it in and try again; 5 tries left."));
  here.rig.Control("unplug");
  REQUIRE(here.rig.StatusHas("\"keys\":[]"));
  here.rig.Control("plug");
  REQUIRE(here.rig.StatusHas("\"known\":true"));
  run = here.LogIn();
  INFO(run.output);
  CHECK(run.ok());
}

TEST_CASE("an agent that trusts another organisation sends this key nothing") {
  if (NeedsRoot()) return;
  Workstation here;
  here.Prepare();
  const test::Organisation other;
  const std::string root_file = (here.rig.dir / "root.pub").string();
  std::ofstream(root_file) << daemon::Base64(other.root) << "\n";
  std::filesystem::permissions(root_file, std::filesystem::perms::owner_read);
  here.agent->Stop(SIGTERM);
  here.WriteConfig("root_pub = \"" + root_file + "\"\n");
  here.StartAgent();
  const PamRun run = here.LogIn();
  INFO(run.output);
  CHECK_FALSE(run.ok());
  CHECK_FALSE(run.Says("PIN of your security key"));
  CHECK(run.Says("names another organisation"));
}

TEST_CASE("the command line explains what keeps it from doing its work") {
  PamStack stack;
  const auto keyferry = [&](std::vector<std::string> words) {
    words.insert(words.begin(), KEYFERRY);
    return RunTyped(words, "x\n", {"PATH=/usr/bin:/bin", "LC_ALL=C"});
  };
  PamRun run = keyferry({"pin", "set", "--stdin", "--socket", stack.AgentSocket()});
  CHECK(run.status == 1);
  CHECK(run.Says("The login agent is not running"));
  run = keyferry(
      {"pin", "set", "--stdin", "--socket", stack.AgentSocket(), "--user", std::string(200, 'a')});
  CHECK(run.status == 1);
  CHECK(keyferry({"pin"}).status != 0);
  CHECK(keyferry({"login", "test"}).status != 0);
}

TEST_CASE("the agent refuses to start on what it does not understand") {
  const auto start = [](const std::vector<std::string>& words) {
    std::vector<std::string> all = {KEYFERRY_AGENT};
    all.insert(all.end(), words.begin(), words.end());
    return RunTyped(all, "", {"PATH=/usr/bin:/bin"});
  };
  CHECK(start({}).Says("usage: keyferry-agent --config FILE"));
  CHECK(start({"--version"}).ok());
  PamStack stack;
  const std::string config = stack.Path("agent.toml");
  std::ofstream(config) << "state_dir = \"/tmp\"\nsockte = \"/x\"\n";
  CHECK(start({"--config", config}).status == 1);
  CHECK(start({"--config", "/nonexistent"}).Says("does not exist"));
}
