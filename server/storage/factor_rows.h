#pragma once

#include <soci/soci.h>

#include <string>
#include <vector>

#include "server/core/factor_store.h"

namespace keyferry::server {

// Inside a transaction. A factor without an app; the person had none.
void InsertFactor(soci::session& sql, const FactorRecord& factor);
// In the place of all recovery codes that the person has.
void PutRecovery(soci::session& sql, const AccountId& account,
                 const std::vector<std::string>& hashes);

}  // namespace keyferry::server
