#include "firmware-sim/endpoint/usb_device.h"

#include <algorithm>
#include <utility>

#include "firmware-sim/endpoint/hid_descriptor.h"

namespace keyferry::sim {
namespace {

using protocol::ByteView;

// bmRequestType without the direction: kind and recipient.
constexpr std::uint8_t kStandardDevice = 0x00;
constexpr std::uint8_t kStandardInterface = 0x01;
constexpr std::uint8_t kStandardEndpoint = 0x02;
constexpr std::uint8_t kClassInterface = 0x21;

enum Request : std::uint8_t {
  kGetStatus = 0,
  kClearFeature = 1,
  kSetFeature = 3,
  kGetDescriptor = 6,
  kGetConfiguration = 8,
  kSetConfiguration = 9,
  kGetInterface = 10,
  kSetInterface = 11,
};
enum HidRequest : std::uint8_t {
  kGetReport = 1,
  kGetIdle = 2,
  kSetReport = 9,
  kSetIdle = 10,
};
enum DescriptorType : std::uint8_t {
  kDevice = 1,
  kConfiguration = 2,
  kString = 3,
  kHid = 0x21,
  kReport = 0x22,
};
constexpr std::uint8_t kMaker = 1;
constexpr std::uint8_t kProduct = 2;
constexpr std::uint8_t kSerial = 3;
constexpr std::uint8_t kInputReport = 1;
constexpr std::uint8_t kOutputReport = 2;
constexpr std::uint8_t kMaxPacket = protocol::kReportSize;

std::vector<std::uint8_t> Bytes(std::initializer_list<int> values) {
  std::vector<std::uint8_t> out;
  for (const int value : values) out.push_back(static_cast<std::uint8_t>(value));
  return out;
}

}  // namespace

UsbSetup UsbSetup::Parse(std::span<const std::uint8_t, 8> b) {
  const auto word = [&b](std::size_t at) {
    return static_cast<std::uint16_t>(b[at] | b[at + 1] << 8);
  };
  return {b[0], b[1], word(2), word(4), word(6)};
}

UsbDevice::UsbDevice(Identity identity, UsbSpeed speed, OnReport on_report)
    : identity_(std::move(identity)), speed_(speed), on_report_(std::move(on_report)) {}

UsbDevice::Answer UsbDevice::Control(const UsbSetup& setup, ByteView data) {
  const auto kind = static_cast<std::uint8_t>(setup.type & 0x7F);
  Answer answer = kind == kClassInterface ? HidClass(setup, data) : Standard(setup);
  if (!answer || !setup.in()) return answer;
  if (answer->size() > setup.length) answer->resize(setup.length);
  return answer;
}

UsbDevice::Answer UsbDevice::Standard(const UsbSetup& setup) {
  const auto to = static_cast<std::uint8_t>(setup.type & 0x7F);
  if (to == kStandardInterface && (setup.index & 0xFF) != 0) return std::nullopt;
  if (to != kStandardDevice && to != kStandardInterface && to != kStandardEndpoint)
    return std::nullopt;
  switch (setup.in() ? setup.request : setup.request | 0x100) {
    case kGetStatus:
      if (to == kStandardEndpoint) {
        const bool* halted = Halted(setup.index);
        if (halted == nullptr && (setup.index & 0x7F) != 0) return std::nullopt;
        return Bytes({halted != nullptr && *halted ? 1 : 0, 0});
      }
      return Bytes({0, 0});
    case kGetDescriptor:
      if (to == kStandardEndpoint) return std::nullopt;
      return Descriptor(setup);
    case kGetConfiguration:
      return Bytes({configured_ ? 1 : 0});
    case kGetInterface:
      return to == kStandardInterface ? Answer(Bytes({0})) : std::nullopt;
    case kSetConfiguration | 0x100:
      if (setup.value > 1) return std::nullopt;
      configured_ = setup.value == 1;
      in_halted_ = out_halted_ = false;
      return Bytes({});
    case kSetInterface | 0x100:
      if (to != kStandardInterface || setup.value != 0) return std::nullopt;
      in_halted_ = out_halted_ = false;
      return Bytes({});
    case kClearFeature | 0x100:
    case kSetFeature | 0x100:
      return Feature(setup);
    default:
      return std::nullopt;
  }
}

// Only ENDPOINT_HALT: the key cannot wake its host.
UsbDevice::Answer UsbDevice::Feature(const UsbSetup& setup) {
  bool* halted = Halted(setup.index);
  if ((setup.type & 0x7F) != kStandardEndpoint || setup.value != 0 || halted == nullptr)
    return std::nullopt;
  *halted = setup.request == kSetFeature;
  return Bytes({});
}

bool* UsbDevice::Halted(std::uint16_t endpoint) {
  if (endpoint == (0x80 | kInEndpoint)) return &in_halted_;
  if (endpoint == kOutEndpoint) return &out_halted_;
  return nullptr;
}

UsbDevice::Answer UsbDevice::HidClass(const UsbSetup& setup, ByteView data) {
  if ((setup.index & 0xFF) != 0) return std::nullopt;
  const auto report_type = static_cast<std::uint8_t>(setup.value >> 8);
  const auto report_id = static_cast<std::uint8_t>(setup.value & 0xFF);
  if (setup.in()) {
    if (setup.request == kGetIdle) return Bytes({idle_});
    // The key has no state to report; what it has to say comes by the interrupt endpoint.
    if (setup.request == kGetReport && report_type == kInputReport &&
        report_id == ReportId(identity_.lie))
      return std::vector<std::uint8_t>(protocol::kReportSize);
    return std::nullopt;
  }
  if (setup.request == kSetIdle) {
    idle_ = static_cast<std::uint8_t>(setup.value >> 8);
    return Bytes({});
  }
  if (setup.request == kSetReport && report_type == kOutputReport) {
    if (data.size() != setup.length || !configured_) return std::nullopt;
    Out(data);
    return Bytes({});
  }
  return std::nullopt;
}

UsbDevice::Answer UsbDevice::Descriptor(const UsbSetup& setup) const {
  const auto index = static_cast<std::uint8_t>(setup.value & 0xFF);
  const bool to_interface = (setup.type & 0x7F) == kStandardInterface;
  switch (setup.value >> 8) {
    case kDevice:
      return !to_interface && index == 0 ? Answer(DeviceDescriptor()) : std::nullopt;
    case kConfiguration:
      return !to_interface && index == 0 ? Answer(ConfigurationDescriptor()) : std::nullopt;
    case kString:
      return !to_interface ? StringDescriptor(setup) : std::nullopt;
    case kHid:
      return to_interface ? Answer(HidDescriptor()) : std::nullopt;
    case kReport:
      return to_interface ? Answer(ReportDescriptor(identity_.lie)) : std::nullopt;
    default:
      return std::nullopt;
  }
}

std::vector<std::uint8_t> UsbDevice::DeviceDescriptor() const {
  return Bytes({18, kDevice, 0x00, 0x02, 0, 0, 0, kMaxPacket, identity_.vendor & 0xFF,
                identity_.vendor >> 8, identity_.product & 0xFF, identity_.product >> 8,
                kRelease & 0xFF, kRelease >> 8, kMaker, kProduct, kSerial, 1});
}

std::vector<std::uint8_t> UsbDevice::ConfigurationDescriptor() const {
  // Bus powered, 100 mA. Interface 0: HID, no boot subclass, two endpoints.
  std::vector<std::uint8_t> out = Bytes({9, kConfiguration, 41, 0, 1, 1, 0, 0x80, 50,  //
                                         9, 4, 0, 0, 2, 3, 0, 0, 0});
  const auto hid = HidDescriptor();
  out.insert(out.end(), hid.begin(), hid.end());
  const auto endpoints = Bytes({7, 5, 0x80 | kInEndpoint, 3, kMaxPacket, 0, 1,  //
                                7, 5, kOutEndpoint, 3, kMaxPacket, 0, 1});
  out.insert(out.end(), endpoints.begin(), endpoints.end());
  return out;
}

// Names the honest length of the report descriptor, however much of it comes.
std::vector<std::uint8_t> UsbDevice::HidDescriptor() const {
  const auto lie =
      identity_.lie == DescriptorLie::kTruncated ? DescriptorLie::kNone : identity_.lie;
  const int length = static_cast<int>(ReportDescriptor(lie).size());
  return Bytes({9, kHid, 0x11, 0x01, 0, 1, kReport, length & 0xFF, length >> 8});
}

UsbDevice::Answer UsbDevice::StringDescriptor(const UsbSetup& setup) const {
  const auto index = static_cast<std::uint8_t>(setup.value & 0xFF);
  if (index == 0) return Bytes({4, kString, 0x09, 0x04});  // English (United States)
  if (index > kSerial) return std::nullopt;
  if (identity_.lie == DescriptorLie::kEndlessString) {
    std::vector<std::uint8_t> out(setup.length, 'A');
    if (out.size() >= 2) {
      out[0] = 0xFF;
      out[1] = kString;
    }
    return out;
  }
  const std::string text = index == kMaker     ? kMakerName
                           : index == kProduct ? kProductName
                                               : identity_.Serial();
  std::vector<std::uint8_t> out = Bytes({static_cast<int>(2 + 2 * text.size()), kString});
  for (const char c : text) {
    out.push_back(static_cast<std::uint8_t>(c));
    out.push_back(0);
  }
  return out;
}

bool UsbDevice::Out(ByteView data) {
  if (!configured_ || out_halted_) return false;
  const std::size_t id = ReportId(identity_.lie) != 0 ? 1 : 0;
  const std::size_t report = protocol::kReportSize + id;
  // A report is complete with its last packet; what is short is none.
  while (data.size() >= report) {
    if (id == 0 || data[0] == ReportId(identity_.lie)) on_report_(data.subspan(id, report - id));
    data = data.subspan(report);
  }
  return true;
}

std::vector<std::uint8_t> UsbDevice::InPacket(ByteView report) const {
  std::vector<std::uint8_t> out;
  if (const std::uint8_t id = ReportId(identity_.lie)) out.push_back(id);
  out.insert(out.end(), report.begin(), report.end());
  return out;
}

}  // namespace keyferry::sim
