#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "protocol/result.h"
#include "server/core/ids.h"
#include "server/core/records.h"

namespace keyferry::server {

// The second factor of one person. Times are Unix milliseconds, 0 = not yet.
struct FactorRecord {
  AccountId account;
  std::string login;
  Bytes sealed;  // the secret, which the database cannot open (second_factor.cc)
  std::int64_t created = 0;
  std::int64_t confirmed = 0;     // 0: proposed, and worth nothing yet
  std::int64_t last_step = 0;     // of the newest code that was used: it and older ones are spent
  std::string recovery_salt;      // hex, of all recovery codes of the person
  std::size_t recovery_left = 0;  // read only
};

// A session that gets a new cookie: the one with `former` goes, `fresh` takes its place.
struct SessionSwap {
  Hash32 former{};
  StoredSession fresh;
};

// Second factors, durable and for every server on the database. Part of Store (store.h), which says
// what holds for all methods.
class FactorStore {
 public:
  virtual ~FactorStore() = default;
  virtual Result<std::optional<FactorRecord>> FindFactor(const AccountId& account) = 0;
  virtual Result<std::vector<FactorRecord>> Factors() = 0;  // confirmed ones, by login
  // Takes the place of an older proposal. kConflict when the person has a confirmed factor.
  virtual Result<void> ProposeFactor(const FactorRecord& factor) = 0;
  // The proposal with factor.sealed becomes the person's factor, with these hashes of recovery
  // codes, and the session is swapped. False, and nothing written, when that proposal or the
  // session is gone.
  virtual Result<bool> ConfirmFactor(const FactorRecord& factor,
                                     const std::vector<std::string>& recovery,
                                     const SessionSwap& swap, const AuditEntry& audit) = 0;
  // One proof, good once whatever the number of threads and servers: the code of a step later than
  // every used one, or the recovery code with a hash. Swaps the session and forgets the failures of
  // `counter`. False, and nothing written, when it was spent before or the session is gone.
  struct Proof {
    AccountId account;
    std::int64_t step = 0;
    std::string recovery;  // empty = it is a code of the app
  };
  virtual Result<bool> SpendProof(const Proof& proof, const SessionSwap& swap,
                                  const std::string& counter, const AuditEntry& audit) = 0;
  // New recovery codes in the place of all former ones. False when there is no confirmed factor.
  virtual Result<bool> ReplaceRecovery(const AccountId& account, std::string_view salt,
                                       const std::vector<std::string>& recovery,
                                       const AuditEntry& audit) = 0;
  // Removes factor, recovery codes and all sessions of the person, and the failures of `counter`.
  // False when there is no factor.
  virtual Result<bool> ResetFactor(const AccountId& account, const std::string& counter,
                                   const AuditEntry& audit) = 0;
};

}  // namespace keyferry::server
