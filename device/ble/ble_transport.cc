#include "device/ble/ble_transport.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <mutex>
#include <utility>

namespace keyferry::device {
namespace {

constexpr char kGone[] = "The security key is no longer connected; bring it near again.";

class BleTransport final : public Transport {
 public:
  BleTransport(int write_fd, int notify_fd, int wake_fd, std::size_t max_fragment, std::string path,
               KeyClaim claim)
      : write_fd_(write_fd),
        notify_fd_(notify_fd),
        wake_fd_(wake_fd),
        max_fragment_(max_fragment),
        path_(std::move(path)),
        claim_(std::move(claim)) {}

  ~BleTransport() override {
    close(write_fd_);
    close(notify_fd_);
    if (wake_fd_ >= 0) close(wake_fd_);
  }

  Result<void> Write(std::span<const std::uint8_t> fragment, Deadline deadline) override {
    if (fragment.empty() || fragment.size() > max_fragment_) {
      return Fail(ErrorCode::kInvalidArgument, "The fragment does not fit into the connection.");
    }
    while (true) {
      if (auto ready = Wait(write_fd_, POLLOUT, deadline); !ready) {
        return tl::unexpected(ready.error());
      }
      const ssize_t n =
          send(write_fd_, fragment.data(), fragment.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n == static_cast<ssize_t>(fragment.size())) return {};
      if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      return Fail(ErrorCode::kUnavailable, kGone, n < 0 ? std::strerror(errno) : "short write");
    }
  }

  Result<std::size_t> Read(std::span<std::uint8_t> buffer, Deadline deadline) override {
    while (true) {
      const auto ready = Wait(notify_fd_, POLLIN, deadline);
      if (!ready) return tl::unexpected(ready.error());
      const ssize_t n = recv(notify_fd_, buffer.data(), buffer.size(), MSG_DONTWAIT | MSG_TRUNC);
      if (n > static_cast<ssize_t>(buffer.size())) {
        return Fail(ErrorCode::kProtocol, "The key sent a fragment that is too long.");
      }
      if (n > 0) return static_cast<std::size_t>(n);
      if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      // An empty notification is an empty packet, which reads like the end.
      if (n == 0 && (*ready & (POLLHUP | POLLERR)) == 0) {
        return Fail(ErrorCode::kProtocol, "The key sent an empty fragment.");
      }
      return Fail(ErrorCode::kUnavailable, kGone, n < 0 ? std::strerror(errno) : "end of file");
    }
  }

  void Cancel() override {
    // The eventfd is never read, so it stays readable and every later wait ends at once too.
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = write(wake_fd_, &one, sizeof one);
    shutdown(write_fd_, SHUT_RDWR);
    shutdown(notify_fd_, SHUT_RDWR);
    const std::scoped_lock lock(mutex_);
    claim_ = {};
  }

  TransportInfo Describe() const override { return {TransportKind::kBle, path_, max_fragment_}; }

 private:
  // Waits until `fd` is ready for `events`; the end of the other descriptor ends the wait too. What
  // came before the end is still to be read.
  Result<short> Wait(int fd, short events, Deadline deadline) {
    const int other = fd == write_fd_ ? notify_fd_ : write_fd_;
    while (true) {
      const auto left =
          std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
      pollfd fds[3] = {{fd, events, 0}, {other, 0, 0}, {wake_fd_, POLLIN, 0}};
      const int n = poll(fds, 3, static_cast<int>(std::clamp<long long>(left, 0, 3'600'000)));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return Fail(ErrorCode::kIo, "Waiting for the key failed.", std::strerror(errno));
      if (fds[2].revents != 0) return Fail(ErrorCode::kUnavailable, kGone, "cancelled");
      if ((fds[0].revents & events) != 0) return fds[0].revents;
      if (fds[0].revents != 0 || fds[1].revents != 0) {
        return Fail(ErrorCode::kUnavailable, kGone, "the connection hung up");
      }
      if (left <= 0) return Fail(ErrorCode::kDeadline, "The security key did not answer in time.");
    }
  }

  const int write_fd_;
  const int notify_fd_;
  const int wake_fd_;
  const std::size_t max_fragment_;
  const std::string path_;
  std::mutex mutex_;
  KeyClaim claim_;  // guarded by mutex_
};

}  // namespace

std::unique_ptr<Transport> AdoptBleTransport(int write_fd, int notify_fd, std::size_t max_fragment,
                                             std::string path, KeyClaim claim) {
  return std::make_unique<BleTransport>(write_fd, notify_fd, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
                                        max_fragment, std::move(path), std::move(claim));
}

}  // namespace keyferry::device
