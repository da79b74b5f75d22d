#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "server/core/ids.h"
#include "server/core/workstations.h"

namespace keyferry::server {

// Which workstation is connected and which keys it sees now. In memory: after a restart every
// workstation connects and reports again. Thread-safe; nothing here blocks.
class Presence {
 public:
  struct Sighting {
    WorkstationId workstation;
    std::string workstation_name;
    SeenKey key;
  };

  // One more event stream of this workstation (a newer one may overlap the older one's end).
  void Connected(const WorkstationId& id, const std::string& name);
  // One stream ended; with the last one its keys are forgotten. True when it was the last one.
  bool Disconnected(const WorkstationId& id);
  // Forgets the workstation at once (revoked).
  void Forget(const WorkstationId& id);
  // Replaces the list; returns the keys that are new or whose state, transport or firmware changed.
  std::vector<SeenKey> Replace(const WorkstationId& id, const std::string& name,
                               std::span<const SeenKey> keys);

  bool IsConnected(const WorkstationId& id) const;
  std::vector<SeenKey> KeysAt(const WorkstationId& id) const;
  // Connected workstations that see `device` now.
  std::vector<Sighting> Sightings(const DeviceId& device) const;
  std::vector<Sighting> All() const;

 private:
  struct Entry {
    std::string name;
    int streams = 0;
    std::vector<SeenKey> keys;
  };
  mutable std::mutex mutex_;
  std::map<WorkstationId, Entry> entries_;
};

}  // namespace keyferry::server
