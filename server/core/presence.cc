#include "server/core/presence.h"

#include <algorithm>

namespace keyferry::server {
namespace {

bool Same(const SeenKey& a, const SeenKey& b) {
  return a.device == b.device && a.state == b.state && a.transport == b.transport &&
         a.firmware == b.firmware && a.simulator == b.simulator;
}

}  // namespace

void Presence::Observe(Observer observer) {
  const std::lock_guard lock(mutex_);
  observer_ = std::move(observer);
}

void Presence::Tell(const WorkstationId& id, const std::string& name, Seat::Kind kind,
                    const std::vector<SeenKey>& keys) const {
  if (observer_) observer_({id, name, kind, keys});
}

void Presence::TellAgain() const {
  const std::lock_guard lock(mutex_);
  for (const auto& [id, entry] : entries_) {
    if (entry.streams > 0) Tell(id, entry.name, Seat::kHere, entry.keys);
  }
}

std::vector<Presence::Seat> Presence::Local() const {
  const std::lock_guard lock(mutex_);
  std::vector<Seat> out;
  for (const auto& [id, entry] : entries_) {
    if (entry.streams > 0) out.push_back({id, entry.name, Seat::kHere, entry.keys});
  }
  return out;
}

void Presence::SetRemote(const std::string& node, const Seat& seat) {
  const std::lock_guard lock(mutex_);
  const WorkstationId& id = seat.workstation;
  const auto here = entries_.find(id);
  const auto there = remote_.find(id);
  switch (seat.kind) {
    case Seat::kHere:
      remote_[id] = {node, seat.name, seat.keys};
      if (here != entries_.end() && here->second.streams == 0) {
        // Its list of keys came here before it was known where its stream is.
        const std::vector<SeenKey> keys = std::move(here->second.keys);
        entries_.erase(here);
        if (!seat.keys.empty()) return;
        remote_[id].keys = keys;
        Tell(id, seat.name, Seat::kReport, keys);
      }
      return;
    case Seat::kReport:
      if (here != entries_.end() && here->second.streams > 0) {
        here->second.keys = seat.keys;
        Tell(id, here->second.name, Seat::kHere, seat.keys);
      } else if (there != remote_.end()) {
        there->second.keys = seat.keys;
      }
      return;
    case Seat::kGone:
      if (there != remote_.end() && there->second.node == node) remote_.erase(there);
      return;
  }
}

void Presence::ForgetRemote(const std::string& node) {
  const std::lock_guard lock(mutex_);
  std::erase_if(remote_, [&node](const auto& entry) { return entry.second.node == node; });
}

bool Presence::KeepRemote(const std::set<std::string>& nodes) {
  const std::lock_guard lock(mutex_);
  return std::erase_if(remote_, [&nodes](const auto& entry) {
           return nodes.count(entry.second.node) == 0;
         }) != 0;
}

const std::vector<SeenKey>* Presence::KeysOf(const WorkstationId& id) const {
  const auto here = entries_.find(id);
  const auto there = remote_.find(id);
  if (here != entries_.end() && (here->second.streams > 0 || there == remote_.end())) {
    return &here->second.keys;
  }
  return there == remote_.end() ? nullptr : &there->second.keys;
}

void Presence::Connected(const WorkstationId& id, const std::string& name) {
  const std::lock_guard lock(mutex_);
  Entry& entry = entries_[id];
  entry.name = name;
  ++entry.streams;
  Tell(id, entry.name, Seat::kHere, entry.keys);
}

bool Presence::Disconnected(const WorkstationId& id) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(id);
  if (found == entries_.end()) return false;
  if (--found->second.streams > 0) return false;
  entries_.erase(found);
  Tell(id, {}, Seat::kGone, {});
  return true;
}

void Presence::Forget(const WorkstationId& id) {
  const std::lock_guard lock(mutex_);
  remote_.erase(id);
  if (entries_.erase(id) != 0) Tell(id, {}, Seat::kGone, {});
}

std::vector<SeenKey> Presence::Replace(const WorkstationId& id, const std::string& name,
                                       std::span<const SeenKey> keys) {
  const std::lock_guard lock(mutex_);
  const std::vector<SeenKey>* const before = KeysOf(id);
  std::vector<SeenKey> fresh;
  for (const SeenKey& key : keys) {
    const bool known =
        before != nullptr && std::any_of(before->begin(), before->end(),
                                         [&key](const SeenKey& old) { return Same(old, key); });
    if (!known) fresh.push_back(key);
  }
  const auto here = entries_.find(id);
  const auto there = remote_.find(id);
  if (there != remote_.end() && (here == entries_.end() || here->second.streams == 0)) {
    there->second.keys.assign(keys.begin(), keys.end());
    Tell(id, name, Seat::kReport, there->second.keys);
    return fresh;
  }
  Entry& entry = entries_[id];
  entry.name = name;
  entry.keys.assign(keys.begin(), keys.end());
  if (entry.streams > 0) Tell(id, name, Seat::kHere, entry.keys);
  return fresh;
}

bool Presence::IsConnected(const WorkstationId& id) const {
  const std::lock_guard lock(mutex_);
  if (remote_.count(id) != 0) return true;
  const auto found = entries_.find(id);
  return found != entries_.end() && found->second.streams > 0;
}

std::vector<SeenKey> Presence::KeysAt(const WorkstationId& id) const {
  const std::lock_guard lock(mutex_);
  const std::vector<SeenKey>* const keys = KeysOf(id);
  return keys == nullptr ? std::vector<SeenKey>() : *keys;
}

std::vector<Presence::Sighting> Presence::Sightings(const DeviceId& device) const {
  std::vector<Sighting> all = All();
  std::erase_if(all, [&device](const Sighting& sighting) { return sighting.key.device != device; });
  return all;
}

std::vector<Presence::Sighting> Presence::All() const {
  const std::lock_guard lock(mutex_);
  std::vector<Sighting> out;
  std::set<WorkstationId> here;
  for (const auto& [id, entry] : entries_) {
    if (entry.streams <= 0) continue;
    here.insert(id);
    for (const SeenKey& key : entry.keys) out.push_back({id, entry.name, key});
  }
  for (const auto& [id, remote] : remote_) {
    if (here.count(id) != 0) continue;
    for (const SeenKey& key : remote.keys) out.push_back({id, remote.name, key});
  }
  return out;
}

}  // namespace keyferry::server
