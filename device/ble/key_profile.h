#pragma once

#include <sdbus-c++/IObject.h>

#include <memory>
#include <set>
#include <string>

#include "device/ble/bluez_objects.h"
#include "device/ble/bus_loop.h"

namespace keyferry::device {

// The key service as a GATT profile of ours (org.bluez.GattProfile1): what makes BlueZ connect to
// bonded keys that come near. Registered once, with the first adapter that has a bonded key: with
// two registrations BlueZ 5.66 forgets for good that a device is a key when the key's services move
// (as they do with new firmware): it takes one of the two profiles away with the old service, finds
// the other one with the new service, and leaves the service's UUID out of what it knows and stores
// of the device. After the next restart it would neither connect the key nor say that it is one.
//
// One is enough: bluetoothd looks for devices at the adapter of the registration when it is made,
// and at all adapters later, whenever a device's services are found. Keys at other adapters are
// called by KeyKeeper until then. On the loop's thread only.
class KeyProfile {
 public:
  KeyProfile(BusLoop& loop, BluezObjects::Note note, std::chrono::milliseconds again)
      : loop_(loop), note_(std::move(note)), again_(again) {}

  void Up();
  void Down();
  // Registers, unless it is; anew when the adapter that it was registered with has gone. What fails
  // is tried again after `again`: `objects` must live as long as the loop.
  void Register(const BluezObjects& objects);

 private:
  BusLoop& loop_;
  const BluezObjects::Note note_;
  const std::chrono::milliseconds again_;
  std::unique_ptr<sdbus::IObject> root_;
  std::unique_ptr<sdbus::IObject> profile_;
  std::string registered_;      // with this adapter, or about to be; empty: with none
  std::set<std::string> told_;  // adapters whose refusal was noted
};

}  // namespace keyferry::device
