#pragma once

#include <sys/types.h>

namespace keyferry::daemon {

// Whether the user has a session that is in the foreground of a seat of this machine (logind). No
// logind: nobody has. Any thread.
bool HasActiveSeat(uid_t user);

}  // namespace keyferry::daemon
