#pragma once

#include <functional>
#include <memory>

#include "server/core/directory.h"

namespace keyferry::server {

// A directory to which nothing that changes it is sent unless `holds()`: of several servers on one
// database, one that has lost its lease must not write what another may be settling. It is asked
// last thing before each write.
std::unique_ptr<Directory> MakeLeasedDirectory(std::unique_ptr<Directory> directory,
                                               std::function<bool()> holds);

}  // namespace keyferry::server
