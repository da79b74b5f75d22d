#include "device/hid/inspect.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "device/hid/hid_errors.h"
#include "device/hid/hidapi_list.h"
#include "device/hid/report_descriptor.h"
#include "device/hid/usb_handle.h"

namespace keyferry::device {
namespace {

bool IsHidrawPath(const std::string& path) { return path.rfind("/dev/", 0) == 0; }

// The hidraw device behind a USB device, if the kernel's driver has it.
std::optional<HidrawDevice> HidrawOf(const UsbDevice& usb) {
  HidMatch same;
  same.ids = {usb.id};
  for (HidrawDevice& one : ListHidrawDevices(same)) {
    if (one.usb && one.usb->name == usb.name) return std::move(one);
  }
  return std::nullopt;
}

void CheckUsbPart(KeyInspection& out) {
  const auto layout = UsbLayout::Parse(out.usb->descriptors);
  if (!layout) {
    out.usb_verdict = layout.error().message;
    return;
  }
  out.layout = *layout;
  if (const auto key = layout->CheckKey(); !key) out.usb_verdict = key.error().message;
}

// Without a hidraw node only libusb can ask for it, and only while nobody else has the key.
Result<std::vector<std::uint8_t>> AskForReports(const KeyInspection& about) {
  if (!about.layout || about.layout->interfaces.empty()) {
    return Fail(ErrorCode::kProtocol, "it has no HID interface");
  }
  if (InterfaceDriver(*about.usb) == "usbfs") {
    return Fail(ErrorCode::kConflict, "a program is using the key through libusb");
  }
  auto usb = UsbHandle::Open(about.usb->Path());
  if (!usb) return tl::unexpected(usb.error());
  if (auto claimed = (*usb)->Claim(); !claimed) return tl::unexpected(claimed.error());
  return (*usb)->ReadReportDescriptor(about.layout->interfaces[0].report_descriptor_size);
}

void CheckReports(KeyInspection& out) {
  std::vector<std::uint8_t> descriptor;
  if (out.hidraw) {
    descriptor = out.hidraw->report_descriptor;
  } else {
    auto asked = AskForReports(out);
    if (!asked) {
      out.report_verdict = asked.error().message;
      return;
    }
    descriptor = *std::move(asked);
  }
  out.report_read = true;
  if (const auto key = CheckKeyReports(descriptor); !key) {
    out.report_verdict = key.error().message;
  }
}

void AskHidapi(KeyInspection& out) {
  if (!out.hidraw) {
    out.hidapi = "not seen by hidapi-hidraw";
    return;
  }
  HidMatch same;
  same.ids = {out.id};
  for (const HidapiDevice& one : ListWithHidapi(same)) {
    if (one.path != out.hidraw->node) continue;
    char text[64];
    std::snprintf(text, sizeof text, "usage %04X/%04X, interface %d", one.usage_page, one.usage,
                  one.interface_number);
    out.hidapi += (out.hidapi.empty() ? "" : "; ") + std::string(text);
  }
  if (out.hidapi.empty()) out.hidapi = "not seen by hidapi-hidraw";
}

void LookAtNodes(KeyInspection& out) {
  if (out.hidraw) out.nodes.push_back(LookAtNode(out.hidraw->node));
  if (out.usb) out.nodes.push_back(LookAtNode(out.usb->Node()));
  for (const NodeState& node : out.nodes) {
    for (Holder& holder : HoldersOf(node.path)) out.holders.push_back(std::move(holder));
    if (!node.usable) {
      out.cures.push_back(node.path + " is not for this user. " + CureFor(node));
    }
  }
  if (out.usb && !out.hidraw) {
    const std::string driver = InterfaceDriver(*out.usb);
    if (driver.empty()) {
      out.cures.push_back(
          "No driver has the key, so there is no hidraw node: as root run modprobe usbhid and plug "
          "it in again.");
    }
  }
  if (!out.known_id) {
    out.cures.push_back("Its ids are not among those that keyferryd looks at.");
  }
}

KeyInspection Inspect(std::optional<UsbDevice> usb, std::optional<HidrawDevice> hidraw,
                      const HidMatch& match) {
  KeyInspection out;
  out.id = usb ? usb->id : hidraw->id;
  out.usb = std::move(usb);
  out.hidraw = std::move(hidraw);
  out.known_id = match.Has(out.id);
  if (out.usb) CheckUsbPart(out);
  CheckReports(out);
  AskHidapi(out);
  LookAtNodes(out);
  return out;
}

Result<KeyInspection> InspectOne(const std::string& path, const HidMatch& match) {
  if (IsHidrawPath(path)) {
    const auto name = HidrawNameOf(path);
    if (!name) return tl::unexpected(NoSuchPlace());
    auto hidraw = ReadHidrawDevice(*name);
    if (!hidraw) return tl::unexpected(hidraw.error());
    auto usb = hidraw->usb;
    return Inspect(std::move(usb), *std::move(hidraw), match);
  }
  const auto name = UsbNameOf(path);
  if (!name) return tl::unexpected(NoSuchPlace());
  auto usb = ReadUsbDevice(*name);
  if (!usb) return tl::unexpected(usb.error());
  auto hidraw = HidrawOf(*usb);
  return Inspect(*std::move(usb), std::move(hidraw), match);
}

}  // namespace

Result<std::vector<KeyInspection>> InspectUsb(const std::string& path, const HidMatch& match) {
  std::vector<KeyInspection> out;
  if (!path.empty()) {
    auto one = InspectOne(path, match);
    if (!one) return tl::unexpected(one.error());
    out.push_back(*std::move(one));
    return out;
  }
  for (UsbDevice& usb : ListUsbDevices(match)) {
    auto hidraw = HidrawOf(usb);
    out.push_back(Inspect(std::move(usb), std::move(hidraw), match));
  }
  for (HidrawDevice& hidraw : ListHidrawDevices(match)) {
    if (!hidraw.usb) out.push_back(Inspect(std::nullopt, std::move(hidraw), match));
  }
  return out;
}

Result<void> ResetUsb(const std::string& path, const HidMatch& match) {
  if (geteuid() != 0) {
    return Fail(ErrorCode::kPermissionDenied,
                "Only root may reset a security key: run this command with sudo.");
  }
  std::string place = path;
  if (IsHidrawPath(path)) {
    const auto name = HidrawNameOf(path);
    if (!name) return tl::unexpected(name.error());
    const auto hidraw = ReadHidrawDevice(*name);
    if (!hidraw) return tl::unexpected(hidraw.error());
    if (!hidraw->usb) {
      return Fail(ErrorCode::kUnsupported,
                  "The security key at " + path + " is not on USB, so it has no port to reset.");
    }
    place = hidraw->usb->Path();
  }
  auto usb = UsbHandle::Open(place);
  if (!usb) return tl::unexpected(usb.error());
  const UsbId id = (*usb)->layout().id;
  if (!match.Has(id)) return tl::unexpected(NotAKey(place, "its ids are " + id.Text()));
  return (*usb)->Reset();
}

}  // namespace keyferry::device
