#pragma once

#include <string>

#include "protocol/result.h"

namespace keyferry::device {

// One keyferryd at a key: an abstract AF_UNIX socket named after the key's place, which ends with
// the process. Any transport can use it; the same key must have the same `name` on all of them.
//
// kConflict, naming the holder's process, when another process of our user, of root, or (for root)
// of anybody has it; others are not believed, so that no local user can keep us from a key: then
// there is a claim that holds nothing.
class KeyClaim {
 public:
  // `shown` is the path for the message.
  static Result<KeyClaim> Take(const std::string& name, const std::string& shown);

  KeyClaim() = default;
  KeyClaim(KeyClaim&& other) noexcept;
  KeyClaim& operator=(KeyClaim&& other) noexcept;
  ~KeyClaim();

 private:
  explicit KeyClaim(int fd) : fd_(fd) {}

  int fd_ = -1;
};

}  // namespace keyferry::device
