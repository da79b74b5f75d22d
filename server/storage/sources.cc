#include <algorithm>
#include <iterator>

#include "protocol/failpoint.h"
#include "server/core/audit_entry.h"
#include "server/storage/rows.h"
#include "server/storage/source_rows.h"
#include "server/storage/sql_store.h"

namespace keyferry::server {
namespace {

struct SourceColumns {
  static constexpr const char* kList =
      "s.change_id, s.name, s.account_id, s.login, s.dn, s.state, s.error, s.error_code, s.server, "
      "s.password_last_set, s.password_version, s.server_time, s.attempted, s.confirmed";

  std::string change, name, account, login, dn, state, error, error_code, server;
  long long last_set = 0, version = 0, server_time = 0, attempted = 0, confirmed = 0;

  template <typename Prepared>
  void Into(Prepared& p) {
    p, soci::into(change), soci::into(name), soci::into(account), soci::into(login), soci::into(dn),
        soci::into(state), soci::into(error), soci::into(error_code), soci::into(server),
        soci::into(last_set), soci::into(version), soci::into(server_time), soci::into(attempted),
        soci::into(confirmed);
  }
  SourceRecord Read() const {
    SourceRecord source;
    source.change = ReadId<ChangeId>(change);
    source.name = name;
    source.account = ReadId<AccountId>(account);
    source.login = login;
    source.dn = dn;
    source.state = ReadState(state, SourceState::kSuperseded);
    source.error = error;
    source.error_code = ReadErrorCode(error_code);
    source.server = server;
    source.password_last_set = last_set;
    source.password_version = static_cast<std::uint32_t>(version);
    source.server_time = server_time;
    source.attempted = attempted;
    source.confirmed = confirmed;
    return source;
  }
};

struct ChangeIdColumn {
  std::string id;
  template <typename Prepared>
  void Into(Prepared& p) {
    p, soci::into(id);
  }
  ChangeId Read() const { return ReadId<ChangeId>(id); }
};

}  // namespace

ErrorCode ReadErrorCode(const std::string& name) {
  for (int i = 0; i <= static_cast<int>(ErrorCode::kInternal); ++i) {
    if (name == OutcomeName(static_cast<ErrorCode>(i))) return static_cast<ErrorCode>(i);
  }
  throw DamagedRow("error code " + name.substr(0, 40));
}

void InsertSources(soci::session& sql, const ChangeRecord& change) {
  const long long none = 0;
  for (const SourceRecord& source : change.sources) {
    const std::string state = Name(SourceState::kPlanned), code = OutcomeName(ErrorCode::kInternal),
                      nothing;
    Execute(sql,
            "INSERT INTO change_sources (change_id, name, account_id, login, dn, state, error, "
            "error_code, server, password_last_set, password_version, server_time, attempted, "
            "confirmed) VALUES (:change, :name, :account, :login, :dn, :state, :error, :code, "
            ":server, :last_set, :version, :server_time, :attempted, :confirmed)",
            change.id.Hex(), source.name, source.account.Hex(), source.login, source.dn, state,
            nothing, code, nothing, none, none, none, none, none);
  }
}

std::optional<ChangeId> ChangeWithOpenSources(soci::session& sql, const AccountId& account) {
  return FirstOf(Select<ChangeIdColumn>(
      sql,
      "SELECT s.change_id FROM change_sources s JOIN changes c ON c.change_id = s.change_id WHERE "
      "c.account_id = :account AND s.state IN ('planned', 'attempt', 'unknown') AND c.state NOT IN "
      "('intent', 'held', 'attempt', 'unknown') ORDER BY s.number LIMIT 1",
      account.Hex()));
}

void LeaveSources(soci::session& sql, const ChangeId& change, const char* reason) {
  const std::string why = reason, code = OutcomeName(ErrorCode::kUnavailable);
  Execute(sql,
          "UPDATE change_sources SET state = 'not_set', error = :why, error_code = :code WHERE "
          "change_id = :change AND state = 'planned'",
          why, code, change.Hex());
}

Result<void> SqlStore::MoveSource(const SourceRecord& source, SourceState from,
                                  const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<void> {
    const std::string state = Name(source.state), former = Name(from),
                      code = OutcomeName(source.error_code);
    const long long last_set = source.password_last_set, version = source.password_version,
                    server_time = source.server_time, attempted = source.attempted,
                    confirmed = source.confirmed;
    if (Execute(t.sql,
                "UPDATE change_sources SET state = :state, error = :error, error_code = :code, "
                "server = :server, password_last_set = :last_set, password_version = :version, "
                "server_time = :server_time, attempted = :attempted, confirmed = :confirmed WHERE "
                "change_id = :change AND name = :name AND state = :former AND EXISTS (SELECT 1 "
                "FROM changes c WHERE c.change_id = change_sources.change_id AND" +
                    Mine("c") + ")",
                state, source.error, code, source.server, last_set, version, server_time, attempted,
                confirmed, source.change.Hex(), source.name, former, node_) == 0) {
      return Fail(ErrorCode::kConflict, "This password source has already been settled.");
    }
    AppendChained(t.sql, audit);
    KEYFERRY_FAILPOINT("server.source.before_commit");
    return {};
  });
}

Result<std::vector<SourceRecord>> SqlStore::SourcesOf(std::span<const ChangeId> changes) {
  return database_.Read([&](soci::session& sql) -> Result<std::vector<SourceRecord>> {
    constexpr std::size_t kAtOnce = 200;
    std::vector<SourceRecord> out;
    for (std::size_t from = 0; from < changes.size(); from += kAtOnce) {
      std::string list;  // hex digits alone
      for (const ChangeId& id : changes.subspan(from, std::min(kAtOnce, changes.size() - from))) {
        list += (list.empty() ? "'" : ", '") + id.Hex() + "'";
      }
      auto rows = Select<SourceColumns>(sql, std::string("SELECT ") + SourceColumns::kList +
                                                 " FROM change_sources s WHERE s.change_id IN (" +
                                                 list + ") ORDER BY s.number");
      std::move(rows.begin(), rows.end(), std::back_inserter(out));
    }
    return out;
  });
}

Result<std::vector<ChangeId>> SqlStore::OpenSources() {
  return database_.Read([&](soci::session& sql) -> Result<std::vector<ChangeId>> {
    auto ids = Select<ChangeIdColumn>(
        sql,
        "SELECT s.change_id FROM change_sources s JOIN changes c ON c.change_id = s.change_id "
        "WHERE s.state IN ('planned', 'attempt', 'unknown') AND c.state NOT IN ('intent', 'held', "
        "'attempt', 'unknown') AND" +
            Mine("c") + " ORDER BY s.number",
        node_);
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
    return ids;
  });
}

}  // namespace keyferry::server
