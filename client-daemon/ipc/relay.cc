#include "client-daemon/ipc/relay.h"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "protocol/framing.h"

namespace keyferry::daemon {
namespace {

using protocol::FrameCommand;
using protocol::FrameError;

constexpr int kIdleMs = 5 * 60 * 1000;
constexpr std::size_t kMaxDatagram = 1 + protocol::kMaxMessage;

bool MayPass(std::uint8_t command) {
  switch (static_cast<FrameCommand>(command)) {
    case FrameCommand::kHs1:
    case FrameCommand::kHs3:
    case FrameCommand::kMsg:
    case FrameCommand::kInfo:
    case FrameCommand::kWink:
      return true;
    default:
      return false;
  }
}

bool Send(int fd, FrameCommand command, std::span<const std::uint8_t> payload) {
  std::array<std::uint8_t, kMaxDatagram> datagram;
  if (payload.size() >= datagram.size()) return false;
  datagram[0] = static_cast<std::uint8_t>(command);
  std::copy(payload.begin(), payload.end(), datagram.begin() + 1);
  return send(fd, datagram.data(), payload.size() + 1, MSG_NOSIGNAL | MSG_DONTWAIT) > 0;
}

bool SendError(int fd, FrameError error) {
  const std::uint8_t code[] = {static_cast<std::uint8_t>(error)};
  return Send(fd, FrameCommand::kError, code);
}

// While a command runs only a CANCEL is taken from the program; anything else waits its turn. A
// program that has gone cancels, so that the key does not blink for nobody.
bool WantsCancel(int fd) {
  std::uint8_t first = 0;
  const ssize_t size = recv(fd, &first, 1, MSG_PEEK | MSG_DONTWAIT | MSG_TRUNC);
  if (size == 0) return true;
  if (size != 1 || first != static_cast<std::uint8_t>(FrameCommand::kCancel)) return false;
  return recv(fd, &first, 1, MSG_DONTWAIT) == 1;
}

FrameError ErrorFor(ErrorCode code) {
  switch (code) {
    case ErrorCode::kDeadline:
      return FrameError::kTimeout;
    case ErrorCode::kRateLimited:
      return FrameError::kBusy;
    default:
      return FrameError::kOther;
  }
}

}  // namespace

void RunRelay(int fd, device::MessageLink& link) {
  std::array<std::uint8_t, kMaxDatagram> datagram;
  while (true) {
    pollfd poll_fd{fd, POLLIN, 0};
    const int ready = poll(&poll_fd, 1, kIdleMs);
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return;
    const ssize_t size = recv(fd, datagram.data(), datagram.size(), MSG_TRUNC | MSG_DONTWAIT);
    if (size < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (size <= 0) return;
    if (static_cast<std::size_t>(size) > datagram.size()) {
      SendError(fd, FrameError::kInvalidLength);
      return;
    }
    const std::uint8_t command = datagram[0];
    if (command == static_cast<std::uint8_t>(FrameCommand::kCancel)) continue;  // nothing runs
    if (!MayPass(command)) {
      SendError(fd, FrameError::kInvalidCommand);
      return;
    }
    bool alive = true;
    const auto answer =
        link.Transact(command, std::span(datagram).subspan(1, static_cast<std::size_t>(size) - 1),
                      device::Patience{}, [&](device::Keepalive keepalive) {
                        const std::uint8_t state[] = {static_cast<std::uint8_t>(keepalive)};
                        alive = Send(fd, FrameCommand::kKeepalive, state) && alive;
                        if (!alive || WantsCancel(fd)) {
                          [[maybe_unused]] const auto posted =
                              link.Post(static_cast<std::uint8_t>(FrameCommand::kCancel), {});
                        }
                      });
    if (answer) {
      alive = Send(fd, static_cast<FrameCommand>(answer->command), answer->payload);
    } else if (answer.error().code == ErrorCode::kUnavailable) {
      return;
    } else {
      alive = SendError(fd, ErrorFor(answer.error().code));
    }
    if (!alive) return;
  }
}

}  // namespace keyferry::daemon
