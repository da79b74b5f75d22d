#pragma once

#include <optional>
#include <string>
#include <vector>

#include "device/hid/hid_match.h"
#include "device/hid/holders.h"
#include "device/hid/permissions.h"
#include "device/hid/sysfs.h"
#include "device/hid/usb_layout.h"
#include "protocol/result.h"

namespace keyferry::device {

// What is known of one device that may be a key, without speaking Keyferry to it. A diagnosis for
// people: all words are printable, nothing is secret, no key is disturbed (a key that another
// program is using keeps working).
struct KeyInspection {
  std::optional<UsbDevice> usb;        // none: not on USB (uhid, Bluetooth)
  std::optional<HidrawDevice> hidraw;  // none: no driver of the kernel has it, or libusb is in use
  UsbId id;
  bool known_id = false;            // among HidMatch::ids
  std::optional<UsbLayout> layout;  // of `usb`, when its descriptors can be read
  std::string usb_verdict;          // why it is no key; empty: as a key's
  std::string report_verdict;       // the same of the report descriptor
  bool report_read = false;         // else `report_verdict` says why it could not be
  std::string hidapi;               // how programs with hidapi see it
  std::vector<NodeState> nodes;
  std::vector<Holder> holders;
  std::vector<std::string> cures;  // sentences

  bool IsKey() const { return report_read && usb_verdict.empty() && report_verdict.empty(); }
};

// All devices of `match`, or the one at `path` (usb:BUS-PORT[.PORT…] or /dev/hidrawN) whatever its
// ids. kInvalidArgument for another path, kUnavailable when nothing is there.
Result<std::vector<KeyInspection>> InspectUsb(const std::string& path = {},
                                              const HidMatch& match = {});
// Lines for a terminal.
std::string Text(const KeyInspection& inspection);

// Resets the device at the port (`path` as above) as pulling and plugging would, through libusb;
// sessions with it are lost. Root only (kPermissionDenied); kUnsupported for a key that is not on
// USB; kProtocol for a device that is not of `match`.
Result<void> ResetUsb(const std::string& path, const HidMatch& match = {});

}  // namespace keyferry::device
