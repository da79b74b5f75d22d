#include <algorithm>
#include <sstream>
#include <string>

#include "server/storage/factor_rows.h"
#include "server/storage/rows.h"
#include "server/storage/session_rows.h"
#include "server/storage/sql_store.h"

namespace keyferry::server {
namespace {

struct FidoKeyColumns {
  std::string id, account, name, credential, public_key, transports;
  long long algorithm = 0, counter = 0, created = 0, used = 0, suspect = 0;

  template <typename Prepared>
  void Into(Prepared& p) {
    p, soci::into(id), soci::into(account), soci::into(name), soci::into(credential),
        soci::into(algorithm), soci::into(public_key), soci::into(counter), soci::into(transports),
        soci::into(created), soci::into(used), soci::into(suspect);
  }
  FidoKeyRecord Read() const {
    if (counter < 0 || counter > UINT32_MAX) {
      throw DamagedRow("counter " + std::to_string(counter));
    }
    FidoKeyRecord record;
    record.id = ReadId<FidoKeyId>(id);
    record.account = ReadId<AccountId>(account);
    record.name = name;
    record.credential_id = ReadBytes(credential);
    record.algorithm = algorithm;
    record.public_key = ReadBytes(public_key);
    record.counter = static_cast<std::uint32_t>(counter);
    std::istringstream words(transports);
    for (std::string word; words >> word;) record.transports.push_back(word);
    record.created = created;
    record.used = used;
    record.suspect = suspect;
    return record;
  }
};

struct ChallengeColumns {
  std::string challenge;
  long long until = 0;
  template <typename Prepared>
  void Into(Prepared& p) {
    p, soci::into(challenge), soci::into(until);
  }
  ChallengeColumns Read() const { return *this; }
};

void InsertFidoKey(soci::session& sql, const FidoKeyRecord& key) {
  std::string transports;
  for (const std::string& one : key.transports) transports += (transports.empty() ? "" : " ") + one;
  const long long algorithm = key.algorithm, counter = key.counter, created = key.created, none = 0;
  Execute(
      sql,
      "INSERT INTO fido_keys (key_id, account_id, name, credential_hash, credential, algorithm, "
      "public_key, counter, transports, created, used, suspect) VALUES (:key, :account, :name, "
      ":hash, :credential, :algorithm, :public, :counter, :transports, :created, :used, "
      ":suspect)",
      key.id.Hex(), key.account.Hex(), key.name, ToHex(Sha256(key.credential_id)),
      ToBase64(key.credential_id), algorithm, ToBase64(key.public_key), counter, transports,
      created, none, none);
}

}  // namespace

Result<bool> SqlStore::PutChallenge(const Hash32& token_hash, std::string_view challenge,
                                    std::int64_t until) {
  return database_.Write([&](Transaction& t) -> Result<bool> {
    const long long end = until;
    t.commit = Execute(t.sql,
                       "UPDATE sessions SET challenge = :challenge, challenge_until = :until WHERE "
                       "token_hash = :hash",
                       std::string(challenge), end, ToHex(token_hash)) != 0;
    return t.commit;
  });
}

Result<std::string> SqlStore::TakeChallenge(const Hash32& token_hash, std::int64_t now) {
  return database_.Write([&](Transaction& t) -> Result<std::string> {
    const auto found = FirstOf(Select<ChallengeColumns>(
        t.sql, "SELECT challenge, challenge_until FROM sessions WHERE token_hash = :hash",
        ToHex(token_hash)));
    // Of all that ask at the same time the one that changes the row has it.
    t.commit =
        found && !found->challenge.empty() &&
        Execute(t.sql,
                "UPDATE sessions SET challenge = '' WHERE token_hash = :hash AND challenge = "
                ":challenge",
                ToHex(token_hash), found->challenge) == 1;
    return t.commit && now < found->until ? found->challenge : std::string();
  });
}

Result<std::vector<FidoKeyRecord>> SqlStore::FidoKeysOf(const AccountId& account) {
  return database_.Read([&](soci::session& sql) -> Result<std::vector<FidoKeyRecord>> {
    return Select<FidoKeyColumns>(
        sql,
        "SELECT key_id, account_id, name, credential, algorithm, public_key, counter, transports, "
        "created, used, suspect FROM fido_keys WHERE account_id = :account ORDER BY created, "
        "key_id",
        account.Hex());
  });
}

Result<FactorStore::FidoKeyAdded> SqlStore::AddFidoKey(const NewFidoKey& added,
                                                       const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<FidoKeyAdded> {
    const std::string account = added.key.account.Hex();
    t.commit = false;
    if (SelectNumber(t.sql, "SELECT COUNT(*) FROM sessions WHERE token_hash = :hash",
                     ToHex(added.session)) != 1) {
      return FidoKeyAdded::kGone;
    }
    if (SelectNumber(t.sql, "SELECT COUNT(*) FROM fido_keys WHERE credential_hash = :hash",
                     ToHex(Sha256(added.key.credential_id))) != 0) {
      return FidoKeyAdded::kKnown;
    }
    if (SelectNumber(t.sql, "SELECT COUNT(*) FROM fido_keys WHERE account_id = :account",
                     account) >= static_cast<long long>(added.most)) {
      return FidoKeyAdded::kTooMany;
    }
    const bool factor = SelectNumber(t.sql,
                                     "SELECT COUNT(*) FROM factors WHERE account_id = :account AND "
                                     "confirmed > 0",
                                     account) != 0;
    if (factor == added.first.has_value()) return FidoKeyAdded::kGone;
    if (added.first) {
      // The proposal of an app that was never confirmed.
      Execute(t.sql, "DELETE FROM factors WHERE account_id = :account", account);
      InsertFactor(t.sql, added.first->factor);
      PutRecovery(t.sql, added.key.account, added.first->recovery);
      if (!SwapSessionRows(t.sql, added.first->swap)) return FidoKeyAdded::kGone;
    }
    InsertFidoKey(t.sql, added.key);
    AppendChained(t.sql, audit);
    t.commit = true;
    return FidoKeyAdded::kYes;
  });
}

