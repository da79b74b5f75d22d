#include "client-daemon/ipc/ask.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace keyferry::daemon {
namespace {

constexpr std::size_t kMaxAnswer = 64 * 1024;

tl::unexpected<Error> NotRunning(const std::string& path, const std::string& detail) {
  return Fail(ErrorCode::kUnavailable,
              "keyferryd does not answer at " + path +
                  "; start it (systemctl start keyferryd) or name its socket with --socket.",
              detail);
}

Result<std::string> Converse(int fd, const std::string& path, const std::string& request,
                             std::chrono::milliseconds timeout) {
  if (send(fd, request.data(), request.size(), MSG_NOSIGNAL) < 0) {
    return NotRunning(path, std::strerror(errno));
  }
  pollfd poll_fd{fd, POLLIN, 0};
  const int ready = poll(&poll_fd, 1, static_cast<int>(timeout.count()));
  if (ready == 0) return Fail(ErrorCode::kDeadline, "keyferryd did not answer in time.");
  std::string answer(kMaxAnswer, '\0');
  const ssize_t size = ready < 0 ? -1 : recv(fd, answer.data(), answer.size(), MSG_DONTWAIT);
  if (size <= 0) return NotRunning(path, std::strerror(errno));
  answer.resize(static_cast<std::size_t>(size));
  return answer;
}

}  // namespace

Result<std::string> AskDaemon(const std::string& socket_path, const std::string& request,
                              std::chrono::milliseconds timeout) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket_path.empty() || socket_path.size() >= sizeof address.sun_path) {
    return Fail(ErrorCode::kInvalidArgument, "The socket's path must have 1 to 107 characters.");
  }
  std::memcpy(address.sun_path, socket_path.data(), socket_path.size());
  const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (fd < 0) return Fail(ErrorCode::kIo, "No socket can be made.", std::strerror(errno));
  Result<std::string> answer = NotRunning(socket_path, "");
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
    answer = Converse(fd, socket_path, request, timeout);
  } else {
    answer = NotRunning(socket_path, std::strerror(errno));
  }
  close(fd);
  return answer;
}

}  // namespace keyferry::daemon
