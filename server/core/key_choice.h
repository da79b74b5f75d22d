#pragma once

#include <optional>
#include <string>
#include <vector>

#include "server/core/presence.h"
#include "server/core/records.h"

namespace keyferry::server {

// Which of a person's keys a new password is sealed for.
struct KeyChoice {
  // Active and suspended ones without alarm that have told how they stand since the last restore;
  // the first is active: one that is seen before others, and of these the newest.
  std::vector<KeyRecord> keys;
  std::string refusal;  // a sentence with the next step, why there is none; empty when there is one
  std::string note;     // what is worth knowing of the others and of these; may be empty
};
KeyChoice ChooseKeys(std::vector<KeyRecord> keys, const Presence& presence);

// What the key has of the newest password that the directory took.
KeyPassword PasswordOn(const KeyRecord& key, const std::optional<ChangeRow>& newest);

}  // namespace keyferry::server
