#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "protocol/result.h"
#include "server/core/approval_records.h"
#include "server/core/ids.h"
#include "server/core/records.h"

namespace keyferry::server {

// The second factor of one person. Times are Unix milliseconds, 0 = not yet.
struct FactorRecord {
  AccountId account;
  std::string login;
  Bytes sealed;  // the secret, which the database cannot open (second_factor.cc)
  std::int64_t created = 0;
  std::int64_t confirmed = 0;  // 0: proposed, and worth nothing yet
  std::int64_t app = 0;        // since when there is an app; 0: `sealed` is a proposal, or nothing
  std::int64_t last_step = 0;  // of the newest code that was used: it and older ones are spent
  std::string recovery_salt;   // of all recovery codes of the person (recovery_codes.h)
  std::size_t recovery_left = 0;  // read only
  std::size_t fido_keys = 0;      // read only
};

// A FIDO2 key that a person signs in with. Times are Unix milliseconds, 0 = never.
struct FidoKeyRecord {
  FidoKeyId id;
  AccountId account;
  std::string name;     // by which its owner knows it
  Bytes credential_id;  // no two keys have the same, whoever owns them
  std::int64_t algorithm = 0;
  Bytes public_key;  // as FidoVerifier gave it
  std::uint32_t counter = 0;
  std::vector<std::string> transports;  // known names of Web Authentication, for the browser
  std::int64_t created = 0;
  std::int64_t used = 0;
  std::int64_t suspect = 0;  // when its counter went back; since then it proves nothing
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
  // Takes the place of an older proposal. kConflict when the person has an app.
  virtual Result<void> ProposeFactor(const FactorRecord& factor) = 0;
  // The proposal with factor.sealed becomes the person's app (and, where there was none, the
  // factor), with these hashes of recovery codes in the place of all former ones, and the session
  // is swapped. False, and nothing written, when that proposal or the session is gone.
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
  // Removes factor, recovery codes, FIDO2 keys, security answers and all sessions of the person,
  // and the failures of `counter`. False when there is no factor. The errors of a Precondition.
  virtual Result<bool> ResetFactor(const AccountId& account, const std::string& counter,
                                   const AuditEntry& audit, const Precondition& only_if) = 0;

  // What the session with this hash of a token has to sign next, until that Unix second. It takes
  // the place of a former one and goes with the session. False when the session is gone.
  virtual Result<bool> PutChallenge(const Hash32& token_hash, std::string_view challenge,
                                    std::int64_t until) = 0;
  // Takes it away for good, whatever becomes of it; empty when there is none that is still open.
  virtual Result<std::string> TakeChallenge(const Hash32& token_hash, std::int64_t now) = 0;

  virtual Result<std::vector<FidoKeyRecord>> FidoKeysOf(
      const AccountId& account) = 0;  // oldest 1st
  // Adds a key for the session with that token. Where it is the person's first factor `first` is
  // written too, with recovery codes, and the session swapped; all or nothing.
  struct NewFidoKey {
    FidoKeyRecord key;
    Hash32 session{};  // its token's hash
    std::size_t most = 0;
    struct First {
      FactorRecord factor;
      std::vector<std::string> recovery;
      SessionSwap swap;
    };
    std::optional<First> first;
  };
  enum class FidoKeyAdded {
    kYes,
    kKnown,    // the credential is registered already
    kTooMany,  // the person has `most`
    kGone,     // the session, or what `first` was told of the factor
  };
  virtual Result<FidoKeyAdded> AddFidoKey(const NewFidoKey& added, const AuditEntry& audit) = 0;
  // A proof by that key, whose counter was `former` and is `counter` from now on: swaps the session
  // and forgets the failures of `failures`. False, and nothing written, when the key has another
  // counter by now, is suspect or gone, or the session is.
  struct FidoProof {
    AccountId account;
    FidoKeyId key;
    std::uint32_t former = 0, counter = 0;
    std::int64_t time = 0;
  };
  virtual Result<bool> SpendFidoProof(const FidoProof& proof, const SessionSwap& swap,
                                      const std::string& failures, const AuditEntry& audit) = 0;
  // From now on the key proves nothing.
  virtual Result<void> SuspectFidoKey(const AccountId& account, const FidoKeyId& key,
                                      std::int64_t time, const AuditEntry& audit) = 0;
  // False when there is no such key.
  virtual Result<bool> RenameFidoKey(const AccountId& account, const FidoKeyId& key,
                                     std::string_view name, const AuditEntry& audit) = 0;
  enum class FidoKeyRemoved {
    kYes,
    kNone,  // there is no such key
    kLast,  // it stays: without it the person had neither key nor app
  };
  virtual Result<FidoKeyRemoved> RemoveFidoKey(const AccountId& account, const FidoKeyId& key,
                                               const AuditEntry& audit) = 0;
};

}  // namespace keyferry::server
