#pragma once

#include <sdbus-c++/IObject.h>

#include <memory>
#include <set>
#include <string>

#include "device/ble/bluez_objects.h"
#include "device/ble/bus_loop.h"

namespace keyferry::device {

// The key service as a GATT profile of ours (org.bluez.GattProfile1), registered with every
// adapter: what makes BlueZ connect to bonded keys that come near. On the loop's thread only.
class KeyProfile {
 public:
  KeyProfile(BusLoop& loop, BluezObjects::Note note, std::chrono::milliseconds again)
      : loop_(loop), note_(std::move(note)), again_(again) {}

  void Up();
  void Down();
  // Registers with adapters that are new; one that went and came back is. What fails is tried again
  // after `again`: `objects` must live as long as the loop.
  void Register(const BluezObjects& objects);

 private:
  BusLoop& loop_;
  const BluezObjects::Note note_;
  const std::chrono::milliseconds again_;
  std::unique_ptr<sdbus::IObject> root_;
  std::unique_ptr<sdbus::IObject> profile_;
  std::set<std::string> registered_;  // adapters
  std::set<std::string> told_;        // adapters whose refusal was noted
};

}  // namespace keyferry::device
