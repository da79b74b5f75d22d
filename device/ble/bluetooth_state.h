#pragma once

#include <string>

#include "device/ble/bluez_objects.h"
#include "protocol/result.h"

namespace keyferry::device {

// Good when at least one adapter is on; else what is wrong and what to do about it. `service` is
// BluezWatch::state. A block by rfkill is looked up in `rfkill_dir`.
Result<void> BluetoothState(const Result<void>& service, const BluezObjects& objects,
                            const std::string& rfkill_dir = "/sys/class/rfkill");

}  // namespace keyferry::device
