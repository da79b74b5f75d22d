#pragma once

#include <soci/soci.h>

namespace keyferry::server {

// SOCI's sessions on SQLite, but each keeps its compiled statements and uses them again: SOCI has
// SQLite compile a statement whenever it is run, which is half of what a small transaction costs.
// As SOCI's own, a session is for one thread at a time.
const soci::backend_factory& SqliteSessions();

// Of these sessions: one that writes no checkpoint when it closes.
void LeaveCheckpoints(soci::session& session);

// Of these sessions: one whose commits write a checkpoint by themselves only when the log has
// `most` pages; who uses it does so earlier.
void CheckpointByHand(soci::session& session, int most);
// Pages in the log after the last commit of such a session.
int LogPages(soci::session& session);
// Moves what no reader needs any more into the database, and syncs it. Failures are left to the
// next one.
void WriteCheckpoint(soci::session& session);

}  // namespace keyferry::server
