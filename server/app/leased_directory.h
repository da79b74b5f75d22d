#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "server/core/directory.h"

namespace keyferry::server {

// A directory to which nothing that changes it is sent without a lease: of several servers on one
// database, one that has lost its lease must not write what another may be settling. `tenure` (see
// NodeLink) is asked last thing before each write; a password must still be under the lease under
// which its change was pinned.
std::unique_ptr<Directory> MakeLeasedDirectory(std::unique_ptr<Directory> directory,
                                               std::function<std::uint64_t()> tenure);

}  // namespace keyferry::server
