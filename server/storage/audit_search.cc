// Looking for rows of the audit log, filters that people keep, and the warning about blocked
// people.
#include <algorithm>
#include <string>

#include "server/storage/audit_rows.h"
#include "server/storage/rows.h"
#include "server/storage/sql_store.h"

namespace keyferry::server {
namespace {

// The clocks of servers on one database differ by less.
constexpr long long kClockSlack = 86'400'000;
constexpr long long kKeepBlocked = 86'400'000;

std::string LowerCase(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

// A pattern of LIKE with ! before what is meant as it is.
std::string Escaped(const std::string& text, bool wild) {
  std::string out;
  for (const char c : LowerCase(text)) {
    if (wild && (c == '*' || c == '?')) {
      out += c == '*' ? '%' : '_';
      continue;
    }
    if (c == '%' || c == '_' || c == '!') out += '!';
    out += c;
  }
  return out;
}

long long Newest(soci::session& sql) {
  return SelectNumber(sql, "SELECT COALESCE(MAX(number), 0) FROM audit");
}

// The row from which on upwards all times are at or after `from`.
long long FirstNumber(soci::session& sql, long long from) {
  const long long slack = from + kClockSlack;
  const long long near = SelectNumber(
      sql, "SELECT COALESCE(MIN(number), 0) FROM audit WHERE time >= :from AND time < :until", from,
      slack);
  if (near != 0) return near;
  const long long next = SelectNumber(
      sql, "SELECT number FROM audit WHERE time >= :from ORDER BY time, number LIMIT 1", from);
  return next != 0 ? next : Newest(sql) + 1;
}

// The row down from which all times are before `until`.
long long LastNumber(soci::session& sql, long long until) {
  const long long slack = until - kClockSlack;
  const long long near = SelectNumber(
      sql, "SELECT COALESCE(MAX(number), 0) FROM audit WHERE time < :until AND time >= :from",
      until, slack);
  if (near != 0) return near;
  return SelectNumber(
      sql, "SELECT number FROM audit WHERE time < :until ORDER BY time DESC, number DESC LIMIT 1",
      until);
}

struct SavedFilterColumns {
  std::string id, owner, name, query;
  template <typename Prepared>
  void Into(Prepared& p) {
    p, soci::into(id), soci::into(owner), soci::into(name), soci::into(query);
  }
  SavedAuditFilter Read() const {
    return {ReadId<AuditFilterId>(id), ReadId<AccountId>(owner), name, query};
  }
};

struct WarningColumns {
  std::string id, by;
  long long people = 0, since = 0, raised = 0, acknowledged = 0;
  template <typename Prepared>
  void Into(Prepared& p) {
    p, soci::into(id), soci::into(people), soci::into(since), soci::into(raised),
        soci::into(acknowledged), soci::into(by);
  }
  Warning Read() const {
    return {ReadId<WarningId>(id), Unsigned(people), since, raised, acknowledged, by};
  }
};

}  // namespace

Result<AuditStore::Matches> SqlStore::MatchAudit(const AuditFilter& filter,
                                                 const AuditWindow& window) {
  return database_.Read([&](soci::session& sql) -> Result<Matches> {
    long long low = SelectNumber(sql, "SELECT COALESCE(MIN(number), 1) FROM audit");
    long long high = Newest(sql);
    if (filter.from != 0) low = std::max(low, FirstNumber(sql, filter.from));
    if (filter.until != 0) high = std::min(high, LastNumber(sql, filter.until));
    const long long edge = Signed(std::min<std::uint64_t>(window.edge, INT64_MAX / 2));
    const long long most = Signed(window.most_read);
    if (window.newest_first) {
      if (edge != 0) high = std::min(high, edge - 1);
    } else {
      low = std::max(low, edge + 1);
    }
    Matches out;
    out.edge = window.edge;
    if (low > high) return out;
    const bool all = high - low < most;
    if (!all)
      (window.newest_first ? low : high) = window.newest_first ? high - most + 1 : low + most - 1;
    const std::string actor = Escaped(filter.actor, true), action = Escaped(filter.action, true),
                      target = Escaped(filter.target, true),
                      ticket = filter.ticket.empty()
                                   ? std::string()
                                   : "%ticket " + Escaped(filter.ticket, false) + ": %";
    const long long from = filter.from, until = filter.until == 0 ? INT64_MAX : filter.until,
                    limit = Signed(window.limit);
    out.rows = Select<AuditColumns>(
        sql,
        std::string("SELECT ") + AuditColumns::kList +
            " FROM audit WHERE number >= :low AND number <= :high AND time >= :from AND time < "
            ":until AND (:actor = '' OR LOWER(actor) LIKE :actor_is ESCAPE '!') AND (:action = '' "
            "OR LOWER(action) LIKE :action_is ESCAPE '!') AND (:target = '' OR LOWER(target) LIKE "
            ":target_is ESCAPE '!') AND (:outcome = '' OR (:outcome_other = 'other' AND outcome <> "
            "'ok') OR outcome = :outcome_is) AND (:ticket = '' OR LOWER(detail) LIKE :ticket_is "
            "ESCAPE '!') ORDER BY number " +
            (window.newest_first ? "DESC" : "ASC") + " LIMIT :limit",
        low, high, from, until, actor, actor, action, action, target, target, filter.outcome,
        filter.outcome, filter.outcome, ticket, ticket, limit);
    if (out.rows.size() == window.limit) {
      out.edge = out.rows.back().number;
      out.more = window.newest_first ? out.edge > Unsigned(low) || !all
                                     : out.edge < Unsigned(high) || !all;
    } else {
      out.edge = Unsigned(window.newest_first ? low : high);
      out.more = !all;
    }
    return out;
  });
}

Result<std::vector<SavedAuditFilter>> SqlStore::AuditFilters(const AccountId& owner) {
  return database_.Read([&](soci::session& sql) -> Result<std::vector<SavedAuditFilter>> {
    return Select<SavedFilterColumns>(sql,
                                      "SELECT filter_id, owner_id, name, query FROM audit_filters "
                                      "WHERE owner_id = :owner ORDER BY name",
                                      owner.Hex());
  });
}

Result<void> SqlStore::SaveAuditFilter(const SavedAuditFilter& filter, std::size_t most,
                                       const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<void> {
    const std::string owner = filter.owner.Hex();
    Execute(t.sql, "DELETE FROM audit_filters WHERE owner_id = :owner AND name = :name", owner,
            filter.name);
    if (Unsigned(SelectNumber(t.sql, "SELECT COUNT(*) FROM audit_filters WHERE owner_id = :owner",
                              owner)) >= most) {
      t.commit = false;
      return Fail(ErrorCode::kConflict,
                  "You keep as many filters as there may be; remove one first.");
    }
    Execute(t.sql,
            "INSERT INTO audit_filters (filter_id, owner_id, name, query) VALUES (:id, :owner, "
            ":name, :query)",
            filter.id.Hex(), owner, filter.name, filter.query);
    AppendChained(t.sql, audit);
    return {};
  });
}

Result<void> SqlStore::ForgetAuditFilter(const AccountId& owner, const AuditFilterId& id,
                                         const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<void> {
    if (Execute(t.sql, "DELETE FROM audit_filters WHERE owner_id = :owner AND filter_id = :id",
                owner.Hex(), id.Hex()) == 0) {
      t.commit = false;
      return Fail(ErrorCode::kNotFound, "There is no such filter.");
    }
    AppendChained(t.sql, audit);
    return {};
  });
}

