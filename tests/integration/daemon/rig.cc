#include "tests/integration/daemon/rig.h"

#include <catch2/catch.hpp>
#include <chrono>
#include <fstream>
#include <sstream>
#include <thread>

#include "client-daemon/ipc/ask.h"

namespace keyferry::test {

namespace fs = std::filesystem;

Rig::Rig(bool with_key) {
  char name[] = "/tmp/keyferry-daemon-XXXXXX";
  dir = mkdtemp(name);
  config = dir / "keyferryd.toml";
  key_socket = dir / "key.sock";
  daemon_socket = dir / "daemon.sock";
  state = dir / "state";
  log = dir / "keyferryd.log";
  std::ofstream(dir / "ca.pem") << server.pki.ca_pem();
  std::ofstream(config) << "server_url = \"" << server.url() << "\"\n"
                        << "server_ca = \"" << (dir / "ca.pem").string() << "\"\n"
                        << "state_dir = \"" << state.string() << "\"\n"
                        << "socket = \"" << daemon_socket.string() << "\"\n"
                        << "name = \"test-workstation\"\nlog_level = \"debug\"\nagent_wait = 0\n"
                        << "log_file = \"" << log.string() << "\"\n"
                        << "[keys]\nusb = \"off\"\nbluetooth = false\nsockets = [\""
                        << key_socket.string() << "\"]\n";
  for (const fs::path& file : {config, dir / "ca.pem"}) {
    fs::permissions(file, fs::perms::owner_read | fs::perms::owner_write);
  }
  if (with_key) StartKey();
  StartDaemon();
}

Rig::~Rig() {
  daemon_process.reset();
  key.reset();
  server.Stop();
  std::error_code ignored;
  fs::remove_all(dir, ignored);
}

void Rig::StartDaemon() {
  daemon_process =
      std::make_unique<Process>(std::vector<std::string>{KEYFERRYD, "--config", config.string()});
  REQUIRE(daemon_process->WaitForLine("ready"));
}

void Rig::StartKey() {
  key = std::make_unique<Process>(
      std::vector<std::string>{KEYFERRY_SIM, "--socket", key_socket.string(), "--state",
                               (dir / "flash.bin").string(), "--touch", "auto"});
  REQUIRE(key->WaitForLine("ready"));
}

void Rig::Control(const std::string& command) {
  const Outcome outcome =
      RunProgram({KEYFERRY_SIM, "ctl", "--socket", key_socket.string(), command});
  INFO(outcome.output);
  REQUIRE(outcome.exit_code == 0);
}

daemon::Id Rig::Enrol() {
  {
    const auto lock = server.Lock();
    server.Approve();
  }
  REQUIRE(server.Wait([&] { return server.seen_keys.size() == 1; }));
  daemon::Id device;
  {
    const auto lock = server.Lock();
    device = *daemon::ParseId(*server.seen_keys.begin());
    server.Enrol(device);
  }
  REQUIRE(server.Wait(
      [&] { return server.keys.count(device) == 1 && server.keys[device].receipts.size() == 1; }));
  return device;
}

std::string Rig::Status() {
  const auto answer = daemon::AskDaemon(daemon_socket.string(), R"({"op":"status"})",
                                        std::chrono::milliseconds(5000));
  return answer ? *answer : answer.error().message;
}

bool Rig::StatusHas(const std::string& text) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (std::chrono::steady_clock::now() < until) {
    if (Status().find(text) != std::string::npos) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return false;
}

std::string Rig::Log() const {
  std::stringstream out;
  out << std::ifstream(log).rdbuf();
  return out.str();
}

}  // namespace keyferry::test
