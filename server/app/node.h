#pragma once

#include "protocol/result.h"
#include "server/app/config.h"
#include "server/storage/node_link.h"

namespace keyferry::server {

// This server as others on the same database know it: a new identifier, its host name and port, and
// what must be alike on all of them: the key material that workstations and keys trust, who may
// sign in, and every rule that decides about passwords, keys and workstations.
// Reads the state folder and the files that the configuration names.
Result<NodeLink::Self> DescribeNode(const ServerConfig& config);

}  // namespace keyferry::server
