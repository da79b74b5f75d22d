#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "client-daemon/core/log.h"
#include "protocol/crypto.h"
#include "protocol/result.h"

namespace keyferry::daemon::login {

// /etc/keyferry/keyferry-agent.toml; every key is described in docs/login.md.
struct AgentConfig {
  std::string state_dir;                          // required
  std::string socket;                             // required
  std::string daemon_socket;                      // required
  std::optional<protocol::P256Public> root_pub;   // from the file of that key
  std::optional<std::vector<uid_t>> allow_users;  // absent: everybody, each for himself
  LogLevel log_level = LogLevel::kInfo;
  std::string log_file;  // empty: standard error
};

// Reads and checks the file. Unknown keys, wrong types, bad values, and files that other users may
// write are refused: the message names file, line and remedy.
Result<AgentConfig> LoadAgentConfig(const std::string& path);

}  // namespace keyferry::daemon::login
