#include "device/hid/usb_layout.h"

#include <algorithm>

#include "protocol/limits.h"

namespace keyferry::device {
namespace {

using Bytes = std::span<const std::uint8_t>;

constexpr std::uint8_t kDevice = 1, kConfiguration = 2, kInterface = 4, kEndpoint = 5, kHid = 0x21;
constexpr std::uint8_t kReport = 0x22;
constexpr std::uint8_t kHidClass = 3;

std::uint16_t U16(Bytes bytes, std::size_t at) {
  return static_cast<std::uint16_t>(bytes[at] | bytes[at + 1] << 8);
}

tl::unexpected<Error> Bad(const std::string& reason) { return Fail(ErrorCode::kProtocol, reason); }

// The HID descriptor's list of further descriptors (HID 1.11, section 6.2.1).
std::uint16_t ReportDescriptorSize(Bytes hid) {
  if (hid.size() < 6) return 0;
  for (std::size_t i = 0; i < hid[5] && 6 + 3 * (i + 1) <= hid.size(); ++i) {
    if (hid[6 + 3 * i] == kReport) return U16(hid, 7 + 3 * i);
  }
  return 0;
}

}  // namespace

Result<UsbLayout> UsbLayout::Parse(Bytes bytes) {
  if (bytes.size() > kMaxSize) return Bad("its descriptors have more than 16384 bytes");
  if (bytes.size() < 18 || bytes[0] != 18 || bytes[1] != kDevice) {
    return Bad("it has no device descriptor");
  }
  UsbLayout out;
  out.id = {U16(bytes, 8), U16(bytes, 10)};
  out.release = U16(bytes, 12);
  out.configurations = bytes[17];
  bytes = bytes.subspan(18);
  std::size_t configurations = 0;
  while (!bytes.empty()) {
    const std::size_t size = bytes[0];
    if (size < 2 || size > bytes.size()) return Bad("its descriptors are cut off");
    const Bytes one = bytes.first(size);
    bytes = bytes.subspan(size);
    if (one[1] == kConfiguration) ++configurations;
    if (configurations != 1) continue;  // others are counted by the device descriptor
    if (one[1] == kInterface) {
      if (size < 9) return Bad("an interface descriptor is too short");
      if (out.interfaces.size() >= kMaxInterfaces) return Bad("it has too many interfaces");
      out.interfaces.push_back({one[2], one[3], one[5], one[6], one[7], 0, {}});
    } else if (one[1] == kHid && !out.interfaces.empty()) {
      out.interfaces.back().report_descriptor_size = ReportDescriptorSize(one);
    } else if (one[1] == kEndpoint) {
      if (size < 7 || out.interfaces.empty()) return Bad("an endpoint descriptor is misplaced");
      auto& endpoints = out.interfaces.back().endpoints;
      if (endpoints.size() >= kMaxEndpoints) return Bad("it has too many endpoints");
      endpoints.push_back({one[2], static_cast<std::uint8_t>(one[3] & 3),
                           static_cast<std::uint16_t>(U16(one, 4) & 0x7FF), one[6]});
    }
  }
  return out;
}

Result<void> UsbLayout::CheckKey() const {
  if (configurations != 1) return Bad("it has several configurations");
  if (interfaces.size() != 1) {
    return Bad("it has " + std::to_string(interfaces.size()) + " interfaces, not one");
  }
  const Interface& only = interfaces[0];
  if (only.class_code != kHidClass) return Bad("it is no HID device");
  if (only.subclass != 0 || only.protocol != 0) return Bad("it is a boot keyboard or mouse");
  if (only.endpoints.size() != 2) {
    return Bad("it has " + std::to_string(only.endpoints.size()) + " endpoints, not two");
  }
  if (only.endpoints[0].In() == only.endpoints[1].In()) {
    return Bad("its endpoints go one way only");
  }
  for (const Endpoint& endpoint : only.endpoints) {
    if (!endpoint.Interrupt() || (endpoint.address & 0x0F) == 0) {
      return Bad("an endpoint is not of the interrupt kind");
    }
    if (endpoint.max_packet != protocol::kReportSize) {
      return Bad("an endpoint has packets of " + std::to_string(endpoint.max_packet) +
                 " bytes, not 64");
    }
  }
  if (only.report_descriptor_size == 0) return Bad("it has no report descriptor");
  return {};
}

const UsbLayout::Endpoint& UsbLayout::KeyEndpoint(bool in) const {
  const auto& both = interfaces.at(0).endpoints;
  return both.at(0).In() == in ? both.at(0) : both.at(1);
}

Result<void> CheckKeyUsb(Bytes bytes) {
  const auto layout = UsbLayout::Parse(bytes);
  if (!layout) return tl::unexpected(layout.error());
  return layout->CheckKey();
}

}  // namespace keyferry::device
