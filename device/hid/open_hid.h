#pragma once

#include <memory>
#include <string>

#include "device/hid/hid_match.h"
#include "device/transport.h"
#include "protocol/result.h"

namespace keyferry::device {

// Opens the key that WatchHidraw or WatchLibusb told of: /dev/hidrawN or usb:BUS-PORT[.PORT…].
// Errors as OpenHidraw and OpenLibusb; kInvalidArgument for any other path.
Result<std::unique_ptr<Transport>> OpenHid(const std::string& path, const HidMatch& match = {});

}  // namespace keyferry::device
