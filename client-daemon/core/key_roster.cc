#include "client-daemon/core/key_roster.h"

#include <algorithm>
#include <set>
#include <utility>

namespace keyferry::daemon {
namespace {

// The lower the better.
int Rank(device::TransportKind transport) {
  switch (transport) {
    case device::TransportKind::kHid:
      return 0;
    case device::TransportKind::kSocket:
      return 1;
    case device::TransportKind::kBle:
      return 2;
  }
  return 3;
}

}  // namespace

const char* Name(Standing standing) {
  switch (standing) {
    case Standing::kUndecided:
      return "undecided";
    case Standing::kActive:
      return "active";
    case Standing::kStandby:
      return "standby";
    case Standing::kRefused:
      return "refused";
    case Standing::kDoubted:
      return "doubted";
    case Standing::kFrozen:
      return "frozen";
  }
  return "undecided";
}

Standing KeyRoster::Claim(const Id& device, const device::KeyPlace& place, Proof proof) {
  Entry& entry = entries_[place.path];
  const Id before = std::exchange(entry.device, device);
  entry.transport = place.transport;
  entry.proof = proof;
  if (before != device) Settle(before, {});
  Settle(device, place.path);
  changed_.erase(place.path);  // the caller hears it now
  return entry.standing;
}

void KeyRoster::Release(const std::string& path) {
  const auto entry = entries_.find(path);
  if (entry == entries_.end()) return;
  const Id device = entry->second.device;
  entries_.erase(entry);
  changed_.erase(path);
  Settle(device, {});
}

std::string KeyRoster::ActiveOf(const Id& device) const {
  for (const auto& [path, entry] : entries_) {
    if (entry.device == device && entry.standing == Standing::kActive) return path;
  }
  return {};
}

bool KeyRoster::Has(const Id& device, Standing standing) const {
  return std::any_of(entries_.begin(), entries_.end(), [&](const auto& entry) {
    return entry.second.device == device && entry.second.standing == standing;
  });
}

std::map<std::string, Standing> KeyRoster::TakeChanged() { return std::exchange(changed_, {}); }

void KeyRoster::Set(const std::string& path, Standing standing) {
  Standing& now = entries_[path].standing;
  if (now != standing) changed_[path] = standing;
  now = standing;
}

void KeyRoster::Settle(const Id& device, const std::string& caller) {
  std::vector<std::string> proven;
  std::vector<std::string> unproven;
  std::vector<std::string> others;
  for (const auto& [path, entry] : entries_) {
    if (entry.device != device) continue;
    auto& list = entry.proof == Proof::kProven ? proven
                 : entry.proof == Proof::kNone ? unproven
                                               : others;
    list.push_back(path);
  }
  for (const std::string& path : others) {
    const bool pending = entries_[path].proof == Proof::kPending;
    Set(path, pending          ? Standing::kUndecided
              : proven.empty() ? Standing::kRefused
                               : Standing::kDoubted);
  }
  if (!proven.empty()) {
    for (const std::string& path : unproven) Set(path, Standing::kDoubted);
  }
  const auto& equal = proven.empty() ? unproven : proven;
  std::set<device::TransportKind> ways;
  for (const std::string& path : equal) ways.insert(entries_[path].transport);
  if (ways.size() != equal.size()) {
    for (const std::string& path : equal) Set(path, Standing::kFrozen);
    return;
  }
  if (equal.empty()) return;
  const auto best = *std::min_element(
      equal.begin(), equal.end(), [this](const std::string& a, const std::string& b) {
        return Rank(entries_[a].transport) < Rank(entries_[b].transport);
      });
  const auto at_work = std::find_if(equal.begin(), equal.end(), [&](const std::string& path) {
    return path != best && path != caller && entries_[path].standing == Standing::kActive;
  });
  for (const std::string& path : equal) {
    const bool active = at_work == equal.end() ? path == best : path == *at_work;
    Set(path, active ? Standing::kActive : Standing::kStandby);
  }
  if (at_work != equal.end()) changed_[*at_work] = Standing::kActive;  // asks again when it is idle
}

}  // namespace keyferry::daemon
