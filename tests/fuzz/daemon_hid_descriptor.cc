// LINKS: keyferry_device_hid
// Descriptors of any content from a device: no crash, and none that CheckKey lets pass has other
// reports than a key's.

#include <algorithm>
#include <cstdlib>

#include "device/hid/report_descriptor.h"
#include "device/hid/usb_layout.h"

using namespace keyferry::device;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span<const std::uint8_t> bytes(data, size);
  if (const auto reports = ReportDescriptor::Parse(bytes)) {
    if (reports->applications.size() > ReportDescriptor::kMaxDepth) std::abort();
    if (reports->CheckKey() && (reports->input_bits != 512 || reports->foreign)) std::abort();
  }
  if (const auto layout = UsbLayout::Parse(bytes)) {
    if (layout->interfaces.size() > UsbLayout::kMaxInterfaces) std::abort();
    if (layout->CheckKey() && layout->KeyEndpoint(true).In() == layout->KeyEndpoint(false).In()) {
      std::abort();
    }
  }
  return 0;
}
