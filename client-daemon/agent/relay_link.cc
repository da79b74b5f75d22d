#include "client-daemon/agent/relay_link.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "protocol/framing.h"
#include "protocol/limits.h"

namespace keyferry::daemon::login {
namespace {

using Clock = Budget::Clock;
using protocol::FrameCommand;

constexpr std::size_t kMaxDatagram = 1 + protocol::kMaxMessage;

tl::unexpected<Error> Gone(const char* detail) {
  return Fail(ErrorCode::kUnavailable, "The security key, or the service in front of it, is gone.",
              detail);
}

}  // namespace

RelayLink::~RelayLink() { close(fd_); }

Result<void> RelayLink::Send(std::uint8_t command, std::span<const std::uint8_t> payload) {
  if (payload.size() > protocol::kMaxMessage) {
    return Fail(ErrorCode::kInvalidArgument, "The message does not fit into the protocol.");
  }
  std::array<std::uint8_t, kMaxDatagram> datagram;
  datagram[0] = command;
  std::copy(payload.begin(), payload.end(), datagram.begin() + 1);
  // What passes here is sealed; a full queue means that nobody reads it.
  if (send(fd_, datagram.data(), 1 + payload.size(), MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
    return Gone("send");
  }
  return {};
}

Result<void> RelayLink::Post(std::uint8_t command, std::span<const std::uint8_t> payload) {
  return Send(command, payload);
}

Result<device::Message> RelayLink::Transact(std::uint8_t command,
                                            std::span<const std::uint8_t> payload,
                                            const device::Patience& patience,
                                            const device::KeepaliveHandler& on_keepalive) {
  const std::scoped_lock one(transaction_);
  if (ended_) return Gone("the relay has ended");
  ended_ = true;  // until the answer is whole
  if (auto sent = Send(command, payload); !sent) return tl::unexpected(sent.error());
  auto answer = Await(patience, on_keepalive);
  ended_ = !answer.has_value();
  return answer;
}

Result<device::Message> RelayLink::Await(const device::Patience& patience,
                                         const device::KeepaliveHandler& on_keepalive) {
  const auto start = Clock::now();
  bool touch = false;
  auto deadline = start + std::min(patience.answer, budget_.left());
  std::array<std::uint8_t, kMaxDatagram> datagram;
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    pollfd waiting{fd_, POLLIN, 0};
    const int ready = left.count() <= 0 ? 0 : poll(&waiting, 1, static_cast<int>(left.count()));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) {
      if (!touch) budget_.Spend(Clock::now() - start);
      return Fail(ErrorCode::kDeadline, "The security key did not answer in time.");
    }
    const ssize_t got = recv(fd_, datagram.data(), datagram.size(), MSG_TRUNC | MSG_DONTWAIT);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got <= 0) return Gone("closed");
    const auto size = static_cast<std::size_t>(got);
    if (size > datagram.size()) {
      return Fail(ErrorCode::kProtocol, "The service in front of the key sent what makes no sense.",
                  "datagram too long");
    }
    const auto body = std::span(datagram).first(size).subspan(1);
    if (datagram[0] != static_cast<std::uint8_t>(FrameCommand::kKeepalive)) {
      if (!touch) budget_.Spend(Clock::now() - start);
      return device::Message{datagram[0], {body.begin(), body.end()}};
    }
    const auto state = static_cast<device::Keepalive>(body.empty() ? 0 : body[0]);
    if (body.size() != 1 ||
        (state != device::Keepalive::kProcessing && state != device::Keepalive::kTouchNeeded)) {
      return Fail(ErrorCode::kProtocol, "The security key sent what makes no sense.", "KEEPALIVE");
    }
    if (state == device::Keepalive::kTouchNeeded && !touch) {
      touch = true;
      budget_.Spend(Clock::now() - start);
      deadline = Clock::now() + std::min<std::chrono::milliseconds>(patience.touch, kTouchWait);
    }
    if (on_keepalive) on_keepalive(state);
  }
}

}  // namespace keyferry::daemon::login
