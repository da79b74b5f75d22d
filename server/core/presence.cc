#include "server/core/presence.h"

#include <algorithm>

namespace keyferry::server {
namespace {

bool Same(const SeenKey& a, const SeenKey& b) {
  return a.device == b.device && a.state == b.state && a.transport == b.transport &&
         a.firmware == b.firmware && a.simulator == b.simulator;
}

}  // namespace

void Presence::Connected(const WorkstationId& id, const std::string& name) {
  const std::lock_guard lock(mutex_);
  Entry& entry = entries_[id];
  entry.name = name;
  ++entry.streams;
}

bool Presence::Disconnected(const WorkstationId& id) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(id);
  if (found == entries_.end()) return false;
  if (--found->second.streams > 0) return false;
  entries_.erase(found);
  return true;
}

void Presence::Forget(const WorkstationId& id) {
  const std::lock_guard lock(mutex_);
  entries_.erase(id);
}

std::vector<SeenKey> Presence::Replace(const WorkstationId& id, const std::string& name,
                                       std::span<const SeenKey> keys) {
  const std::lock_guard lock(mutex_);
  Entry& entry = entries_[id];
  entry.name = name;
  std::vector<SeenKey> fresh;
  for (const SeenKey& key : keys) {
    const bool known = std::any_of(entry.keys.begin(), entry.keys.end(),
                                   [&key](const SeenKey& old) { return Same(old, key); });
    if (!known) fresh.push_back(key);
  }
  entry.keys.assign(keys.begin(), keys.end());
  return fresh;
}

bool Presence::IsConnected(const WorkstationId& id) const {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(id);
  return found != entries_.end() && found->second.streams > 0;
}

std::vector<SeenKey> Presence::KeysAt(const WorkstationId& id) const {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(id);
  return found == entries_.end() ? std::vector<SeenKey>() : found->second.keys;
}

std::vector<Presence::Sighting> Presence::Sightings(const DeviceId& device) const {
  std::vector<Sighting> all = All();
  std::erase_if(all, [&device](const Sighting& sighting) { return sighting.key.device != device; });
  return all;
}

std::vector<Presence::Sighting> Presence::All() const {
  const std::lock_guard lock(mutex_);
  std::vector<Sighting> out;
  for (const auto& [id, entry] : entries_) {
    if (entry.streams <= 0) continue;
    for (const SeenKey& key : entry.keys) out.push_back({id, entry.name, key});
  }
  return out;
}

}  // namespace keyferry::server
