#pragma once

#include <memory>
#include <utility>

#include "device/link.h"

namespace keyferry::test {

inline device::Patience Shortened(const device::Patience& patience, int divisor) {
  return {patience.answer / divisor, patience.touch / divisor, patience.turn};
}

// Shortens every wait, so that a lost frame costs a fraction of a second.
class Impatient final : public device::MessageLink {
 public:
  Impatient(std::unique_ptr<device::MessageLink> link, int divisor)
      : link_(std::move(link)), divisor_(divisor) {}
  Result<device::Message> Transact(std::uint8_t command, std::span<const std::uint8_t> payload,
                                   const device::Patience& patience,
                                   const device::KeepaliveHandler& on_keepalive) override {
    return link_->Transact(command, payload, Shortened(patience, divisor_), on_keepalive);
  }
  Result<void> Post(std::uint8_t command, std::span<const std::uint8_t> payload) override {
    return link_->Post(command, payload);
  }
  device::TransportKind Kind() const override { return link_->Kind(); }

 private:
  std::unique_ptr<device::MessageLink> link_;
  const int divisor_;
};

}  // namespace keyferry::test
