#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "protocol/result.h"

namespace keyferry::device {

// A device that says it is a security key.
struct BluetoothKey {
  std::string path;     // D-Bus object
  std::string address;  // XX:XX:XX:XX:XX:XX
  std::string name;     // printable; chosen by the device, so it proves nothing
  bool bonded = false;
  bool connected = false;
};

// Numeric comparison: the key shows a number, and so must we.
struct PairingQuestion {
  BluetoothKey key;
  std::string digits;  // six
};

// Asks the person; true when the numbers are the same. Returns false as soon as `moot_fd` becomes
// readable: the other side has given up.
using ConfirmPairing = std::function<bool(const PairingQuestion& question, int moot_fd)>;

// Pairs, lists and forgets keys through BlueZ. Blocking; one thread at a time.
//
// Only LE Secure Connections with numeric comparison is let through. Everything weaker is refused:
// passkey entry and PIN codes (legacy pairing), and Just Works, with which nobody is asked; where
// BlueZ has already let it pass, as it does when we are the ones who began, the bond is removed
// again. Pairing keeps others from listening in and from pushing commands; that the key is the
// organisation's is proven by the hop handshake alone, whatever was paired.
//
// Errors name cause and cure: no bus, no bluetoothd, no adapter, adapter off, blocked, not
// permitted, no key found, taken too long.
class Pairing {
 public:
  struct Options {
    std::string bus_address;  // empty = the system bus
    std::string adapter;      // hci0, …; empty = the first one that is on
  };
  // Waits for BlueZ's objects, 10 s at most.
  static Result<std::unique_ptr<Pairing>> Open(Options options);
  virtual ~Pairing() = default;

  // Keys that are bonded with this computer.
  virtual std::vector<BluetoothKey> Bonded() = 0;

  // Keys near us that are not bonded and advertise. Ends 1.5 s after the first was found, or at
  // `limit`, and then is empty. Discovery is asked for low-energy devices with the key service
  // only, and ends with the call.
  virtual Result<std::vector<BluetoothKey>> Search(std::chrono::milliseconds limit) = 0;

  // Pairs a key that Search found. `confirm` is called on the calling thread.
  virtual Result<BluetoothKey> Pair(const std::string& path, const ConfirmPairing& confirm,
                                    std::chrono::milliseconds limit) = 0;

  // Answers pairing with keys that another program or the key itself began, as BlueZ's default
  // agent, until `stop_fd` is readable. Devices that are no keys are refused.
  virtual Result<void> Serve(const ConfirmPairing& confirm, int stop_fd) = 0;

  // Removes the bond.
  virtual Result<void> Forget(const std::string& path) = 0;
};

}  // namespace keyferry::device
