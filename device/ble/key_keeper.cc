#include "device/ble/key_keeper.h"

#include <algorithm>
#include <utility>

#include "device/ble/bluez_names.h"

namespace keyferry::device {
namespace {

// Longer than bluetoothd itself takes.
constexpr std::chrono::seconds kConnectLimit{60};
constexpr std::chrono::seconds kTried{2};

// `was`: it has had the key service. A key that loses power in a connection may lose it there.
bool IsKept(const BluezObjects& objects, const BleDevice& device, bool was) {
  const auto adapter = objects.adapters().find(device.adapter);
  return (device.is_key || was) && device.bonded() && adapter != objects.adapters().end() &&
         adapter->second.powered;
}

}  // namespace

KeyKeeper::State KeyKeeper::StateOf(const std::string& path) const {
  if (objects_.IsPresent(path)) return State::kHere;
  return objects_.devices().at(path).connected ? State::kHalf : State::kAway;
}

void KeyKeeper::Review() {
  std::erase_if(keys_, [this](const auto& key) {
    const auto device = objects_.devices().find(key.first);
    return device == objects_.devices().end() || !IsKept(objects_, device->second, true);
  });
  for (const auto& [path, device] : objects_.devices()) {
    if (!IsKept(objects_, device, keys_.count(path) != 0)) continue;
    const State state = StateOf(path);
    const auto [at, is_new] = keys_.try_emplace(path);
    if (is_new || at->second.state != state) Enter(path, at->second, state);
    const bool odd = device.resolved && !device.connected;
    if (std::exchange(at->second.odd, odd) != odd && odd) loop_.Post(read_again_);
  }
}

void KeyKeeper::Enter(const std::string& path, Kept& kept, State state) {
  const bool lost = kept.state == State::kHalf && state == State::kAway && !kept.renewing;
  if (lost && ++kept.lost == keeping_.lost) {
    Tell(path,
         "is connected and lost again before it can be used. If that goes on next to the computer, "
         "key or computer have forgotten the pairing: keyferry bluetooth forget, forget this "
         "computer on the key, keyferry bluetooth pair");
  }
  kept.state = state;
  kept.since = ++changes_;
  switch (state) {
    case State::kHere:
      kept.told = false;
      kept.lost = 0;
      return;
    case State::kHalf:
      kept.pause = keeping_.half;
      return Later(path, kept, kept.pause);
    case State::kAway:
      kept.pause = keeping_.away;
      // BlueZ does not connect again what it was told to disconnect.
      return Later(path, kept,
                   std::exchange(kept.renewing, false) ? std::chrono::milliseconds(0) : kept.pause);
  }
}

void KeyKeeper::Later(const std::string& path, const Kept& kept, std::chrono::milliseconds delay) {
  loop_.After(delay, [this, path, since = kept.since] { Due(path, since); });
}

void KeyKeeper::Due(const std::string& path, std::uint64_t since) {
  const auto at = keys_.find(path);
  if (at == keys_.end() || at->second.since != since) return;
  Kept& kept = at->second;
  if (kept.state == State::kAway) {
    Connect(path, kept);
  } else {
    Disconnect(path, kept,
               "is connected, but BlueZ does not find its services; the connection is made anew");
  }
  Later(path, kept, kept.pause);
  kept.pause = std::min(kept.pause * 2, keeping_.away_longest);
}

void KeyKeeper::Connect(const std::string& path, Kept& kept) {
  if (std::exchange(kept.connecting, true)) return;
  loop_.Call(
      kBluez, path, kBluezDevice, "Connect", {},
      [this, path, began = Clock::now()](Result<BusLoop::Reply> reply) {
        const auto at = keys_.find(path);
        if (at != keys_.end()) at->second.connecting = false;
        if (reply) {
          if (at != keys_.end() && at->second.state == State::kAway) read_again_();
          return Tell(path, "did not come back by itself; BlueZ has connected it");
        }
        if (at == keys_.end() || Clock::now() - began > kTried) return;
        // Not even tried: refused, or the kernel believes in a connection that is gone.
        if (std::exchange(at->second.told, true)) return;
        Tell(path, "cannot be called back: " + reply.error().message + " (" + reply.error().detail +
                       ") If it stays away, turn Bluetooth off and on.");
      },
      kConnectLimit);
}

void KeyKeeper::Renew(const std::string& path, const std::string& why) {
  const auto at = keys_.find(path);
  if (at != keys_.end() && at->second.state == State::kHere) Disconnect(path, at->second, why);
}

void KeyKeeper::Disconnect(const std::string& path, Kept& kept, const std::string& why) {
  if (std::exchange(kept.disconnecting, true)) return;
  Tell(path, why);
  kept.renewing = true;
  loop_.Call(kBluez, path, kBluezDevice, "Disconnect", {},
             [this, path](Result<BusLoop::Reply> reply) {
               const auto at = keys_.find(path);
               if (at != keys_.end()) at->second.disconnecting = false;
               if (!reply) {
                 Tell(path, "could not be disconnected: " + reply.error().message +
                                " If it stays away: systemctl restart bluetooth");
               }
             });
}

void KeyKeeper::Tell(const std::string& path, const std::string& words) const {
  if (note_) note_("key at " + path + " " + words);
}

}  // namespace keyferry::device
