#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "device/ble/bluez_objects.h"
#include "device/ble/bus_loop.h"

namespace keyferry::device {

// When BleHost stops trusting that a key's connection comes by itself.
struct BleKeeping {
  // Connected, but its services are not there. BlueZ needs one to three seconds to find them.
  std::chrono::milliseconds half{15000};
  // Away: the first time BlueZ is asked to connect; the pause doubles up to `away_longest`.
  std::chrono::milliseconds away{15000};
  std::chrono::milliseconds away_longest{60000};
  // Connections in a row over which the key said nothing.
  int silent{4};
  // Connections in a row that were lost before the services were there: it is told.
  int lost{4};
  // After a registration with an adapter (key_profile.h) that BlueZ refused.
  std::chrono::milliseconds registration{10000};
};

// Brings keys back where BlueZ and the kernel do not. Their automatic connection gets lost in ways
// that we have met or that BlueZ's source allows: a connection that comes before BlueZ has
// understood the end of the one before stays without services; whoever calls Device1.Disconnect, as
// `bluetoothctl disconnect` does, switches automatic connections off; a failed registration of the
// profile never switches them on. So:
//
//  * A bonded key that is away: BlueZ is asked to connect it (Device1.Connect) after
//    BleKeeping::away, and again with doubled pauses, for ever. That waits for the key's
//    advertisement as the automatic connection does, for 20 s each, listening all the time instead
//    of half of it, and switches automatic connections on again. It is told when it helped, and
//    once when BlueZ would not even try.
//  * One that is connected without the key service for BleKeeping::half, or that Renew names: the
//    connection is ended (Device1.Disconnect), and asked for as soon as it is gone. That is told.
//
//  * One that is connected and lost again before it can be used, BleKeeping::lost times in a row:
//    what helps is told. It goes so when key or computer have forgotten the pairing, or another
//    device has the key's address: each connection ends when it is to be encrypted. BlueZ says that
//    to nobody, and tries for ever.
//
// BlueZ 5.66 does not always signal a connection that it was asked for: a key that has services and
// no connection, or that is away after Connect has succeeded, has the objects read again.
//
// On the loop's thread only.
class KeyKeeper {
 public:
  // `read_again`: the objects are not what BlueZ has, and are to be read whole.
  KeyKeeper(BusLoop& loop, const BluezObjects& objects, std::function<void()> read_again,
            BluezObjects::Note note, BleKeeping keeping)
      : loop_(loop),
        objects_(objects),
        read_again_(std::move(read_again)),
        note_(std::move(note)),
        keeping_(keeping) {}

  // The objects may be others.
  void Review();
  // The key at this path is connected, and of no use. `why` is told.
  void Renew(const std::string& path, const std::string& why);

 private:
  enum class State { kAway, kHalf, kHere };
  struct Kept {
    State state = State::kAway;
    std::uint64_t since = 0;  // number of the change to `state`; timers of others are void
    std::chrono::milliseconds pause{};
    bool connecting = false;     // Connect is not answered yet
    bool disconnecting = false;  // nor Disconnect
    bool renewing = false;       // we have ended the connection
    bool told = false;           // that it cannot be called back
    int lost = 0;                // connections in a row, without services
    bool odd = false;            // services, but no connection
  };

  State StateOf(const std::string& path) const;
  void Enter(const std::string& path, Kept& kept, State state);
  void Later(const std::string& path, const Kept& kept, std::chrono::milliseconds delay);
  void Due(const std::string& path, std::uint64_t since);
  void Connect(const std::string& path, Kept& kept);
  void Disconnect(const std::string& path, Kept& kept, const std::string& why);
  void Tell(const std::string& path, const std::string& words) const;

  BusLoop& loop_;
  const BluezObjects& objects_;
  const std::function<void()> read_again_;
  const BluezObjects::Note note_;
  const BleKeeping keeping_;
  std::map<std::string, Kept> keys_;  // bonded ones on adapters that are on, by path
  std::uint64_t changes_ = 0;
};

}  // namespace keyferry::device