Result<bool> SqlStore::SpendFidoProof(const FidoProof& proof, const SessionSwap& swap,
                                      const std::string& failures, const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<bool> {
    const long long former = proof.former, counter = proof.counter, time = proof.time;
    t.commit = Execute(t.sql,
                       "UPDATE fido_keys SET counter = :counter, used = :used WHERE key_id = :key "
                       "AND account_id = :account AND counter = :former AND suspect = 0",
                       counter, time, proof.key.Hex(), proof.account.Hex(), former) == 1 &&
               SwapSessionRows(t.sql, swap);
    if (!t.commit) return false;
    Execute(t.sql, "DELETE FROM failures WHERE counter = :counter", failures);
    AppendChained(t.sql, audit);
    return true;
  });
}

Result<void> SqlStore::SuspectFidoKey(const AccountId& account, const FidoKeyId& key,
                                      std::int64_t time, const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<void> {
    const long long moment = time;
    Execute(t.sql,
            "UPDATE fido_keys SET suspect = :time WHERE key_id = :key AND account_id = :account "
            "AND suspect = 0",
            moment, key.Hex(), account.Hex());
    AppendChained(t.sql, audit);
    return {};
  });
}

Result<bool> SqlStore::RenameFidoKey(const AccountId& account, const FidoKeyId& key,
                                     std::string_view name, const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<bool> {
    t.commit = Execute(t.sql,
                       "UPDATE fido_keys SET name = :name WHERE key_id = :key AND account_id = "
                       ":account",
                       std::string(name), key.Hex(), account.Hex()) == 1;
    if (t.commit) AppendChained(t.sql, audit);
    return t.commit;
  });
}

Result<FactorStore::FidoKeyRemoved> SqlStore::RemoveFidoKey(const AccountId& account,
                                                            const FidoKeyId& key,
                                                            const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<FidoKeyRemoved> {
    // One of a person at a time, whatever the number of servers: of two keys one stays.
    Execute(t.sql, "UPDATE factors SET app = app WHERE account_id = :account", account.Hex());
    t.commit = Execute(t.sql, "DELETE FROM fido_keys WHERE key_id = :key AND account_id = :account",
                       key.Hex(), account.Hex()) == 1;
    if (!t.commit) return FidoKeyRemoved::kNone;
    t.commit =
        SelectNumber(t.sql,
                     "SELECT COUNT(*) FROM fido_keys WHERE account_id = :account AND "
                     "suspect = 0",
                     account.Hex()) != 0 ||
        SelectNumber(t.sql, "SELECT COUNT(*) FROM factors WHERE account_id = :account AND app > 0",
                     account.Hex()) != 0;
    if (!t.commit) return FidoKeyRemoved::kLast;
    AppendChained(t.sql, audit);
    return FidoKeyRemoved::kYes;
  });
}

}  // namespace keyferry::server
