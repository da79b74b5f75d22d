#pragma once

#include <soci/soci.h>

#include <cstdint>

#include "server/core/approval_records.h"

namespace keyferry::server {

// Within the transaction that it belongs to, after the row of what is begun was written: an error
// takes everything back.
Result<void> Require(soci::session& sql, const Precondition& only_if);
// ApprovalStore::CountResets.
long long CountResetsOf(soci::session& sql, const AccountId& agent, std::int64_t since);

}  // namespace keyferry::server
