#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "server/core/directory.h"

namespace keyferry::server {

// A directory to which nothing that changes it is sent without a lease: of several servers on one
// database, one that has lost its lease must not write what another may be settling. `tenure` (see
// NodeLink) is asked last thing before each write; a password must still be under the lease under
// which its change was pinned, also in the moment in which the request leaves, when a connection
// has been found for it. (No directory takes a condition with a write: a server that is stopped
// between that look and the send, for longer than others wait, still writes.
// Saga::SettledMeanwhile.)
std::unique_ptr<Directory> MakeLeasedDirectory(std::unique_ptr<Directory> directory,
                                               std::function<std::uint64_t()> tenure);

}  // namespace keyferry::server
