#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/result.h"

namespace keyferry::device {

// Vendor and product of a USB device, as the kernel tells them. Anybody can claim any: they only
// choose who is looked at. Who a key is, the hop handshake proves.
struct UsbId {
  std::uint16_t vendor = 0;
  std::uint16_t product = 0;

  // "1209:0001", four hexadecimal digits each. kInvalidArgument.
  static Result<UsbId> Parse(std::string_view text);
  std::string Text() const;
  bool operator==(const UsbId&) const = default;
};

// Which USB devices are looked at. The usage page and the reports of PROTOCOL.md section 6 are
// demanded of all of them (ReportDescriptor::CheckKey).
struct HidMatch {
  std::vector<UsbId> ids{{0x1209, 0x0001}};

  bool Has(const UsbId& id) const;
};

}  // namespace keyferry::device
