#include <algorithm>
#include <string>

#include "server/storage/rows.h"
#include "server/storage/session_rows.h"
#include "server/storage/sql_store.h"

namespace keyferry::server {
namespace {

struct SessionColumns {
  static constexpr const char* kList =
      "session_id, actor_id, login, display_name, role, stage, csrf, created, expires, idle_until, "
      "proven, checked, asked, address, browser";

  std::string id, actor, login, display_name, csrf, address, browser;
  long long role = 0, stage = 0, created = 0, expires = 0, idle_until = 0, proven = 0, checked = 0,
            asked = 0;

  template <typename Prepared>
  void Into(Prepared& p) {
    p, soci::into(id), soci::into(actor), soci::into(login), soci::into(display_name),
        soci::into(role), soci::into(stage), soci::into(csrf), soci::into(created),
        soci::into(expires), soci::into(idle_until), soci::into(proven), soci::into(checked),
        soci::into(asked), soci::into(address), soci::into(browser);
  }
  Session Read() const {
    Session session;
    if (!Roles::FromBits(role, &session.actor.roles)) {
      throw DamagedRow("role " + std::to_string(role));
    }
    if (stage < 0 || stage > static_cast<long long>(SessionStage::kSetUpOwed)) {
      throw DamagedRow("stage " + std::to_string(stage));
    }
    session.id = ReadId<SessionId>(id);
    session.actor.id = ReadId<AccountId>(actor);
    session.actor.login = login;
    session.actor.display_name = display_name;
    session.stage = static_cast<SessionStage>(stage);
    session.csrf = csrf;
    session.created = created;
    session.expires = expires;
    session.idle_until = idle_until;
    session.proven = proven;
    session.checked = checked;
    session.asked = asked;
    session.address = address;
    session.browser = browser;
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

void InsertSession(soci::session& sql, const StoredSession& stored) {
  const Session& session = stored.session;
  const long long role = session.actor.roles.bits(), stage = static_cast<long long>(session.stage),
                  created = session.created, expires = session.expires,
                  idle_until = session.idle_until, proven = session.proven,
                  checked = session.checked, asked = session.asked;
  Execute(sql,
          std::string("INSERT INTO sessions (token_hash, ") + SessionColumns::kList +
              ") VALUES (:hash, :id, :actor, :login, :display_name, :role, :stage, :csrf, "
              ":created, :expires, :idle, :proven, :checked, :asked, :address, :browser)",
          ToHex(stored.token_hash), session.id.Hex(), session.actor.id.Hex(), session.actor.login,
          session.actor.display_name, role, stage, session.csrf, created, expires, idle_until,
          proven, checked, asked, session.address, session.browser);
}

}  // namespace

bool SwapSessionRows(soci::session& sql, const SessionSwap& swap) {
  if (Execute(sql, "DELETE FROM sessions WHERE token_hash = :hash", ToHex(swap.former)) != 1) {
    return false;
  }
  InsertSession(sql, swap.fresh);
  return true;
}

Result<void> SqlStore::AddSession(const StoredSession& stored, std::int64_t now,
                                  const std::vector<std::string>& cleared,
                                  const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<void> {
    const long long moment = now;
    Execute(t.sql, "DELETE FROM sessions WHERE idle_until < :now", moment);
    for (const std::string& counter : cleared) {
      Execute(t.sql, "DELETE FROM failures WHERE counter = :counter", counter);
    }
    InsertSession(t.sql, stored);
    AppendChained(t.sql, audit);
    return {};
  });
}

Result<std::optional<Session>> SqlStore::FindSession(const Hash32& token_hash) {
  return database_.Read([&](soci::session& sql) -> Result<std::optional<Session>> {
    return FirstOf(Select<SessionColumns>(
        sql,
        std::string("SELECT ") + SessionColumns::kList + " FROM sessions WHERE token_hash = :hash",
        ToHex(token_hash)));
  });
}

Result<std::vector<Session>> SqlStore::Sessions(std::int64_t now) {
  return database_.Read([&](soci::session& sql) -> Result<std::vector<Session>> {
    const long long moment = now;
    return Select<SessionColumns>(
        sql,
        std::string("SELECT ") + SessionColumns::kList +
            " FROM sessions WHERE idle_until > :now AND expires > :same AND stage = 0 ORDER BY "
            "created, session_id",
        moment, moment);
  });
}

Result<std::vector<Session>> SqlStore::SessionsOf(const AccountId& account, std::int64_t now) {
  return database_.Read([&](soci::session& sql) -> Result<std::vector<Session>> {
    const long long moment = now;
    return Select<SessionColumns>(
        sql,
        std::string("SELECT ") + SessionColumns::kList +
            " FROM sessions WHERE actor_id = :actor AND idle_until > :now AND expires > :same AND "
            "stage = 0 ORDER BY created, session_id",
        account.Hex(), moment, moment);
  });
}

Result<std::size_t> SqlStore::EndSessions(const AccountId& account,
                                          const std::optional<SessionId>& only,
                                          const std::optional<SessionId>& kept,
                                          const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<std::size_t> {
    const long long gone =
        only ? Execute(t.sql,
                       "DELETE FROM sessions WHERE actor_id = :actor AND session_id = :session",
                       account.Hex(), only->Hex())
             : Execute(t.sql,
                       "DELETE FROM sessions WHERE actor_id = :actor AND session_id <> :session",
                       account.Hex(), kept ? kept->Hex() : std::string("none"));
    t.commit = gone > 0;
    if (t.commit) AppendChained(t.sql, audit);
    return static_cast<std::size_t>(gone);
  });
}

Result<bool> SqlStore::ClaimSessionCheck(const Hash32& token_hash, std::int64_t former,
                                         std::int64_t now) {
  return database_.Write([&](Transaction& t) -> Result<bool> {
    const long long before = former, moment = now;
    t.commit =
        Execute(t.sql,
                "UPDATE sessions SET asked = :now WHERE token_hash = :hash AND asked = :former",
                moment, ToHex(token_hash), before) != 0;
    return t.commit;
  });
}

Result<void> SqlStore::NoteSessionCheck(const Hash32& token_hash, std::int64_t now) {
  return database_.Write([&](Transaction& t) -> Result<void> {
    const long long moment = now;
    t.commit = Execute(t.sql, "UPDATE sessions SET checked = :now WHERE token_hash = :hash", moment,
                       ToHex(token_hash)) != 0;
    return {};
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
        // Counters of one account are named after what was tried: "account/", "factor/".
        const std::size_t slash = rule.counter.find('/');
        const auto account = AccountId::Parse(std::string_view(rule.counter).substr(slash + 1));
        if (account) NoteBlocked(t.sql, account->Hex(), now);
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
