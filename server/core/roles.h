#pragma once

#include <string>
#include <vector>

#include "server/core/services.h"

namespace keyferry::server {

// What members of these groups are (DNs, nested memberships resolved).
Roles RolesOf(const std::vector<std::string>& group_dns, const SessionConfig& config);
// … and of their sessions: where employees may sign in, who is nothing else is one.
Roles SessionRolesOf(const std::vector<std::string>& group_dns, const SessionConfig& config);
// Whether one of `groups` is one of `wanted`, however their DNs are spelt.
bool MemberOf(const std::vector<std::string>& groups, const std::vector<std::string>& wanted);

// Whether the person, as the directory has just told of them, is in one of these groups (DNs),
// nested ones too. Errors: those of Directory::GroupsOf.
Result<bool> IsIn(Directory& directory, const PersonDetail& person,
                  const std::vector<std::string>& groups);

// Whether the stricter rules are theirs: a member of `groups`, or somebody of whom that cannot be
// told, as of an account that is not in use.
Result<bool> IsPrivileged(Directory& directory, const PersonDetail& person,
                          const std::vector<std::string>& groups);

}  // namespace keyferry::server
