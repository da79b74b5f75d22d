#include "tests/vm/road.h"

#include <cstdio>
#include <utility>

#include "device/ble/ble_host.h"
#include "device/ble/pairing.h"
#include "device/hid/hid_discovery.h"
#include "device/hid/hidraw_transport.h"
#include "device/hid/libusb_transport.h"
#include "device/hid_port.h"

namespace keyferry::test {
namespace {

// The guest's processor is emulated, and shared. Not over Bluetooth, where what is lost there is
// waited for.
constexpr double kEmulated = 4;

template <typename Open>
device::OpenPort HidOpener(Open open) {
  return [open](const device::KeyPlace& place,
                device::OnGone gone) -> Result<std::shared_ptr<device::KeyPort>> {
    auto transport = open(place.path, device::HidMatch{});
    if (!transport) return tl::unexpected(transport.error());
    return device::HidPort::Start(*std::move(transport), std::move(gone));
  };
}

device::BleHost& Host() {
  static const auto host = [] {
    device::BleOptions options;
    options.note = [](const std::string& line) { std::fprintf(stderr, "%s\n", line.c_str()); };
    // Sooner than for people: a test waits for it.
    options.keeping.away = std::chrono::seconds(5);
    return device::BleHost::Start(std::move(options));
  }();
  return *host;
}

Result<void> Pair() {
  device::Pairing::Options options;
  options.adapter = "hci0";
  const auto pairing = device::Pairing::Open(options);
  if (!pairing) return tl::unexpected(pairing.error());
  // Begun anew now and then, as a person does: on a busy machine an adapter of the guest has missed
  // an advertisement for as long as it listened.
  Result<std::vector<device::BluetoothKey>> found;
  for (int i = 0; i < 6; ++i) {
    found = (*pairing)->Search(std::chrono::seconds(20));
    if (!found) return tl::unexpected(found.error());
    if (!found->empty()) break;
  }
  if (found->size() != 1) {
    return Fail(ErrorCode::kUnavailable,
                std::to_string(found->size()) + " keys advertise, not one.");
  }
  const auto same = [](const device::PairingQuestion&, int) { return true; };
  const auto paired = (*pairing)->Pair(found->front().path, same, std::chrono::seconds(60));
  if (!paired) return tl::unexpected(paired.error());
  return {};
}

}  // namespace

const Road& BleRoad() {
  static const Road road{"Bluetooth LE",
                         {"--ble", "hci1", "--ble-pair", "auto"},
                         "ble",
                         [] { return Result<std::unique_ptr<device::Discovery>>(Host().Watch()); },
                         [](const device::KeyPlace& place, device::OnGone gone) {
                           return Host().Open(place, std::move(gone));
                         },
                         Pair};
  return road;
}

const Road& UhidRoad() {
  static const Road road{"uhid",
                         {"--uhid"},
                         "uhid",
                         [] { return device::WatchHidraw({}); },
                         HidOpener(device::OpenHidraw),
                         {},
                         kEmulated};
  return road;
}

const Road& UsbHidrawRoad() {
  static const Road road{"USB/IP, hidraw",
                         {"--usbip-attach"},
                         "usbip",
                         [] { return device::WatchHidraw({}); },
                         HidOpener(device::OpenHidraw),
                         {},
                         kEmulated};
  return road;
}

const Road& UsbLibusbRoad() {
  static const Road road{"USB/IP, libusb",
                         {"--usbip-attach"},
                         "usbip",
                         [] { return device::WatchLibusb({}); },
                         HidOpener(device::OpenLibusb),
                         {},
                         kEmulated};
  return road;
}

const Road& GadgetRoad() {
  static const Road road{"gadget, hidraw",
                         {"--gadget", "/dev/hidg0"},
                         "gadget",
                         [] { return device::WatchHidraw({}); },
                         HidOpener(device::OpenHidraw),
                         {},
                         kEmulated};
  return road;
}

}  // namespace keyferry::test
