#include "client-daemon/agent/agent_server.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <exception>
#include <utility>

#include "client-daemon/core/log.h"

namespace keyferry::daemon::login {
namespace {

// A socket left by an agent that died is removed; one that answers is not.
Result<void> ClearTheWay(const sockaddr_un& address) {
  const std::string path = address.sun_path;
  const int probe = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (probe < 0) return Fail(ErrorCode::kIo, "No socket can be made.", std::strerror(errno));
  const int connected = connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const int error = errno;
  close(probe);
  if (connected == 0 || error == EAGAIN) {
    return Fail(ErrorCode::kConflict, "Another keyferry-agent listens at " + path +
                                          "; stop it or choose another `socket`.");
  }
  struct stat info {};
  if (lstat(path.c_str(), &info) != 0) return {};
  if (!S_ISSOCK(info.st_mode)) {
    return Fail(ErrorCode::kInvalidArgument,
                path + " is in the way of `socket` and is no socket; move it away.");
  }
  if (unlink(path.c_str()) != 0) {
    return Fail(ErrorCode::kIo, "The old socket " + path + " cannot be removed.",
                std::strerror(errno));
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<AgentServer>> AgentServer::Start(AgentServerSettings settings,
                                                        const Services& services) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (settings.path.empty() || settings.path.size() >= sizeof address.sun_path) {
    return Fail(ErrorCode::kInvalidArgument, "`socket` must have 1 to 107 characters.");
  }
  std::memcpy(address.sun_path, settings.path.data(), settings.path.size());
  if (auto clear = ClearTheWay(address); !clear) return tl::unexpected(clear.error());
  const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const int stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  // Anyone may connect; who may ask what is decided by SO_PEERCRED.
  if (fd < 0 || stop_fd < 0 ||
      bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      chmod(settings.path.c_str(), 0666) != 0 || listen(fd, 64) != 0) {
    const int error = errno;
    if (fd >= 0) close(fd);
    if (stop_fd >= 0) close(stop_fd);
    return Fail(ErrorCode::kIo,
                "The socket " + settings.path + " cannot be made: " + std::strerror(error) +
                    "; its directory must exist and belong to the user of keyferry-agent.",
                std::strerror(error));
  }
  std::unique_ptr<AgentServer> server(new AgentServer(std::move(settings), services, fd, stop_fd));
  server->thread_ = std::thread([raw = server.get()] { raw->AcceptLoop(); });
  return server;
}

AgentServer::AgentServer(AgentServerSettings settings, const Services& services, int listen_fd,
                         int stop_fd)
    : settings_(std::move(settings)),
      services_(services),
      listen_fd_(listen_fd),
      stop_fd_(stop_fd) {}

AgentServer::~AgentServer() {
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = write(stop_fd_, &one, sizeof one);
  thread_.join();
  for (Connection& connection : connections_) {
    connection.thread.join();
    close(connection.fd);
  }
  unlink(settings_.path.c_str());
  close(listen_fd_);
  close(stop_fd_);
}

void AgentServer::AcceptLoop() {
  while (true) {
    pollfd fds[2] = {{listen_fd_, POLLIN, 0}, {stop_fd_, POLLIN, 0}};
    if (poll(fds, 2, -1) < 0 && errno != EINTR) return;
    if (fds[1].revents != 0) return;
    const int fd = accept4(listen_fd_, nullptr, nullptr, SOCK_CLOEXEC);
    Reap();
    if (fd >= 0) {
      Admit(fd);
    } else if (errno == EMFILE || errno == ENFILE) {
      // Nothing can be accepted until somebody leaves; look again soon instead of spinning.
      poll(&fds[1], 1, 100);
    }
  }
}

void AgentServer::Reap() {
  std::list<Connection> ended;
  {
    const std::scoped_lock lock(mutex_);
    for (auto it = connections_.begin(); it != connections_.end();) {
      const auto next = std::next(it);
      if (it->done) ended.splice(ended.end(), connections_, it);
      it = next;
    }
  }
  for (Connection& connection : ended) {
    connection.thread.join();
    close(connection.fd);
  }
}

std::optional<Refusal> AgentServer::Objection(uid_t uid) const {
  const auto& allowed = settings_.allow_users;
  if (uid != 0 && allowed && std::find(allowed->begin(), allowed->end(), uid) == allowed->end()) {
    return Refusal{Problem::kDenied, kTriesUnknown,
                   "You may not use the login agent of this computer."};
  }
  const auto count = [&](auto of) {
    return static_cast<std::size_t>(
        std::count_if(connections_.begin(), connections_.end(),
                      [&](const auto& other) { return of(other.uid); }));
  };
  if (connections_.size() >= kMaxConnections ||
      (uid != 0 && (count([](uid_t other) { return other != 0; }) >= kMaxOthers ||
                    count([uid](uid_t other) { return other == uid; }) >= kMaxPerUser))) {
    return Refusal{Problem::kBusy, kTriesUnknown,
                   "The login agent is busy; try again in a moment."};
  }
  return std::nullopt;
}

void AgentServer::Admit(int fd) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
    close(fd);
    return;
  }
  const std::scoped_lock lock(mutex_);
  if (const auto objection = Objection(peer.uid)) {
    std::array<std::uint8_t, kMaxMessage> message;
    const std::size_t length = Write(*objection, message);
    [[maybe_unused]] const ssize_t n =
        send(fd, message.data(), length, MSG_NOSIGNAL | MSG_DONTWAIT);
    close(fd);
    return;
  }
  Connection& connection = connections_.emplace_back();
  connection.fd = fd;
  connection.uid = peer.uid;
  connection.thread = std::thread([this, &connection] { Serve(connection); });
}

void AgentServer::Serve(Connection& connection) {
  try {
    LoginAttempt(connection.fd, connection.uid, services_, settings_.limits).Run(stop_fd_);
  } catch (const std::exception& error) {
    // Locked memory used up, most likely. The client sees a closed connection, which is never a
    // success.
    Log(LogLevel::kError, std::string("an attempt ended: ") + error.what());
  }
  // The peer learns it now; the descriptor stays ours until the thread is joined.
  shutdown(connection.fd, SHUT_RDWR);
  const std::scoped_lock lock(mutex_);
  connection.done = true;
}

}  // namespace keyferry::daemon::login
