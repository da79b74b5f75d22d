#include "server/core/key_choice.h"

#include <algorithm>
#include <utility>

namespace keyferry::server {
namespace {

bool Fits(const KeyRecord& key) {
  return !IsOutOfUse(key.state) && key.alarm.empty() && key.restored == 0;
}

std::string WhyNone(const std::vector<KeyRecord>& keys) {
  const auto first = [&](auto&& is) {
    const auto found = std::find_if(keys.begin(), keys.end(), is);
    return found == keys.end() ? nullptr : &*found;
  };
  if (first([](const KeyRecord& key) {
        return key.state == KeyState::kActive && key.alarm.empty();
      }) != nullptr) {
    return "The server was restored from a backup and has not seen this employee's key since; "
           "connect the key once, so that the server learns how it stands.";
  }
  if (const KeyRecord* key =
          first([](const KeyRecord& any) { return any.state == KeyState::kActive; })) {
    return "This employee's key is under suspicion and gets no passwords; enrol another key. " +
           key->alarm;
  }
  if (first([](const KeyRecord& key) { return key.state == KeyState::kSuspended; }) != nullptr) {
    return "This employee's key is suspended; activate it first.";
  }
  return "This employee has no active key, so nobody could deliver the password; enrol a key "
         "first.";
}

void Say(std::string& note, const std::string& sentence) {
  if (note.find(sentence) == std::string::npos) note += (note.empty() ? "" : " ") + sentence;
}

}  // namespace

KeyChoice ChooseKeys(std::vector<KeyRecord> keys, const Presence& presence) {
  KeyChoice choice;
  const bool any = std::any_of(keys.begin(), keys.end(), [](const KeyRecord& key) {
    return Fits(key) && key.state == KeyState::kActive;
  });
  if (!any) {
    choice.refusal = WhyNone(keys);
    return choice;
  }
  for (KeyRecord& key : keys) {
    if (IsOutOfUse(key.state)) continue;
    if (Fits(key)) {
      if (!key.note.empty()) Say(choice.note, key.note);
      choice.keys.push_back(std::move(key));
    } else if (!key.alarm.empty()) {
      Say(choice.note, "A key of this employee is under suspicion and gets no passwords.");
    } else {
      Say(choice.note,
          "A key of this employee was not seen since the server was restored, and does not get "
          "this password: connect it once, then set a new one.");
    }
  }
  const auto rank = [&](const KeyRecord& key) {
    if (key.state != KeyState::kActive) return 2;
    return presence.Sightings(key.device).empty() ? 1 : 0;
  };
  std::vector<std::pair<int, KeyRecord>> ranked;
  for (KeyRecord& key : choice.keys) ranked.emplace_back(rank(key), std::move(key));
  std::stable_sort(ranked.begin(), ranked.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  for (std::size_t i = 0; i < ranked.size(); ++i) choice.keys[i] = std::move(ranked[i].second);
  return choice;
}

KeyPassword PasswordOn(const KeyRecord& key, const std::optional<ChangeRow>& newest) {
  const KeyPassword never = key.last_seq == 0 ? KeyPassword::kNone : KeyPassword::kMissing;
  if (!newest) return KeyPassword::kNone;
  for (const KeyJob& of : newest->keys) {
    if (of.job.enrolment != key.enrolment) continue;
    switch (of.job.state) {
      case JobState::kHeld:
      case JobState::kReady:
      case JobState::kSpooled:
        return KeyPassword::kWaiting;
      case JobState::kDelivered:
      case JobState::kUsed:
        return of.job.type == JobType::kHold ? KeyPassword::kMissing : KeyPassword::kNewest;
      case JobState::kSuperseded:
      case JobState::kRefused:
      case JobState::kCancelled:
        return never;
    }
  }
  return never;
}

}  // namespace keyferry::server
