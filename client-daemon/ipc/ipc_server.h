#pragma once

#include <sys/types.h>

#include <functional>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "client-daemon/core/local_api.h"
#include "protocol/result.h"

namespace keyferry::daemon {

struct IpcRequest;

struct IpcSettings {
  std::string path;                // of the socket
  std::vector<uid_t> allow_users;  // may use `agent`, `relay`, `used`, besides root and ourselves
  // Whether this user sits at the machine and may therefore use `relay`; empty: nobody may for
  // that. Any thread.
  std::function<bool(uid_t)> at_seat = {};
};

// The daemon's AF_UNIX SOCK_SEQPACKET socket: docs/local-ipc.md section 1. Who asks is known by
// SO_PEERCRED. One thread a connection, at most kMaxConnections in all and kMaxPerUser for each
// user but root; a further one is told so and closed. A peer that does not ask anything for 10 s (a
// relay: 5 minutes) is closed.
class IpcServer {
 public:
  static constexpr std::size_t kMaxConnections = 64;
  static constexpr std::size_t kMaxPerUser = 16;

  IpcServer(IpcSettings settings, LocalApi& api);
  ~IpcServer();  // closes all connections, waits for their threads, removes the socket

  // kConflict, naming the process, when another daemon listens at the path.
  Result<void> Start();

  // Ends the relays to the key at this path.
  void KeyGone(const std::string& path);

 private:
  struct Connection {
    int fd = -1;
    uid_t uid = 0;
    Asker asker;
    std::string relayed;  // path of the key
    bool done = false;
    std::thread thread;
  };

  void AcceptLoop();
  void Admit(int fd);
  void Serve(Connection& connection);
  // The answer to one request; when it opens a relay, `relay` is set.
  std::string Answer(Connection& connection, std::string_view request,
                     std::optional<RelayGrant>& relay);
  // Notices, and what the help desk asks: a user sees and answers their own; root, those named by
  // allow_users and whoever sits at the machine, all.
  std::string AnswerAsked(const Connection& connection);
  std::string AnswerNotices(const Connection& connection, const IpcRequest& request);
  void Relay(Connection& connection, RelayGrant& grant);
  bool Trusted(uid_t uid) const;
  void Reap();

  const IpcSettings settings_;
  LocalApi& api_;
  int listen_fd_ = -1;
  int stop_fd_ = -1;
  std::mutex mutex_;
  std::list<Connection> connections_;
  std::thread thread_;
};

}  // namespace keyferry::daemon
