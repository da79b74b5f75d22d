#include <string>

#include "server/storage/rows.h"
#include "server/storage/sql_store.h"

namespace keyferry::server {
namespace {

struct AlarmColumns {
  std::string raised_by, raised_login, reason, agreed_by, agreed_login, ended_login;
  long long number = 0, version = 0, raised = 0, agreed = 0, ended = 0;

  template <typename Prepared>
  void Into(Prepared& p) {
    p, soci::into(number), soci::into(version), soci::into(raised_by), soci::into(raised_login),
        soci::into(raised), soci::into(reason), soci::into(agreed_by), soci::into(agreed_login),
        soci::into(agreed), soci::into(ended_login), soci::into(ended);
  }
  AlarmRecord Read() const {
    AlarmRecord out;
    out.number = Unsigned(number);
    out.version = Unsigned(version);
    out.raised_by = ReadOptionalId<AccountId>(raised_by);
    out.raised_login = raised_login;
    out.raised = raised;
    out.reason = reason;
    out.agreed_by = ReadOptionalId<AccountId>(agreed_by);
    out.agreed_login = agreed_login;
    out.agreed = agreed;
    out.ended_login = ended_login;
    out.ended = ended;
    return out;
  }
};

}  // namespace

bool AlarmStands(soci::session& sql) {
  return SelectNumber(sql, "SELECT COUNT(*) FROM alarms WHERE ended = 0") != 0;
}

Result<std::vector<AlarmRecord>> SqlStore::Alarms(std::size_t limit) {
  return database_.Read([&](soci::session& sql) -> Result<std::vector<AlarmRecord>> {
    const long long most = static_cast<long long>(limit);
    return Select<AlarmColumns>(
        sql,
        "SELECT number, version, raised_by, raised_login, raised, reason, agreed_by, agreed_login, "
        "agreed, ended_login, ended FROM alarms ORDER BY number DESC LIMIT :most",
        most);
  });
}

Result<bool> SqlStore::BeginAlarm(const AlarmRecord& alarm, const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<bool> {
    t.commit = !AlarmStands(t.sql);
    if (!t.commit) return false;
    const long long raised = alarm.raised;
    Execute(t.sql,
            "INSERT INTO alarms (version, raised_by, raised_login, raised, reason, agreed_by, "
            "agreed_login, agreed, ended_login, ended) VALUES (1, :by, :login, :raised, :reason, "
            "'', '', 0, '', 0)",
            WriteOptionalId(alarm.raised_by), alarm.raised_login, raised, alarm.reason);
    AppendChained(t.sql, audit);
    return true;
  });
}

Result<bool> SqlStore::MoveAlarm(const AlarmRecord& alarm, std::uint64_t former,
                                 const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<bool> {
    const long long number = Signed(alarm.number), version = Signed(former),
                    next = Signed(former) + 1, agreed = alarm.agreed, ended = alarm.ended;
    t.commit = Execute(t.sql,
                       "UPDATE alarms SET version = :next, agreed_by = :by, agreed_login = :login, "
                       "agreed = :agreed, ended_login = :ended_login, ended = :ended WHERE number "
                       "= :number AND version = :version AND ended = 0",
                       next, WriteOptionalId(alarm.agreed_by), alarm.agreed_login, agreed,
                       alarm.ended_login, ended, number, version) == 1;
    if (!t.commit) return false;
    AppendChained(t.sql, audit);
    return true;
  });
}

}  // namespace keyferry::server
