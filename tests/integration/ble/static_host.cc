// ble_static_host BUS: a program whose host is a static and at work when the program ends. It waits
// until Bluetooth is ready, and returns 0.
#include <future>

#include "device/ble/ble_host.h"

int main(int, char** arguments) {
  static std::promise<void> ready;
  keyferry::device::BleOptions options;
  options.bus_address = arguments[1];
  options.note = [told = false](const std::string& line) mutable {
    if (told || line.find("is ready") == std::string::npos) return;
    told = true;
    ready.set_value();
  };
  static const auto host = keyferry::device::BleHost::Start(std::move(options));
  ready.get_future().wait();
  return 0;
}
