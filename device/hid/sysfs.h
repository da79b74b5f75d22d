#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "device/hid/hid_match.h"
#include "device/hid/printable.h"
#include "protocol/result.h"

// What the kernel's /sys says of USB and HID devices. Much of it is the device's own word: it is
// read with a bound, numbers are parsed strictly and words pass Printable before anybody sees them.
namespace keyferry::device {

struct UsbDevice {
  std::string name;     // of the kernel, "1-2.3": bus and ports
  unsigned bus = 0;     // 1 …
  unsigned number = 0;  // 1 … 127, another one after each plugging in
  UsbId id;
  std::string speed;                          // Mbit/s: "1.5", "12", "480", "5000" …
  std::string manufacturer, product, serial;  // printable; empty: it gave none
  std::vector<std::uint8_t> descriptors;      // raw, for UsbLayout

  std::string Path() const { return "usb:" + name; }
  std::string Node() const;  // /dev/bus/usb/BBB/DDD
  // The name under which keyferry programs keep each other from it (ClaimKey).
  std::string ClaimName() const;
};

struct HidrawDevice {
  std::string node;      // /dev/hidraw0
  std::string instance;  // the kernel's name, "0003:1209:0001.0005": another one at each attaching
  UsbId id;
  std::string name;  // printable
  std::vector<std::uint8_t> report_descriptor;
  std::optional<UsbDevice> usb;  // none: uhid, Bluetooth

  std::string ClaimName() const;
};

// The name after "usb:" of a path: digits "-" digits ("." digits)*, at most 32 characters, so that
// it cannot lead out of its directory. kInvalidArgument.
Result<std::string> UsbNameOf(std::string_view path);
// The name after "/dev/" of a hidraw node: "hidraw" digits. kInvalidArgument.
Result<std::string> HidrawNameOf(std::string_view path);

// kUnavailable when it is not (or no longer) there.
Result<UsbDevice> ReadUsbDevice(const std::string& name);
Result<HidrawDevice> ReadHidrawDevice(const std::string& name);

// Those of `match`, in the order of their names.
std::vector<UsbDevice> ListUsbDevices(const HidMatch& match);
std::vector<HidrawDevice> ListHidrawDevices(const HidMatch& match);

// The driver of a USB device's first interface: "usbhid", "usbfs" (a program has claimed it), or
// empty.
std::string InterfaceDriver(const UsbDevice& usb);

}  // namespace keyferry::device
