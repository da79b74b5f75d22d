#include "device/hid/open_hid.h"

#include "device/hid/hid_errors.h"
#include "device/hid/hidraw_transport.h"
#include "device/hid/libusb_transport.h"
#include "device/hid/sysfs.h"

namespace keyferry::device {

Result<std::unique_ptr<Transport>> OpenHid(const std::string& path, const HidMatch& match) {
  if (HidrawNameOf(path)) return OpenHidraw(path, match);
  if (UsbNameOf(path)) return OpenLibusb(path, match);
  return tl::unexpected(NoSuchPlace());
}

}  // namespace keyferry::device