void NoteBlocked(soci::session& sql, const std::string& account, std::int64_t time) {
  const long long now = time, old = time - kKeepBlocked;
  Execute(sql, "DELETE FROM blocked_people WHERE blocked < :old", old);
  Execute(sql, "INSERT INTO blocked_people (account_id, blocked) VALUES (:account, :now)", account,
          now);
}

Result<std::uint64_t> SqlStore::CountBlocked(std::int64_t since) {
  return database_.Read([&](soci::session& sql) -> Result<std::uint64_t> {
    const long long from = since;
    return Unsigned(SelectNumber(
        sql, "SELECT COUNT(DISTINCT account_id) FROM blocked_people WHERE blocked > :since", from));
  });
}

Result<std::optional<Warning>> SqlStore::NewestWarning() {
  return database_.Read([](soci::session& sql) -> Result<std::optional<Warning>> {
    return FirstOf(
        Select<WarningColumns>(sql,
                               "SELECT warning_id, people, since, raised, acknowledged, "
                               "acknowledged_by FROM warnings ORDER BY number DESC LIMIT 1"));
  });
}

Result<bool> SqlStore::RaiseWarning(const Warning& warning, const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<bool> {
    const long long people = Signed(warning.people), since = warning.since, raised = warning.raised;
    // Only where none stands; of two servers that come at once the index warnings_standing lets
    // one through.
    t.commit = SelectNumber(t.sql, "SELECT COUNT(*) FROM warnings WHERE acknowledged = 0") == 0 &&
               Execute(t.sql,
                       "INSERT INTO warnings (warning_id, people, since, raised, acknowledged, "
                       "acknowledged_by, standing) VALUES (:id, :people, :since, :raised, 0, '', "
                       "1) ON CONFLICT DO NOTHING",
                       warning.id.Hex(), people, since, raised) != 0;
    if (t.commit) AppendChained(t.sql, audit);
    return t.commit;
  });
}

Result<bool> SqlStore::AcknowledgeWarning(const WarningId& id, const std::string& by,
                                          std::int64_t time, const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<bool> {
    const long long now = time;
    t.commit = Execute(t.sql,
                       "UPDATE warnings SET acknowledged = :now, acknowledged_by = :by, standing = "
                       "0 WHERE warning_id = :id AND standing = 1",
                       now, by, id.Hex()) != 0;
    if (t.commit) AppendChained(t.sql, audit);
    return t.commit;
  });
}

}  // namespace keyferry::server
