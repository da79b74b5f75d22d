#pragma once

#include <functional>
#include <memory>
#include <string>

#include "device/discovery/discovery.h"
#include "device/hid/hid_match.h"
#include "protocol/result.h"

namespace keyferry::device {

// A line for the log: which device was refused and why, and how devices are watched for. Called on
// the thread that calls Next (and once before Watch… returns).
using HidNote = std::function<void(const std::string& line)>;

// Keys on USB and other HID buses as they are plugged in and pulled, told by udev (libudev's
// monitor; no polling). Where no udevd runs (containers, rescue systems) the kernel's own messages
// are used; nodes then have the kernel's permissions, and the note says so.
//
// Only those are told whose ids `match`, and whose descriptors, as /sys has them, are a key's; the
// others get a note, once for each plugging in. A device that comes back under the same path is
// told as kVanished and kAppeared, even when messages were lost in a flood of them (then /sys is
// read again).
//
//   WatchHidraw  tells /dev/hidrawN, for OpenHidraw
//   WatchLibusb  tells usb:BUS-PORT[.PORT…], for OpenLibusb
Result<std::unique_ptr<Discovery>> WatchHidraw(HidMatch match, HidNote note = {});
Result<std::unique_ptr<Discovery>> WatchLibusb(HidMatch match, HidNote note = {});

}  // namespace keyferry::device
