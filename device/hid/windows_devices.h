#pragma once

#include <string>
#include <vector>

#include "device/hid/hid_match.h"
#include "device/hid/report_descriptor.h"
#include "protocol/result.h"

// What Windows says of HID devices. It parses their descriptors itself and gives out capabilities,
// which are brought into the form that ReportDescriptor judges on every system.
namespace keyferry::device {

struct WindowsHid {
  // Of the device interface, in lower case: \\?\hid#vid_1209&pid_0001#…#{4d1e55b2-…}. Each
  // top-level collection of a device has its own. The same after a key was pulled and plugged into
  // the same port.
  std::string path;
  UsbId id;
  std::string manufacturer, product, serial;  // printable; empty: it gave none
  ReportDescriptor reports;

  // kProtocol with the reason in `message`. A device with several collections is no key, as on
  // Linux, though Windows shows each of them alone ("&col01").
  Result<void> CheckKey() const;
};

// Any device interface's path as we write it; kInvalidArgument when it is not that of a HID device.
Result<std::string> WindowsHidPath(const std::string& path);

// Devices of `match` that are there. Opens them without asking for access: nobody is disturbed,
// and those in use are listed too. Any thread.
std::vector<WindowsHid> ListWindowsHid(const HidMatch& match);

// Asks an open device (a HANDLE) who it is. kUnavailable when it does not answer as one.
Result<WindowsHid> LookAtWindowsHid(void* handle, const std::string& path);

}  // namespace keyferry::device
