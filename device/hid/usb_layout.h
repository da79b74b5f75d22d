#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "device/hid/hid_match.h"
#include "protocol/result.h"

namespace keyferry::device {

// A USB device's device, configuration, interface and endpoint descriptors (USB 2.0, section 9.6),
// as sysfs (`descriptors`) and an open device node give them: raw, as the device said them.
struct UsbLayout {
  static constexpr std::size_t kMaxSize = 16384;
  static constexpr std::size_t kMaxInterfaces = 32;
  static constexpr std::size_t kMaxEndpoints = 32;  // of one interface

  struct Endpoint {
    std::uint8_t address = 0;  // bit 7: towards the host
    std::uint8_t type = 0;     // 3: interrupt
    std::uint16_t max_packet = 0;
    std::uint8_t interval = 0;  // as it stands there: ms at full speed, 2^(n-1) × 125 µs above

    bool In() const { return (address & 0x80) != 0; }
    bool Interrupt() const { return type == 3; }
  };
  struct Interface {
    std::uint8_t number = 0;
    std::uint8_t alternate = 0;
    std::uint8_t class_code = 0;  // 3: HID
    std::uint8_t subclass = 0;    // 1: boot keyboard or mouse
    std::uint8_t protocol = 0;
    std::uint16_t report_descriptor_size = 0;  // 0: it has none
    std::vector<Endpoint> endpoints;
  };

  UsbId id;
  std::uint16_t release = 0;  // bcdDevice
  std::uint8_t configurations = 0;
  std::vector<Interface> interfaces;  // of the first configuration, alternates too

  // kProtocol with the reason in `message` ("its descriptors are cut off").
  static Result<UsbLayout> Parse(std::span<const std::uint8_t> bytes);

  // Whether this is a key: one configuration, one interface, HID without boot protocol, one
  // interrupt endpoint of 64 bytes each way. kProtocol with the reason in `message`.
  Result<void> CheckKey() const;

  // The endpoint of a layout that passed CheckKey.
  const Endpoint& KeyEndpoint(bool in) const;
};

// Both at once.
Result<void> CheckKeyUsb(std::span<const std::uint8_t> bytes);

}  // namespace keyferry::device
