#include "firmware-sim/endpoint/control_client.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace keyferry::sim {

Result<std::string> SendControl(const std::string& path, const std::string& command) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return Fail(ErrorCode::kInvalidArgument, "The path of the control socket is too long.");
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (fd < 0) return Fail(ErrorCode::kIo, "Cannot make a socket.", std::strerror(errno));
  const timeval patience{10, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  char answer[4096];
  ssize_t n = -1;
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
      send(fd, command.data(), command.size(), MSG_NOSIGNAL) >= 0) {
    n = recv(fd, answer, sizeof answer, 0);
  }
  const std::string reason = std::strerror(errno);
  close(fd);
  if (n <= 0) {
    return Fail(ErrorCode::kUnavailable,
                "No simulator answers on " + path + "; is keyferry-sim running?", reason);
  }
  return std::string(answer, static_cast<std::size_t>(n));
}

}  // namespace keyferry::sim
