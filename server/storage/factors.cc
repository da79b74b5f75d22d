#include <string>

#include "server/storage/factor_rows.h"
#include "server/storage/rows.h"
#include "server/storage/session_rows.h"
#include "server/storage/sql_store.h"

namespace keyferry::server {
namespace {

struct FactorColumns {
  static constexpr const char* kSelect =
      "SELECT account_id, login, sealed, created, confirmed, app, last_step, recovery_salt, "
      "(SELECT COUNT(*) FROM recovery_codes WHERE recovery_codes.account_id = "
      "factors.account_id), (SELECT COUNT(*) FROM fido_keys WHERE fido_keys.account_id = "
      "factors.account_id) FROM factors WHERE ";

  std::string account, login, sealed, salt;
  long long created = 0, confirmed = 0, app = 0, last_step = 0, left = 0, keys = 0;

  template <typename Prepared>
  void Into(Prepared& p) {
    p, soci::into(account), soci::into(login), soci::into(sealed), soci::into(created),
        soci::into(confirmed), soci::into(app), soci::into(last_step), soci::into(salt),
        soci::into(left), soci::into(keys);
  }
  FactorRecord Read() const {
    FactorRecord record;
    record.account = ReadId<AccountId>(account);
    record.login = login;
    record.sealed = ReadBytes(sealed);
    record.created = created;
    record.confirmed = confirmed;
    record.app = app;
    record.last_step = last_step;
    record.recovery_salt = salt;
    record.recovery_left = static_cast<std::size_t>(left);
    record.fido_keys = static_cast<std::size_t>(keys);
    return record;
  }
};

}  // namespace

void InsertFactor(soci::session& sql, const FactorRecord& factor) {
  const long long created = factor.created, confirmed = factor.confirmed, none = 0;
  Execute(sql,
          "INSERT INTO factors (account_id, login, sealed, created, confirmed, app, last_step, "
          "recovery_salt) VALUES (:account, :login, :sealed, :created, :confirmed, :app, :step, "
          ":salt)",
          factor.account.Hex(), factor.login, ToBase64(factor.sealed), created, confirmed, none,
          none, factor.recovery_salt);
}

void PutRecovery(soci::session& sql, const AccountId& account,
                 const std::vector<std::string>& hashes) {
  Execute(sql, "DELETE FROM recovery_codes WHERE account_id = :account", account.Hex());
  for (const std::string& hash : hashes) {
    Execute(sql, "INSERT INTO recovery_codes (account_id, code_hash) VALUES (:account, :hash)",
            account.Hex(), hash);
  }
}

Result<std::optional<FactorRecord>> SqlStore::FindFactor(const AccountId& account) {
  return database_.Read([&](soci::session& sql) -> Result<std::optional<FactorRecord>> {
    return FirstOf(Select<FactorColumns>(
        sql, std::string(FactorColumns::kSelect) + "account_id = :account", account.Hex()));
  });
}

Result<std::vector<FactorRecord>> SqlStore::Factors() {
  return database_.Read([&](soci::session& sql) -> Result<std::vector<FactorRecord>> {
    return Select<FactorColumns>(
        sql, std::string(FactorColumns::kSelect) + "confirmed > 0 ORDER BY login, account_id");
  });
}

Result<void> SqlStore::ProposeFactor(const FactorRecord& factor) {
  return database_.Write([&](Transaction& t) -> Result<void> {
    Execute(t.sql, "DELETE FROM factors WHERE account_id = :account AND confirmed = 0",
            factor.account.Hex());
    // Who has FIDO2 keys alone gets an app beside them.
    if (Execute(t.sql,
                "UPDATE factors SET sealed = :sealed WHERE account_id = :account AND app = 0",
                ToBase64(factor.sealed), factor.account.Hex()) != 0) {
      return {};
    }
    if (SelectNumber(t.sql, "SELECT COUNT(*) FROM factors WHERE account_id = :account",
                     factor.account.Hex()) != 0) {
      return Fail(ErrorCode::kConflict, "There is a second factor already.");
    }
    InsertFactor(t.sql, factor);
    return {};
  });
}

Result<bool> SqlStore::ConfirmFactor(const FactorRecord& factor,
                                     const std::vector<std::string>& recovery,
                                     const SessionSwap& swap, const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<bool> {
    const long long confirmed = factor.confirmed, app = factor.app, step = factor.last_step;
    t.commit = Execute(t.sql,
                       "UPDATE factors SET confirmed = :confirmed, app = :app, last_step = :step, "
                       "recovery_salt = :salt WHERE account_id = :account AND app = 0 AND sealed = "
                       ":sealed",
                       confirmed, app, step, factor.recovery_salt, factor.account.Hex(),
                       ToBase64(factor.sealed)) == 1 &&
               SwapSessionRows(t.sql, swap);
    if (!t.commit) return false;
    PutRecovery(t.sql, factor.account, recovery);
    AppendChained(t.sql, audit);
    return true;
  });
}

Result<bool> SqlStore::SpendProof(const Proof& proof, const SessionSwap& swap,
                                  const std::string& counter, const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<bool> {
    const long long step = proof.step;
    const long long spent =
        proof.recovery.empty()
            ? Execute(t.sql,
                      "UPDATE factors SET last_step = :step WHERE account_id = :account AND "
                      "app > 0 AND last_step < :same",
                      step, proof.account.Hex(), step)
            : Execute(t.sql,
                      "DELETE FROM recovery_codes WHERE account_id = :account AND code_hash = "
                      ":hash",
                      proof.account.Hex(), proof.recovery);
    t.commit = spent == 1 && SwapSessionRows(t.sql, swap);
    if (!t.commit) return false;
    Execute(t.sql, "DELETE FROM failures WHERE counter = :counter", counter);
    AppendChained(t.sql, audit);
    return true;
  });
}

Result<bool> SqlStore::ReplaceRecovery(const AccountId& account, std::string_view salt,
                                       const std::vector<std::string>& recovery,
                                       const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<bool> {
    t.commit = Execute(t.sql,
                       "UPDATE factors SET recovery_salt = :salt WHERE account_id = :account AND "
                       "confirmed > 0",
                       std::string(salt), account.Hex()) == 1;
    if (!t.commit) return false;
    PutRecovery(t.sql, account, recovery);
    AppendChained(t.sql, audit);
    return true;
  });
}

Result<bool> SqlStore::ResetFactor(const AccountId& account, const std::string& counter,
                                   const AuditEntry& audit, const Precondition& only_if) {
  return database_.Write([&](Transaction& t) -> Result<bool> {
    t.commit =
        Execute(t.sql, "DELETE FROM factors WHERE account_id = :account", account.Hex()) == 1;
    if (!t.commit) return false;
    if (auto stands = Require(t.sql, only_if); !stands) {
      t.commit = false;
      return tl::unexpected(std::move(stands.error()));
    }
    PutRecovery(t.sql, account, {});
    Execute(t.sql, "DELETE FROM fido_keys WHERE account_id = :account", account.Hex());
    Execute(t.sql, "DELETE FROM security_answers WHERE account_id = :account", account.Hex());
    Execute(t.sql, "DELETE FROM sessions WHERE actor_id = :account", account.Hex());
    Execute(t.sql, "DELETE FROM failures WHERE counter = :counter", counter);
    AppendChained(t.sql, audit);
    return true;
  });
}

}  // namespace keyferry::server
