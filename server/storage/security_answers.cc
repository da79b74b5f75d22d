#include "server/storage/rows.h"
#include "server/storage/sql_store.h"

namespace keyferry::server {
namespace {

struct SecurityAnswerColumns {
  std::string question, salt, sealed;
  long long created = 0;

  template <typename Prepared>
  void Into(Prepared& p) {
    p, soci::into(question), soci::into(salt), soci::into(sealed), soci::into(created);
  }
  SecurityAnswer Read() const {
    SecurityAnswer answer;
    answer.question = question;
    answer.salt = salt;
    answer.sealed = ReadBytes(sealed);
    answer.created = created;
    return answer;
  }
};

}  // namespace

Result<std::vector<SecurityAnswer>> SqlStore::SecurityAnswers(const AccountId& account) {
  return database_.Read([&](soci::session& sql) -> Result<std::vector<SecurityAnswer>> {
    return Select<SecurityAnswerColumns>(
        sql,
        "SELECT question, salt, sealed, created FROM security_answers WHERE account_id = :account "
        "ORDER BY question",
        account.Hex());
  });
}

Result<void> SqlStore::PutSecurityAnswers(const AccountId& account,
                                          const std::vector<SecurityAnswer>& answers,
                                          const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<void> {
    Execute(t.sql, "DELETE FROM security_answers WHERE account_id = :account", account.Hex());
    for (const SecurityAnswer& answer : answers) {
      const long long created = answer.created;
      Execute(t.sql,
              "INSERT INTO security_answers (account_id, question, salt, sealed, created) VALUES "
              "(:account, :question, :salt, :sealed, :created)",
              account.Hex(), answer.question, answer.salt, ToBase64(answer.sealed), created);
    }
    AppendChained(t.sql, audit);
    return {};
  });
}

}  // namespace keyferry::server
