#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "server/core/ids.h"
#include "server/core/workstations.h"

namespace keyferry::server {

// Which workstation is connected and which keys it sees now. In memory: after a restart every
// workstation connects and reports again. Several servers on one database tell each other what
// their workstations see: what is remote here is what another server told. Thread-safe; nothing
// here blocks.
class Presence {
 public:
  struct Sighting {
    WorkstationId workstation;
    std::string workstation_name;
    SeenKey key;
  };

  // What one server knows of one workstation.
  struct Seat {
    enum Kind {
      kHere,    // it has a stream to this server, and sees these keys
      kReport,  // its stream is elsewhere, but its list of keys came to this server
      kGone,    // its last stream to this server ended
    };
    WorkstationId workstation;
    std::string name;
    Kind kind = kHere;
    std::vector<SeenKey> keys;
  };
  // Called with every change of what is local, in order, while Presence is locked.
  using Observer = std::function<void(const Seat&)>;
  void Observe(Observer observer);
  // Calls the observer for everything that is local now.
  void TellAgain() const;
  std::vector<Seat> Local() const;
  // What the server `node` told of one of its workstations.
  void SetRemote(const std::string& node, const Seat& seat);
  // Forgets what this node told: it tells everything anew.
  void ForgetRemote(const std::string& node);
  // Forgets what other nodes than these told. True when there was any.
  bool KeepRemote(const std::set<std::string>& nodes);

  // One more event stream of this workstation (a newer one may overlap the older one's end).
  void Connected(const WorkstationId& id, const std::string& name);
  // One stream ended; with the last one its keys are forgotten. True when it was the last one.
  bool Disconnected(const WorkstationId& id);
  // Forgets the workstation at once (revoked), also where another server told of it.
  void Forget(const WorkstationId& id);
  // Replaces the list, which may come to another server than the one with the stream; returns the
  // keys that are new or whose state, transport or firmware changed.
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
  struct Remote {
    std::string node, name;
    std::vector<SeenKey> keys;
  };
  void Tell(const WorkstationId& id, const std::string& name, Seat::Kind kind,
            const std::vector<SeenKey>& keys) const;
  // The keys that it sees, wherever its stream is; null = it is nowhere.
  const std::vector<SeenKey>* KeysOf(const WorkstationId& id) const;

  mutable std::mutex mutex_;
  std::map<WorkstationId, Entry> entries_;
  std::map<WorkstationId, Remote> remote_;
  Observer observer_;
};

}  // namespace keyferry::server
