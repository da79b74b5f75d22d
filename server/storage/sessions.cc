#include <algorithm>
#include <string>

#include "server/storage/rows.h"
#include "server/storage/sql_store.h"

namespace keyferry::server {
namespace {

struct SessionColumns {
  std::string actor, login, display_name, csrf;
  long long role = 0, created = 0, expires = 0, idle_until = 0;

  template <typename Prepared>
  void Into(Prepared& p) {
    p, soci::into(actor), soci::into(login), soci::into(display_name), soci::into(role),
        soci::into(csrf), soci::into(created), soci::into(expires), soci::into(idle_until);
  }
  Session Read() const {
    Session session;
    if (!Roles::FromBits(role, &session.actor.roles)) {
      throw DamagedRow("role " + std::to_string(role));
    }
    session.actor.id = ReadId<AccountId>(actor);
    session.actor.login = login;
    session.actor.display_name = display_name;
    session.csrf = csrf;
    session.created = created;
    session.expires = expires;
    session.idle_until = idle_until;
    return session;
  }
};

struct ValueColumn {
  std::string value;
  template <typename Prepared>
  void Into(Prepared& p) {
    p, soci::into(value);
  }
  std::string Read() const { return value; }
};

struct FailureColumns {
  long long failures = 0, first = 0, blocked_until = 0;
  template <typename Prepared>
  void Into(Prepared& p) {
    p, soci::into(failures), soci::into(first), soci::into(blocked_until);
  }
  FailureCount Read() const { return {static_cast<std::uint32_t>(failures), first, blocked_until}; }
};

constexpr const char* kSelectFailures =
    "SELECT failures, first, blocked_until FROM failures WHERE counter = :counter";

FailureCount ReadFailures(soci::session& sql, const std::string& counter) {
  return FirstOf(Select<FailureColumns>(sql, kSelectFailures, counter)).value_or(FailureCount{});
}

}  // namespace

Result<void> SqlStore::AddSession(const StoredSession& stored, std::int64_t now,
                                  const std::vector<std::string>& cleared,
                                  const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<void> {
    const long long moment = now;
    Execute(t.sql, "DELETE FROM sessions WHERE idle_until < :now", moment);
    for (const std::string& counter : cleared) {
      Execute(t.sql, "DELETE FROM failures WHERE counter = :counter", counter);
    }
    const Session& session = stored.session;
    const long long role = session.actor.roles.bits(), created = session.created,
                    expires = session.expires, idle_until = session.idle_until;
    Execute(t.sql,
            "INSERT INTO sessions (token_hash, actor_id, login, display_name, role, csrf, created, "
            "expires, idle_until) VALUES (:hash, :actor, :login, :display_name, :role, :csrf, "
            ":created, :expires, :idle)",
            ToHex(stored.token_hash), session.actor.id.Hex(), session.actor.login,
            session.actor.display_name, role, session.csrf, created, expires, idle_until);
    AppendChained(t.sql, audit);
    return {};
  });
}

Result<std::optional<Session>> SqlStore::FindSession(const Hash32& token_hash) {
  return database_.Read([&](soci::session& sql) -> Result<std::optional<Session>> {
    return FirstOf(Select<SessionColumns>(
        sql,
        "SELECT actor_id, login, display_name, role, csrf, created, expires, idle_until FROM "
        "sessions WHERE token_hash = :hash",
        ToHex(token_hash)));
  });
}

Result<void> SqlStore::RenewSession(const Hash32& token_hash, std::int64_t idle_until) {
  return database_.Write([&](Transaction& t) -> Result<void> {
    const long long until = idle_until;
    t.commit = Execute(t.sql,
                       "UPDATE sessions SET idle_until = :until WHERE token_hash = :hash AND "
                       "idle_until < :same",
                       until, ToHex(token_hash), until) != 0;
    return {};
  });
}

Result<void> SqlStore::EndSession(const Hash32& token_hash, const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<void> {
    t.commit =
        Execute(t.sql, "DELETE FROM sessions WHERE token_hash = :hash", ToHex(token_hash)) != 0;
    if (t.commit) AppendChained(t.sql, audit);
    return {};
  });
}

Result<void> SqlStore::Notice(std::string_view name, std::string_view value,
                              const std::function<AuditEntry(std::string_view before)>& audit) {
  return database_.Write([&](Transaction& t) -> Result<void> {
    const std::string key(name), now(value);
    const std::string before =
        FirstOf(Select<ValueColumn>(t.sql, "SELECT value FROM noticed WHERE name = :name", key))
            .value_or("");
    t.commit = before != now;
    if (!t.commit) return {};
    Execute(t.sql, "DELETE FROM noticed WHERE name = :name", key);
    if (!now.empty()) {
      Execute(t.sql, "INSERT INTO noticed (name, value) VALUES (:name, :value)", key, now);
    }
    AppendChained(t.sql, audit(before));
    return {};
  });
}

Result<FailureCount> SqlStore::FindFailures(std::string_view counter) {
  return database_.Read([&](soci::session& sql) -> Result<FailureCount> {
    return ReadFailures(sql, std::string(counter));
  });
}

Result<void> SqlStore::AddFailure(const std::vector<FailureRule>& rules, std::int64_t now,
                                  const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<void> {
    const long long moment = now;
    Execute(t.sql, "DELETE FROM failures WHERE forget_after < :now", moment);
    for (const FailureRule& rule : rules) {
      FailureCount count = ReadFailures(t.sql, rule.counter);
      if (count.failures == 0 || now - count.first > rule.window) count = {0, now, 0};
      ++count.failures;
      if (count.failures >= rule.limit) {
        // The next run starts when the block ends.
        count = {0, now, now + rule.block};
      }
      const long long failures = count.failures, first = count.first,
                      blocked_until = count.blocked_until,
                      forget_after = std::max(first + rule.window, blocked_until);
      Execute(t.sql, "DELETE FROM failures WHERE counter = :counter", rule.counter);
      Execute(t.sql,
              "INSERT INTO failures (counter, failures, first, blocked_until, forget_after) VALUES "
              "(:counter, :failures, :first, :blocked, :forget)",
              rule.counter, failures, first, blocked_until, forget_after);
    }
    AppendChained(t.sql, audit);
    return {};
  });
}

}  // namespace keyferry::server
