#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "protocol/result.h"
#include "server/core/directory.h"

namespace keyferry::server {

struct GroupMember {
  Person person;
  std::int64_t password_last_set = 0;  // as AccountState::password_last_set
};

struct GroupMembers {
  std::vector<GroupMember> members;  // sorted by display name
  bool complete = true;              // false: there are more than were asked for
};

// Who is in a group of the directory. Thread-safe; blocks, bounded by the directory's deadline.
class GroupReader {
 public:
  virtual ~GroupReader() = default;
  // Ordinary user accounts below people_dn that are in the group, by nested groups as well. At most
  // `limit`. kNotFound: there is no such group. kUnsupported: this directory does not tell.
  virtual Result<GroupMembers> Members(std::string_view group_dn, std::size_t limit) = 0;
};

}  // namespace keyferry::server
