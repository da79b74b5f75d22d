#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "server/core/group_reader.h"

namespace keyferry::server {

// Whom a mail to the administrators goes to, their names by address (lower case): the members of
// `administrator_groups` (DNs) who have one, at most 200 of each group, and `addresses`. A group
// that cannot be asked is left out, and `log` gets a line. Blocks on the directory.
std::map<std::string, std::string> AdministratorAddresses(
    GroupReader& groups, const std::vector<std::string>& administrator_groups,
    const std::vector<std::string>& addresses, const std::function<void(std::string_view)>& log);

}  // namespace keyferry::server
