#pragma once

#include <string>
#include <vector>

#include "device/hid/hid_match.h"

namespace keyferry::device {

// A device as hidapi (Linux: hidapi-hidraw) finds it: the view of every other program that uses it.
struct HidapiDevice {
  std::string path;  // /dev/hidrawN; Windows: \\?\HID#…
  UsbId id;
  std::uint16_t usage_page = 0;
  std::uint16_t usage = 0;
  int interface_number = -1;                  // -1: not behind a USB interface (uhid)
  std::string manufacturer, product, serial;  // printable
};

// One entry for each top-level collection of each device of `match`. Any thread.
std::vector<HidapiDevice> ListWithHidapi(const HidMatch& match);

}  // namespace keyferry::device
