#pragma once

#include <functional>
#include <memory>
#include <string>

#include "device/ble/ble_port.h"
#include "device/ble/key_keeper.h"
#include "device/discovery/discovery.h"
#include "device/key_port.h"
#include "protocol/result.h"

namespace keyferry::device {

// A line for the log: which object was refused and why, and what became of Bluetooth. Called on the
// host's thread; must not block.
using BleNote = std::function<void(const std::string& line)>;

struct BleOptions {
  std::string bus_address;  // for tests; empty = the system bus
  BleNote note;
  BleHolding holding;
  BleKeeping keeping;
};

// Keys on Bluetooth LE, through BlueZ over D-Bus. Everything of D-Bus happens on one thread of the
// host; nothing here throws, and no call waits for BlueZ but Open.
//
// Only bonded devices that have the key service count as keys: pairing is asked for nowhere here
// (pairing.h). A key appears when it is connected and its services are known, and vanishes when the
// connection, the adapter or bluetoothd goes; all of these may come back and are met again, and so
// may the bus itself. The place's path is the device's D-Bus path.
//
// How a key that comes near is connected: the host registers the key service with BlueZ as a GATT
// profile (org.bluez.GattProfile1). BlueZ then has the kernel connect to bonded keys whenever one
// of them advertises. The adapter listens for that passively, for those addresses alone and at the
// kernel's own rate: nothing is sent, nobody near can see it, and there is no discovery of ours,
// with its reports of everything near, to be started, stopped and sorted. A connected key costs the
// connection interval that it asked for; nothing is listened for while all are connected. Where
// that fails, BleKeeping says when BlueZ is asked outright (key_keeper.h).
class BleHost {
 public:
  // Never fails: what is missing is waited for, and told in a note.
  static std::unique_ptr<BleHost> Start(BleOptions options);
  virtual ~BleHost() = default;  // ends every Watch and every port with kUnavailable

  // The keys that are there and those that come; the host must outlive it.
  virtual std::unique_ptr<Discovery> Watch() = 0;

  // An OpenPort. One port a key on this machine: kConflict names the other process. Takes the
  // connection's two descriptors (AcquireWrite, AcquireNotify: no other program can then speak to
  // the key through BlueZ or listen in, and the loss of the connection ends them at once), for any
  // ATT MTU from 23 up; there is no slower way beside it. Ends within 6 s.
  virtual Result<std::shared_ptr<KeyPort>> Open(const KeyPlace& place, OnGone on_gone) = 0;

  // kUnavailable with cause and cure when no key can come: no bus, no bluetoothd, no adapter, all
  // adapters off. kPermissionDenied when BlueZ may not be asked.
  virtual Result<void> Check() const = 0;
};

}  // namespace keyferry::device
