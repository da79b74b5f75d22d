#include "firmware-sim/endpoint/hid_descriptor.h"

namespace keyferry::sim {

std::vector<std::uint8_t> ReportDescriptor(DescriptorLie lie) {
  std::vector<std::uint8_t> out;
  const auto add = [&out](std::initializer_list<int> bytes) {
    for (const int byte : bytes) out.push_back(static_cast<std::uint8_t>(byte));
  };
  const int count = lie == DescriptorLie::kShortReports ? 32 : 64;
  if (lie == DescriptorLie::kKeyboard) {
    add({0x05, 0x01, 0x09, 0x06});  // usage page generic desktop, usage keyboard
  } else {
    const int low = lie == DescriptorLie::kUsagePage ? 0x01 : 0x00;
    add({0x06, low, 0xFF, 0x09, 0x01});  // usage page 0xFF00, usage 1
  }
  add({0xA1, 0x01});  // application collection
  if (const int id = ReportId(lie)) add({0x85, id});
  // Logical 0 … 255, 8 bits, `count` of them: input; then the same as output.
  add({0x09, 0x20, 0x15, 0x00, 0x26, 0xFF, 0x00, 0x75, 0x08, 0x95, count, 0x81, 0x02});
  add({0x09, 0x21, 0x15, 0x00, 0x26, 0xFF, 0x00, 0x75, 0x08, 0x95, count, 0x91, 0x02, 0xC0});
  if (lie == DescriptorLie::kTruncated) out.resize(out.size() / 2);
  return out;
}

std::uint8_t ReportId(DescriptorLie lie) { return lie == DescriptorLie::kReportIds ? 1 : 0; }

}  // namespace keyferry::sim
