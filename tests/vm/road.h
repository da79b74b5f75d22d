#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "device/discovery/discovery.h"
#include "device/key_port.h"

namespace keyferry::test {

// One way from a program to a key through the guest's real stacks: how the simulator appears there,
// how the host's side sees it come, and how it opens it.
struct Road {
  const char* name;
  std::vector<std::string> plug;  // arguments of keyferry-sim
  const char* plug_name;          // as `keyferry-sim ctl` calls it
  std::function<Result<std::unique_ptr<device::Discovery>>()> watch;
  device::OpenPort open;
  // What a person does once, after the key was plugged in for the first time; may be empty.
  std::function<Result<void>()> introduce;
  // How many times as patient as PROTOCOL.md section 8 wants a host to be.
  double pace = 1;
};

const Road& UhidRoad();
const Road& UsbHidrawRoad();
const Road& UsbLibusbRoad();
// The other end of a USB cable, on dummy_hcd (with-gadget).
const Road& GadgetRoad();
// From hci0 to the key on hci1 (with-ble). Its introduction is the pairing: once a boot.
const Road& BleRoad();

}  // namespace keyferry::test
