#pragma once

#include <string>
#include <vector>

#include "server/core/services.h"

namespace keyferry::server {

// What members of these groups are (DNs, nested memberships resolved).
Roles RolesOf(const std::vector<std::string>& group_dns, const SessionConfig& config);
// Whether one of `groups` is one of `wanted`, however their DNs are spelt.
bool MemberOf(const std::vector<std::string>& groups, const std::vector<std::string>& wanted);

}  // namespace keyferry::server
