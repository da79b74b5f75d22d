#pragma once

#include <mutex>

#include "client-daemon/agent/budget.h"
#include "device/link.h"

namespace keyferry::daemon::login {

// A key at the other end of keyferryd's relay: SOCK_SEQPACKET, `command(1) ‖ payload(0…1024)` a
// datagram, on a connection that has been granted. Waits no longer than `budget` has left (a touch
// apart, which has kTouchWait). A command without an answer, or one that makes no sense, ends the
// link: what comes later could not be told from the next answer.
class RelayLink final : public device::MessageLink {
 public:
  // The key gives up a touch after 15 s; then its answer still has to come.
  static constexpr std::chrono::milliseconds kTouchWait{16500};

  // Takes over `fd`. `budget` outlives the link.
  RelayLink(int fd, device::TransportKind kind, Budget& budget)
      : fd_(fd), kind_(kind), budget_(budget) {}
  ~RelayLink() override;

  Result<device::Message> Transact(std::uint8_t command, std::span<const std::uint8_t> payload,
                                   const device::Patience& patience,
                                   const device::KeepaliveHandler& on_keepalive) override;
  Result<void> Post(std::uint8_t command, std::span<const std::uint8_t> payload) override;
  device::TransportKind Kind() const override { return kind_; }

 private:
  Result<void> Send(std::uint8_t command, std::span<const std::uint8_t> payload);
  Result<device::Message> Await(const device::Patience& patience,
                                const device::KeepaliveHandler& on_keepalive);

  const int fd_;
  const device::TransportKind kind_;
  Budget& budget_;
  std::mutex transaction_;
  bool ended_ = false;  // guarded by transaction_
};

}  // namespace keyferry::daemon::login
