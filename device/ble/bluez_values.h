#pragma once

#include <sdbus-c++/Types.h>

#include <map>
#include <string>
#include <vector>

#include "device/ble/bluez_objects.h"

// From D-Bus' own types to those of bluez_objects.h.
namespace keyferry::device {

using BusVariants = std::map<std::string, sdbus::Variant>;
using BusVariantInterfaces = std::map<std::string, BusVariants>;

BusProperties FromBus(const BusVariants& variants);
BusInterfaces FromBus(const BusVariantInterfaces& interfaces);

}  // namespace keyferry::device
