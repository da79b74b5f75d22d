#pragma once

#include <libusb.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "device/hid/hid_match.h"
#include "device/hid/sysfs.h"
#include "device/hid/usb_layout.h"
#include "protocol/result.h"

namespace keyferry::device {

// A USB device opened through libusb, in a libusb context of its own.
//
// The node is opened here and handed over (libusb_wrap_sys_device), with libusb's own search for
// devices switched off: that needs a running udevd to notice anything that is plugged in later, and
// names neither the node nor the reason when it may not be opened. The descriptors are read from
// the same open node, so that they are those of the device that is used afterwards.
class UsbHandle {
 public:
  // Errors as CannotOpen; kUnavailable when nothing is plugged in at the path. `path` is
  // usb:BUS-PORT[.PORT…].
  static Result<std::unique_ptr<UsbHandle>> Open(const std::string& path);
  ~UsbHandle();  // gives the interface back to the kernel's driver if it was taken from it
  UsbHandle(const UsbHandle&) = delete;
  UsbHandle& operator=(const UsbHandle&) = delete;

  // Takes the key's interface, from the kernel's driver if need be. kConflict names the process
  // that has it.
  Result<void> Claim();

  // Of the key's interface; needs Claim. At most `size` bytes.
  Result<std::vector<std::uint8_t>> ReadReportDescriptor(std::uint16_t size);

  Result<void> Reset();

  libusb_context* context() const { return context_; }
  libusb_device_handle* get() const { return handle_; }
  const UsbDevice& usb() const { return usb_; }
  const UsbLayout& layout() const { return layout_; }

 private:
  UsbHandle() = default;

  UsbDevice usb_;
  UsbLayout layout_;
  int fd_ = -1;
  libusb_context* context_ = nullptr;
  libusb_device_handle* handle_ = nullptr;
  bool claimed_ = false;
  bool detached_ = false;
};

// A libusb error as ours: gone when the device is.
Error UsbError(int error, const std::string& what);

}  // namespace keyferry::device
