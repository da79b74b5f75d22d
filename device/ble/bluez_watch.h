#pragma once

#include <functional>
#include <map>
#include <string>

#include "device/ble/bluez_objects.h"
#include "device/ble/bus_loop.h"

namespace keyferry::device {

// Keeps BluezObjects as bluetoothd has it, over one BusLoop and on its thread: read whole when
// bluetoothd is there, kept by its signals, empty when it goes. Only signals of bluetoothd itself
// are heard: any local user can send one that looks alike to our connection.
class BluezWatch {
 public:
  // `on_change`: the objects, or state, may be others. Empty objects are told when bluetoothd goes.
  BluezWatch(BusLoop& loop, BluezObjects::Note note, std::function<void()> on_change);

  // To be called from the loop's on_up and on_down.
  void Up();
  void Down(const Error& reason);
  // Reads the objects whole once more: a signal must have been missing.
  void ReadAgain();

  const BluezObjects& objects() const { return objects_; }
  // The unique name of bluetoothd's connection; empty while there is none.
  const std::string& owner() const { return owner_; }
  // Why the objects are empty: no bus, no bluetoothd, not permitted. Good as soon as they were
  // read.
  const Result<void>& state() const { return state_; }

 private:
  void OwnerIs(const std::string& owner);
  void Read();
  bool IsBluez(const sdbus::Message& message) const;
  void Fail(const Error& reason);

  BusLoop& loop_;
  const BluezObjects::Note note_;
  const std::function<void()> on_change_;
  BluezObjects objects_;
  std::string owner_;  // bluetoothd's unique name
  bool read_ = false;
  Result<void> state_;
};

}  // namespace keyferry::device
