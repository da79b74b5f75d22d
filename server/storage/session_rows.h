#pragma once

#include <soci/soci.h>

#include "server/core/factor_store.h"

namespace keyferry::server {

// Inside a transaction: false when the session is gone; then nothing was done.
bool SwapSessionRows(soci::session& sql, const SessionSwap& swap);

}  // namespace keyferry::server
