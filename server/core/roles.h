#pragma once

#include <string>
#include <vector>

#include "server/core/services.h"

namespace keyferry::server {

// What members of these groups are (DNs, nested memberships resolved).
Roles RolesOf(const std::vector<std::string>& group_dns, const SessionConfig& config);

}  // namespace keyferry::server
