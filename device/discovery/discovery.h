#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "device/key_port.h"
#include "protocol/result.h"

namespace keyferry::device {

struct DiscoveryEvent {
  enum Kind { kAppeared, kVanished } kind = kAppeared;
  KeyPlace place;
};

// Tells when a key appears or vanishes; no polling. One thread calls Next, any thread Stop.
// A place that vanished and came back between two calls is told as both, in that order. What
// appeared may be gone again by the time that it is opened.
class Discovery {
 public:
  virtual ~Discovery() = default;
  // Waits for the next event. kUnavailable after Stop, kIo when the operating system's watch broke.
  // Those present at the start are told first, as kAppeared.
  virtual Result<DiscoveryEvent> Next() = 0;
  virtual void Stop() = 0;
};

// Watches the directories of `paths` (sockets of simulated keys) with inotify. A directory need not
// exist yet: then its nearest existing ancestor is watched until it does. kInvalidArgument for a
// path that is not absolute.
Result<std::unique_ptr<Discovery>> WatchSockets(std::vector<std::string> paths);

}  // namespace keyferry::device
