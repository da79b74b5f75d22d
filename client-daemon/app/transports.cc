#include "client-daemon/app/transports.h"

#include <utility>

#include "client-daemon/core/log.h"
#include "device/discovery/merged_discovery.h"
#include "device/hid/hid_discovery.h"
#include "device/hid/open_hid.h"
#include "device/hid_port.h"
#include "device/socket/socket_transport.h"

namespace keyferry::daemon {
namespace {

constexpr char kUsb[] = "usb";
constexpr char kBluetooth[] = "bluetooth";
constexpr char kSockets[] = "sockets";

}  // namespace

Transports::Transports(KeyWays ways) : ways_(std::move(ways)) {
  if (!ways_.bluetooth) return;
  device::BleOptions options;
  options.note = [](const std::string& line) { Log(LogLevel::kWarning, "bluetooth: " + line); };
  ble_ = device::BleHost::Start(std::move(options));
}

Transports::~Transports() = default;

void Transports::Broken(const std::string& name, const Error& why) {
  {
    const std::scoped_lock lock(mutex_);
    trouble_[name] = why.message;
  }
  Log(LogLevel::kError, name + ": no key can come this way: " + why.message +
                            (why.detail.empty() ? "" : " [" + why.detail + "]"));
}

std::unique_ptr<device::Discovery> Transports::Watch() {
  std::vector<device::KeyWatch> watches;
  if (ways_.usb != KeyWays::kOff) {
    watches.push_back({kUsb, [this] {
                         const auto note = [](const std::string& line) {
                           Log(LogLevel::kWarning, "usb: " + line);
                         };
                         return ways_.usb == KeyWays::kLibusb
                                    ? device::WatchLibusb(ways_.usb_ids, note)
                                    : device::WatchHidraw(ways_.usb_ids, note);
                       }});
  }
  if (ble_) {
    watches.push_back({kBluetooth, [this]() -> Result<std::unique_ptr<device::Discovery>> {
                         return ble_->Watch();
                       }});
  }
  if (!ways_.sockets.empty()) {
    watches.push_back({kSockets, [this] { return device::WatchSockets(ways_.sockets); }});
  }
  return std::make_unique<device::MergedDiscovery>(
      std::move(watches), [this](const std::string& name, const Error& why) { Broken(name, why); });
}

Result<std::shared_ptr<device::KeyPort>> Transports::Open(const device::KeyPlace& place,
                                                          device::OnGone on_gone) {
  if (place.transport == device::TransportKind::kBle) {
    if (ble_) return ble_->Open(place, std::move(on_gone));
    return Fail(ErrorCode::kUnavailable, "Bluetooth is switched off for keyferryd.");
  }
  auto transport = place.transport == device::TransportKind::kHid
                       ? device::OpenHid(place.path, ways_.usb_ids)
                       : device::OpenSocketTransport(place.path, true);
  if (!transport) return tl::unexpected(transport.error());
  return device::HidPort::Start(*std::move(transport), std::move(on_gone));
}

std::vector<TransportReport> Transports::Report() const {
  std::string ble_trouble;
  if (ble_) {
    if (const auto usable = ble_->Check(); !usable) ble_trouble = usable.error().message;
  }
  const std::scoped_lock lock(mutex_);
  std::vector<TransportReport> out{{kUsb, ways_.usb != KeyWays::kOff, {}},
                                   {kBluetooth, ways_.bluetooth, ble_trouble},
                                   {kSockets, !ways_.sockets.empty(), {}}};
  for (TransportReport& report : out) {
    const auto found = trouble_.find(report.name);
    if (found != trouble_.end()) report.trouble = found->second;
  }
  return out;
}

}  // namespace keyferry::daemon
