#include "device/socket/socket_transport.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "device/key_claim.h"
#include "protocol/limits.h"

namespace keyferry::device {
namespace {

constexpr char kGone[] = "The security key is no longer attached; plug it in again.";

class SocketTransport final : public Transport {
 public:
  SocketTransport(int fd, int wake_fd, KeyClaim claim, std::string path)
      : fd_(fd), wake_fd_(wake_fd), claim_(std::move(claim)), path_(std::move(path)) {}

  ~SocketTransport() override {
    close(fd_);
    if (wake_fd_ >= 0) close(wake_fd_);
  }

  Result<void> Write(std::span<const std::uint8_t> report, Deadline deadline) override {
    if (report.empty() || report.size() > protocol::kReportSize) {
      return Fail(ErrorCode::kInvalidArgument, "A report to the key has 1 to 64 bytes.");
    }
    while (true) {
      if (auto ready = Wait(POLLOUT, deadline); !ready) return ready;
      const ssize_t n = send(fd_, report.data(), report.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n == static_cast<ssize_t>(report.size())) return {};
      if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      return Fail(ErrorCode::kUnavailable, kGone, n < 0 ? std::strerror(errno) : "short write");
    }
  }

  Result<std::size_t> Read(std::span<std::uint8_t> buffer, Deadline deadline) override {
    while (true) {
      if (auto ready = Wait(POLLIN, deadline); !ready) return tl::unexpected(ready.error());
      const ssize_t n = recv(fd_, buffer.data(), buffer.size(), MSG_DONTWAIT | MSG_TRUNC);
      if (n > static_cast<ssize_t>(buffer.size())) {
        return Fail(ErrorCode::kProtocol, "The key sent a report that is too long.");
      }
      if (n > 0) return static_cast<std::size_t>(n);
      if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      return Fail(ErrorCode::kUnavailable, kGone, n < 0 ? std::strerror(errno) : "end of file");
    }
  }

  void Cancel() override {
    // The eventfd is never read, so it stays readable and every later wait ends at once too.
    const std::uint64_t one = 1;
    if (write(wake_fd_, &one, sizeof one) < 0) shutdown(fd_, SHUT_RDWR);
  }

  TransportInfo Describe() const override {
    return {TransportKind::kSocket, path_, protocol::kReportSize};
  }

 private:
  Result<void> Wait(short events, Deadline deadline) {
    while (true) {
      const auto left =
          std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
      pollfd fds[2] = {{fd_, events, 0}, {wake_fd_, POLLIN, 0}};
      const int timeout = static_cast<int>(std::clamp<long long>(left, 0, 3'600'000));
      const int n = poll(fds, 2, timeout);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return Fail(ErrorCode::kIo, kGone, std::strerror(errno));
      if (fds[1].revents != 0) {
        return Fail(ErrorCode::kUnavailable, "The connection to the key was closed.", "cancelled");
      }
      if (fds[0].revents != 0) return {};
      if (left <= 0) return Fail(ErrorCode::kDeadline, "The security key did not answer in time.");
    }
  }

  const int fd_;
  const int wake_fd_;
  const KeyClaim claim_;
  const std::string path_;
};

std::unique_ptr<Transport> MakeTransport(int fd, KeyClaim claim, std::string path) {
  return std::make_unique<SocketTransport>(fd, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
                                           std::move(claim), std::move(path));
}

// The same socket has one name, whatever way leads to it.
Result<KeyClaim> Claim(const std::string& path) {
  std::error_code ignored;
  return KeyClaim::Take(std::filesystem::weakly_canonical(path, ignored).string(), path);
}

}  // namespace

std::unique_ptr<Transport> AdoptSocketTransport(int fd, std::string path) {
  return MakeTransport(fd, {}, std::move(path));
}

Result<std::unique_ptr<Transport>> OpenSocketTransport(const std::string& path, bool exclusive) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return Fail(ErrorCode::kInvalidArgument,
                "The key socket's path must have 1 to 107 characters: " + path);
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  KeyClaim claim;
  if (exclusive) {
    auto claimed = Claim(path);
    if (!claimed) return tl::unexpected(claimed.error());
    claim = *std::move(claimed);
  }
  const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  // Non-blocking: a listener whose backlog is full answers EAGAIN instead of hanging the caller.
  if (fd < 0 || connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    const int error = errno;
    if (fd >= 0) close(fd);
    if (error == EACCES) {
      return Fail(ErrorCode::kPermissionDenied,
                  "The security key at " + path +
                      " may not be opened by this user; add it to the group that may.",
                  std::strerror(error));
    }
    return Fail(ErrorCode::kUnavailable, "No security key answers at " + path + ".",
                std::strerror(error));
  }
  return MakeTransport(fd, std::move(claim), path);
}

}  // namespace keyferry::device
