// keyferry-agent.toml: strict, and every refusal says where and what to do.
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <fstream>

#include "client-daemon/agent/agent_config.h"
#include "client-daemon/core/encoding.h"
#include "protocol/secure/system_random.h"
#include "tests/unit/agent/attempt_fixture.h"

using namespace keyferry;
using namespace keyferry::test;
using daemon::LogLevel;
using login::LoadAgentConfig;

namespace {

const std::string kGood =
    "state_dir = \"/var/lib/keyferry-agent\"\n"
    "socket = \"/run/keyferry-agent/agent.sock\"\n"
    "daemon_socket = \"/run/keyferry/daemon.sock\"\n";

struct File {
  TemporaryDirectory directory;
  std::string path = directory.path() + "/agent.toml";
  explicit File(const std::string& text) {
    std::ofstream(path) << text;
    chmod(path.c_str(), 0600);
  }
};

std::string ErrorOf(const std::string& text) {
  const File file(text);
  const auto config = LoadAgentConfig(file.path);
  return config ? "" : config.error().message.substr(file.path.size());
}

}  // namespace

TEST_CASE("the smallest and the largest configuration are read") {
  const File small(kGood);
  const auto config = LoadAgentConfig(small.path);
  REQUIRE(config);
  CHECK(config->state_dir == "/var/lib/keyferry-agent");
  CHECK(config->socket == "/run/keyferry-agent/agent.sock");
  CHECK(config->daemon_socket == "/run/keyferry/daemon.sock");
  CHECK_FALSE(config->root_pub);
  CHECK_FALSE(config->allow_users);
  CHECK(config->log_level == LogLevel::kInfo);

  protocol::P256Private key;
  protocol::P256Public root{};
  protocol::P256Generate(OsRandom(), key, root);
  const TemporaryDirectory directory;
  const std::string root_file = directory.path() + "/root";
  std::ofstream(root_file) << daemon::Base64(root) << "\n";
  const File large(
      kGood + "root_pub = \"" + root_file +
      "\"\nallow_users = [0, \"root\", 1000]\nlog_level = \"trace\"\nlog_file = \"/tmp/x\"\n");
  const auto all = LoadAgentConfig(large.path);
  REQUIRE(all);
  CHECK(all->root_pub == root);
  CHECK(all->allow_users == std::vector<uid_t>{0, 0, 1000});
  CHECK(all->log_level == LogLevel::kDebug);
  CHECK(all->log_file == "/tmp/x");
}

TEST_CASE("what is wrong is named with its line") {
  CHECK(ErrorOf("socket = \"/a\"\ndaemon_socket = \"/b\"\n") ==
        ": `state_dir` is missing; add it.");
  CHECK(ErrorOf(kGood + "sockte = \"/x\"\n") ==
        ":4: unknown key `sockte`; see docs/login.md for the keys that there are.");
  CHECK(ErrorOf(kGood + "log_level = \"loud\"\n").substr(0, 16) == ":4: `log_level` ");
  CHECK(ErrorOf(kGood + "log_level = 3\n").substr(0, 16) == ":4: `log_level` ");
  CHECK(ErrorOf(kGood + "allow_users = 0\n").substr(0, 4) == ":4: ");
  CHECK(ErrorOf(kGood + "allow_users = [-1]\n").substr(0, 4) == ":4: ");
  CHECK(ErrorOf(kGood + "allow_users = [\"no such user here\"]\n").substr(0, 4) == ":4: ");
  CHECK(ErrorOf(kGood + "root_pub = \"/nonexistent\"\n").substr(0, 4) == ":4: ");
  CHECK(ErrorOf(kGood + "log_file = \"relative\"\n").substr(0, 4) == ":4: ");
  CHECK(ErrorOf("state_dir = \"/a\"\nsocket = \"/" + std::string(107, 'x') + "\"\n").substr(0, 4) ==
        ":2: ");
  CHECK(ErrorOf("state_dir = 1\n").substr(0, 4) == ":1: ");
  CHECK(ErrorOf("not toml at all").substr(0, 3) == ":1:");
}

TEST_CASE("a root key that is none is refused") {
  const TemporaryDirectory directory;
  const std::string root_file = directory.path() + "/root";
  std::ofstream(root_file) << GENERATE(std::string(""), std::string("AAAA"), std::string(88, 'A'),
                                       std::string(300, 'A'));
  CHECK(ErrorOf(kGood + "root_pub = \"" + root_file + "\"\n").find("must hold one line") !=
        std::string::npos);
}

TEST_CASE("a file that others may write is refused") {
  const File file(kGood);
  chmod(file.path.c_str(), 0622);
  const auto config = LoadAgentConfig(file.path);
  REQUIRE_FALSE(config);
  CHECK(config.error().message.find("chmod go-w") != std::string::npos);
  CHECK_FALSE(LoadAgentConfig("/nonexistent/agent.toml"));
}
