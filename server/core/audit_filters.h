#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/crypto.h"
#include "protocol/result.h"
#include "server/core/clock.h"
#include "server/core/ids.h"
#include "server/core/records.h"
#include "server/core/session.h"

namespace keyferry::server {

using AuditFilterId = Id16<struct AuditFilterTag>;

// A filter of the audit log that a person has given a name, for themselves.
struct SavedAuditFilter {
  AuditFilterId id;
  AccountId owner;
  std::string name;
  std::string query;  // what the page's address carries
};
inline constexpr std::size_t kMostAuditFilters = 30;  // of one person
inline constexpr std::size_t kMaxFilterName = 60;     // bytes
inline constexpr std::size_t kMaxFilterQuery = 2000;  // bytes

class AuditFilterStore {
 public:
  virtual ~AuditFilterStore() = default;
  // By name.
  virtual Result<std::vector<SavedAuditFilter>> AuditFilters(const AccountId& owner) = 0;
  // In place of the owner's one of that name. kConflict: they have `most` others already.
  virtual Result<void> SaveAuditFilter(const SavedAuditFilter& filter, std::size_t most,
                                       const AuditEntry& audit) = 0;
  // kNotFound: the owner has no such filter.
  virtual Result<void> ForgetAuditFilter(const AccountId& owner, const AuditFilterId& id,
                                         const AuditEntry& audit) = 0;
};

// Everybody sees and touches their own. Thread-safe; blocks on the database.
class AuditFilterService {
 public:
  virtual ~AuditFilterService() = default;
  virtual Result<std::vector<SavedAuditFilter>> Mine(const Actor& actor) = 0;
  // `name`: 1…60 bytes of printable UTF-8. kInvalidArgument; kConflict: too many.
  virtual Result<void> Save(const Actor& actor, std::string_view name, std::string_view query) = 0;
  virtual Result<void> Forget(const Actor& actor, const AuditFilterId& id) = 0;
};
std::unique_ptr<AuditFilterService> MakeAuditFilterService(AuditFilterStore& store,
                                                           const Clock& clock,
                                                           protocol::RandomSource& random);

}  // namespace keyferry::server
