#pragma once

#include <memory>
#include <mutex>

#include "device/ble/ble_port.h"
#include "device/link.h"

namespace keyferry::device {

// One of the links that share a BlePort's channel; the port's header tells how.
class BleLink final : public MessageLink {
 public:
  explicit BleLink(std::shared_ptr<BlePort> port) : port_(std::move(port)) {}
  ~BleLink() override;

  // kInvalidArgument for INIT, which is the port's to send.
  Result<Message> Transact(std::uint8_t command, std::span<const std::uint8_t> payload,
                           const Patience& patience, const KeepaliveHandler& on_keepalive) override;
  // Sent only while a command of this link is running: there is no cid that would keep a CANCEL
  // from another link's command.
  Result<void> Post(std::uint8_t command, std::span<const std::uint8_t> payload) override;
  TransportKind Kind() const override { return port_->Describe().kind; }

 private:
  Result<Message> Run(std::uint8_t command, std::span<const std::uint8_t> payload,
                      const Patience& patience, const KeepaliveHandler& on_keepalive);

  const std::shared_ptr<BlePort> port_;
  std::mutex transaction_;  // one at a time
};

}  // namespace keyferry::device
