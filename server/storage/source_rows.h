#pragma once

#include <soci/soci.h>

#include <optional>

#include "server/core/records.h"

// Linked sources inside the transactions of their change (sources.cc).
namespace keyferry::server {

inline constexpr const char* kFirstRefusedReason =
    "Not asked, because the first directory did not take the password; the old one stands.";
inline constexpr const char* kFirstUnknownReason =
    "Not asked, because the first directory's answer was lost, and with it the moment to set the "
    "password here: the old one stands. Set a new password for both.";

void InsertSources(soci::session& sql, const ChangeRecord& change);
// A change of the account whose part at the first directory is over and that has open sources.
std::optional<ChangeId> ChangeWithOpenSources(soci::session& sql, const AccountId& account);
// Those of the change that were not asked yet never are, for this reason.
void LeaveSources(soci::session& sql, const ChangeId& change, const char* reason);

}  // namespace keyferry::server
