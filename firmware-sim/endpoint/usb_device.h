#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "firmware-sim/endpoint/endpoint.h"

namespace keyferry::sim {

// Speeds as USB/IP numbers them.
enum class UsbSpeed : std::uint8_t { kFull = 2, kHigh = 3 };

// The eight bytes that begin every control transfer (USB 2.0, 9.3).
struct UsbSetup {
  std::uint8_t type = 0;
  std::uint8_t request = 0;
  std::uint16_t value = 0;
  std::uint16_t index = 0;
  std::uint16_t length = 0;
  bool in() const { return (type & 0x80) != 0; }

  static UsbSetup Parse(std::span<const std::uint8_t, 8> bytes);
};

// The key as a USB device, between reset and disconnection: descriptors, endpoint 0, and the two
// interrupt endpoints. One configuration, one HID interface, 64 bytes each way, bInterval 1.
class UsbDevice {
 public:
  static constexpr std::uint8_t kInEndpoint = 1;  // 0x81
  static constexpr std::uint8_t kOutEndpoint = 1;
  static constexpr std::uint16_t kRelease = 0x0100;

  // Gets each report from the host.
  using OnReport = std::function<void(protocol::ByteView report)>;

  UsbDevice(Identity identity, UsbSpeed speed, OnReport on_report);

  // A control transfer on endpoint 0. `data`: what the host sends, for an OUT transfer. Returns
  // what the host gets (at most setup.length); none: STALL.
  std::optional<std::vector<std::uint8_t>> Control(const UsbSetup& setup, protocol::ByteView data);
  // An interrupt OUT transfer. False: STALL.
  bool Out(protocol::ByteView data);
  // False: the IN endpoint stalls.
  bool InWorks() const { return configured_ && !in_halted_; }
  // What goes over the wire for a report.
  std::vector<std::uint8_t> InPacket(protocol::ByteView report) const;

  const Identity& identity() const { return identity_; }
  UsbSpeed speed() const { return speed_; }

 private:
  using Answer = std::optional<std::vector<std::uint8_t>>;
  Answer Standard(const UsbSetup& setup);
  Answer HidClass(const UsbSetup& setup, protocol::ByteView data);
  Answer Descriptor(const UsbSetup& setup) const;
  Answer StringDescriptor(const UsbSetup& setup) const;
  Answer Feature(const UsbSetup& setup);
  std::vector<std::uint8_t> DeviceDescriptor() const;
  std::vector<std::uint8_t> ConfigurationDescriptor() const;
  std::vector<std::uint8_t> HidDescriptor() const;
  bool* Halted(std::uint16_t endpoint);

  const Identity identity_;
  const UsbSpeed speed_;
  const OnReport on_report_;
  bool configured_ = false;
  bool in_halted_ = false;
  bool out_halted_ = false;
  std::uint8_t idle_ = 0;
};

}  // namespace keyferry::sim
