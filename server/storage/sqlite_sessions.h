#pragma once

#include <soci/soci.h>

namespace keyferry::server {

// SOCI's sessions on SQLite, but each keeps its compiled statements and uses them again: SOCI has
// SQLite compile a statement whenever it is run, which is half of what a small transaction costs.
// As SOCI's own, a session is for one thread at a time.
const soci::backend_factory& SqliteSessions();

// Of these sessions: one that writes no checkpoint when it closes.
void LeaveCheckpoints(soci::session& session);

}  // namespace keyferry::server
