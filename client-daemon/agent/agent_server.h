#pragma once

#include <sys/types.h>

#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "client-daemon/agent/login_attempt.h"
#include "protocol/result.h"

namespace keyferry::daemon::login {

struct AgentServerSettings {
  std::string path;  // of the socket
  // Who may ask besides root; nothing: everybody, each for himself.
  std::optional<std::vector<uid_t>> allow_users;
  AttemptLimits limits;
};

// keyferry-agent's AF_UNIX SOCK_SEQPACKET socket. Who asks is known by SO_PEERCRED. One thread a
// connection, at most kMaxConnections; of these, users other than root get kMaxOthers in all and
// kMaxPerUser each, so that none of them can keep root's login waiting. A further one is told that
// the agent is busy.
class AgentServer {
 public:
  static constexpr std::size_t kMaxConnections = 16;
  static constexpr std::size_t kMaxOthers = 8;
  static constexpr std::size_t kMaxPerUser = 2;

  // `services` outlives the server. kConflict when another agent listens at the path.
  static Result<std::unique_ptr<AgentServer>> Start(AgentServerSettings settings,
                                                    const Services& services);
  // Ends every attempt, also one that waits for touch (its key is told), and removes the socket.
  ~AgentServer();

 private:
  struct Connection {
    int fd = -1;
    uid_t uid = 0;
    bool done = false;
    std::thread thread;
  };

  AgentServer(AgentServerSettings settings, const Services& services, int listen_fd, int stop_fd);
  void AcceptLoop();
  void Admit(int fd);
  void Serve(Connection& connection);
  // Why this user may not begin an attempt now, or nothing. mutex_ is held.
  std::optional<Refusal> Objection(uid_t uid) const;
  void Reap();

  const AgentServerSettings settings_;
  const Services& services_;
  const int listen_fd_;
  const int stop_fd_;
  std::mutex mutex_;
  std::list<Connection> connections_;
  std::thread thread_;
};

}  // namespace keyferry::daemon::login
