#pragma once

#include <span>
#include <string>
#include <vector>

#include "protocol/result.h"
#include "server/core/directory.h"
#include "server/directory/server_group.h"

namespace keyferry::server {

// As Directory::FindComputers, below `base_dn`.
Result<std::vector<Computer>> FindComputers(const Session& session, const std::string& base_dn,
                                            std::span<const std::string> names);

}  // namespace keyferry::server
