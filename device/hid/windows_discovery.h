#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "device/hid/hid_discovery.h"
#include "device/hid/windows_devices.h"

namespace keyferry::device {

// Where the watch learns of devices; a test gives its own.
class HidSource {
 public:
  // The device interface at `path` came or went. Any thread, never from within Subscribe.
  using OnChange = std::function<void(bool came, const std::string& path)>;

  virtual ~HidSource() = default;  // after it nobody calls any more
  virtual std::vector<WindowsHid> List(const HidMatch& match) = 0;
  // False when this system does not tell.
  virtual bool Subscribe(OnChange on_change) = 0;
};

// Keys as they are plugged in and pulled, told by Windows (CM_Register_Notification; no polling).
// Where that is missing (Wine) the note says so, and the devices are listed every two seconds.
//
// Only those are told that `match`, and whose capabilities are a key's; the others get a note, once
// for each plugging in. A key that was pulled and plugged in between two calls is told as both. The
// paths are for OpenWindowsHid.
Result<std::unique_ptr<Discovery>> WatchWindowsHid(HidMatch match, HidNote note = {},
                                                   std::unique_ptr<HidSource> source = nullptr);

}  // namespace keyferry::device
