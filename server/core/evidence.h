#pragma once

#include <cstdint>

#include "server/core/directory.h"
#include "server/core/records.h"

namespace keyferry::server {

// What the directory's own record says about one attempt whose answer was lost.
enum class Evidence {
  kApplied,
  kNotApplied,  // not so far
  kForeign,     // another tool's password is in the directory: ours did not arrive, or was replaced
  kUndecidable,
};

// Compares the stamp from before the attempt, kept in its row, with the one of now. With
// replication metadata: exactly one write, by the pinned controller, within `window` seconds of the
// attempt is ours. Without it, pwdLastSet alone decides, which cannot tell another tool's write; in
// OpenLDAP pwdChangedTime does, together with the name of the writer.
Evidence Judge(const ChangeRecord& change, const PasswordStamp& now, std::int64_t window);

// What a bind with the new password adds: it is the directory's password, or it is not.
Evidence Weigh(Evidence evidence, BindOutcome outcome);

}  // namespace keyferry::server
