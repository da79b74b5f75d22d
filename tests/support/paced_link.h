#pragma once

#include <memory>
#include <utility>

#include "device/link.h"

namespace keyferry::test {

// The waits for the key itself, stretched (`pace` over 1) or shortened.
inline device::Patience Paced(const device::Patience& patience, double pace) {
  const auto paced = [pace](std::chrono::milliseconds wait) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(wait * pace);
  };
  return {paced(patience.answer), paced(patience.touch), patience.turn};
}

// Another patience than PROTOCOL.md section 8 has: less, so that a lost frame costs a fraction of a
// second; more, where the processor is emulated and shared.
class PacedLink final : public device::MessageLink {
 public:
  PacedLink(std::unique_ptr<device::MessageLink> link, double pace)
      : link_(std::move(link)), pace_(pace) {}
  Result<device::Message> Transact(std::uint8_t command, std::span<const std::uint8_t> payload,
                                   const device::Patience& patience,
                                   const device::KeepaliveHandler& on_keepalive) override {
    return link_->Transact(command, payload, Paced(patience, pace_), on_keepalive);
  }
  Result<void> Post(std::uint8_t command, std::span<const std::uint8_t> payload) override {
    return link_->Post(command, payload);
  }
  device::TransportKind Kind() const override { return link_->Kind(); }

 private:
  std::unique_ptr<device::MessageLink> link_;
  const double pace_;
};

}  // namespace keyferry::test
