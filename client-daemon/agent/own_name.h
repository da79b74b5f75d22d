#pragma once

#include <string>

namespace keyferry::daemon::cli {

// The login name of who runs this program; empty when there is none.
std::string OwnName();

}  // namespace keyferry::daemon::cli
