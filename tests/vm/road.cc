#include "tests/vm/road.h"

#include "device/hid/hid_discovery.h"
#include "device/hid/hidraw_transport.h"
#include "device/hid/libusb_transport.h"
#include "device/hid_port.h"

namespace keyferry::test {
namespace {

template <typename Open>
device::OpenPort HidOpener(Open open) {
  return [open](const device::KeyPlace& place,
                device::OnGone gone) -> Result<std::shared_ptr<device::KeyPort>> {
    auto transport = open(place.path, device::HidMatch{});
    if (!transport) return tl::unexpected(transport.error());
    return device::HidPort::Start(*std::move(transport), std::move(gone));
  };
}

}  // namespace

const Road& UhidRoad() {
  static const Road road{"uhid",
                         {"--uhid"},
                         "uhid",
                         [] { return device::WatchHidraw({}); },
                         HidOpener(device::OpenHidraw)};
  return road;
}

const Road& UsbHidrawRoad() {
  static const Road road{"USB/IP, hidraw",
                         {"--usbip-attach"},
                         "usbip",
                         [] { return device::WatchHidraw({}); },
                         HidOpener(device::OpenHidraw)};
  return road;
}

const Road& UsbLibusbRoad() {
  static const Road road{"USB/IP, libusb",
                         {"--usbip-attach"},
                         "usbip",
                         [] { return device::WatchLibusb({}); },
                         HidOpener(device::OpenLibusb)};
  return road;
}

}  // namespace keyferry::test
