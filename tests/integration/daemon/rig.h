#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "tests/integration/daemon/process.h"
#include "tests/integration/daemon/test_server.h"

namespace keyferry::test {

// A folder, a server, keyferryd and keyferry-sim, as a workstation has them.
struct Rig {
  explicit Rig(bool with_key = true);
  ~Rig();

  void StartDaemon();
  void StartKey();
  void Control(const std::string& command);  // keyferry-sim ctl
  // Approves the workstation and enrols the key; returns its number.
  daemon::Id Enrol();
  // The daemon's own answer to `status`.
  std::string Status();
  // Asks until the answer contains `text`; false after 30 s.
  bool StatusHas(const std::string& text);
  std::string Log() const;

  std::filesystem::path dir;
  std::filesystem::path config, key_socket, daemon_socket, state, log;
  TestServer server;
  std::unique_ptr<Process> key;
  std::unique_ptr<Process> daemon_process;
};

}  // namespace keyferry::test
