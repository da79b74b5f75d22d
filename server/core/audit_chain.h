#pragma once

#include <cstdint>

#include "server/core/records.h"

namespace keyferry::server {

// The hash that chains audit row `number` to the one before it (all zero before row 1): SHA-256 of
// "keyferry/audit/v1\0" || number(8) || previous(32) || time(8) || each text as length(4) || bytes,
// in the order of AuditEntry; integers big-endian.
Hash32 ChainHash(std::uint64_t number, const Hash32& previous, const AuditEntry& entry);

}  // namespace keyferry::server
