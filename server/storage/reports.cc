#include <map>
#include <string>

#include "server/storage/key_rows.h"
#include "server/storage/rows.h"
#include "server/storage/sql_store.h"

namespace keyferry::server {
namespace {

// As the index changes_pending has it.
constexpr const char* kNotOver = "state IN ('intent', 'held', 'attempt', 'unknown', 'confirmed')";
// Of a change c that the directory has confirmed: a key will still get it. (What waits for a key
// that went out of use is cancelled.)
constexpr const char* kStillComing =
    "EXISTS (SELECT 1 FROM jobs j WHERE j.change_id = c.change_id AND j.state IN ('ready', "
    "'spooled'))";

struct NamedCount {
  std::string name;
  long long count = 0;
};
struct NamedCountColumns {
  NamedCount row;
  template <typename Prepared>
  void Into(Prepared& p) {
    p, soci::into(row.name), soci::into(row.count);
  }
  NamedCount Read() const { return row; }
};
struct DayColumns {
  long long day = 0, count = 0;
  template <typename Prepared>
  void Into(Prepared& p) {
    p, soci::into(day), soci::into(count);
  }
  DayCount Read() const { return {day * kDayMillis, Unsigned(count)}; }
};
struct ProcessCount {
  std::string process, state;
  long long count = 0;
};
struct ProcessCountColumns {
  ProcessCount row;
  template <typename Prepared>
  void Into(Prepared& p) {
    p, soci::into(row.process), soci::into(row.state), soci::into(row.count);
  }
  ProcessCount Read() const { return row; }
};
struct ReportChangeColumns {
  std::string account, login, actor_login, reason, state, mode;
  long long number = 0, ahead = 0, created = 0, confirmed = 0;
  template <typename Prepared>
  void Into(Prepared& p) {
    p, soci::into(number), soci::into(account), soci::into(login), soci::into(actor_login),
        soci::into(reason), soci::into(state), soci::into(mode), soci::into(ahead),
        soci::into(created), soci::into(confirmed);
  }
  ReportChange Read() const {
    ReportChange out;
    out.number = Unsigned(number);
    out.account = ReadId<AccountId>(account);
    out.login = login;
    out.actor_login = actor_login;
    out.reason = reason;
    out.state = ReadState(state, ChangeState::kSuperseded);
    out.mode = ReadState(mode, ChangeMode::kAtDelivery);
    out.ahead = ahead != 0;
    out.created = created;
    out.confirmed = confirmed;
    return out;
  }
};

struct ReportRequestColumns {
  std::string account, login, agent_login, ticket, reason, state, error;
  long long number = 0, opened = 0, closed = 0;
  template <typename Prepared>
  void Into(Prepared& p) {
    p, soci::into(number), soci::into(account), soci::into(login), soci::into(agent_login),
        soci::into(ticket), soci::into(reason), soci::into(state), soci::into(error),
        soci::into(opened), soci::into(closed);
  }
  ReportRequest Read() const {
    ReportRequest out;
    out.number = Unsigned(number);
    out.account = ReadId<AccountId>(account);
    out.login = login;
    out.agent_login = agent_login;
    out.ticket = ticket;
    out.reason = reason;
    out.state = ReadState(state, HelpDeskState::kBlocked);
    out.error = error;
    out.opened = opened;
    out.closed = closed;
    return out;
  }
};

// As CountProcesses counts them.
const char* EndedAs(const std::optional<RequestEnd>& end) {
  if (!end) return "state IN ('done', 'cancelled', 'expired', 'blocked')";
  switch (*end) {
    case RequestEnd::kCompleted:
      return "state = 'done'";
    case RequestEnd::kFailed:
      return "state IN ('cancelled', 'expired')";
    case RequestEnd::kBlocked:
      break;
  }
  return "state = 'blocked'";
}

// The condition over changes c.
std::string Pending() {
  return std::string("c.") + kNotOver + " AND (c.state <> 'confirmed' OR " + kStillComing + ")";
}
std::string Ahead() {
  return std::string("c.") + kNotOver + " AND c.state = 'confirmed' AND " + kStillComing;
}

long long CountChanges(soci::session& sql, const std::string& condition) {
  return SelectNumber(sql, "SELECT COUNT(*) FROM changes c WHERE " + condition);
}

void CountProcesses(soci::session& sql, std::int64_t since, ReportFigures& out) {
  const long long from = since;
  std::map<HelpDeskProcess, ProcessScore> scores;
  for (const ProcessCount& row : Select<ProcessCountColumns>(
           sql,
           "SELECT process, state, COUNT(*) FROM help_desk_requests WHERE opened >= :since AND "
           "state IN ('done', 'cancelled', 'expired', 'blocked') GROUP BY process, state",
           from)) {
    const auto process = ReadState(row.process, kLastHelpDeskProcess);
    const auto state = ReadState(row.state, HelpDeskState::kBlocked);
    // Closed before anything was chosen.
    if (process == HelpDeskProcess::kNone) continue;
    ProcessScore& score = scores[process];
    score.process = process;
    (state == HelpDeskState::kDone      ? score.completed
     : state == HelpDeskState::kBlocked ? score.blocked
                                        : score.failed) += Unsigned(row.count);
  }
  for (const auto& [unused, score] : scores) out.processes.push_back(score);
}

}  // namespace

Result<ReportFigures> SqlStore::CountReport(std::int64_t since, std::int64_t long_before) {
  return database_.Read([&](soci::session& sql) -> Result<ReportFigures> {
    const long long from = since, begun = long_before;
    ReportFigures out;
    out.pending = Unsigned(CountChanges(sql, Pending()));
    out.ahead = Unsigned(CountChanges(sql, Ahead()));
    out.long_pending = Unsigned(SelectNumber(
        sql, "SELECT COUNT(*) FROM changes c WHERE " + Pending() + " AND c.created < :begun",
        begun));
    out.failed_verifications = Unsigned(
        SelectNumber(sql,
                     "SELECT COUNT(*) FROM audit WHERE action = 'help_desk.verify' AND outcome = "
                     "'wrong' AND time >= :since",
                     from));
    for (const NamedCount& row :
         Select<NamedCountColumns>(sql, "SELECT state, COUNT(*) FROM device_keys GROUP BY state")) {
      out.keys[static_cast<std::size_t>(ReadState(row.name, KeyState::kRevoked))] =
          Unsigned(row.count);
    }
    out.keys_alarmed =
        Unsigned(SelectNumber(sql, "SELECT COUNT(*) FROM device_keys WHERE alarm <> ''"));
    for (const NamedCount& row : Select<NamedCountColumns>(
             sql, "SELECT state, COUNT(*) FROM workstations GROUP BY state")) {
      out.workstations[static_cast<std::size_t>(ReadState(row.name, WorkstationState::kRevoked))] =
          Unsigned(row.count);
    }
    out.set = Select<DayColumns>(
        sql,
        "SELECT confirmed / 86400000, COUNT(*) FROM changes WHERE confirmed > 0 AND confirmed >= "
        ":since GROUP BY confirmed / 86400000",
        from);
    CountProcesses(sql, since, out);
    return out;
  });
}

Result<std::vector<ReportChange>> SqlStore::ListChanges(const ChangeQuery& query) {
  return database_.Read([&](soci::session& sql) -> Result<std::vector<ReportChange>> {
    const long long below =
        query.before == 0 || query.before > INT64_MAX ? INT64_MAX : Signed(query.before);
    const long long from = query.from, until = query.until, limit = Signed(query.limit);
    const std::string begin =
        std::string(
            "SELECT c.number, c.account_id, c.login, c.actor_login, c.reason, c.state, "
            "c.mode, CASE WHEN c.state = 'confirmed' AND ") +
        kStillComing +
        " THEN 1 ELSE 0 END, c.created, c.confirmed FROM changes c WHERE c.number < :below AND ";
    const std::string end = " ORDER BY c.number DESC LIMIT :limit";
    switch (query.list) {
      case ChangeList::kPending:
        return Select<ReportChangeColumns>(sql, begin + Pending() + end, below, limit);
      case ChangeList::kAhead:
        return Select<ReportChangeColumns>(sql, begin + Ahead() + end, below, limit);
      case ChangeList::kLongPending:
        return Select<ReportChangeColumns>(sql, begin + Pending() + " AND c.created < :until" + end,
                                           below, until, limit);
      case ChangeList::kSet:
        break;
    }
    return Select<ReportChangeColumns>(
        sql, begin + "c.confirmed > 0 AND c.confirmed >= :from AND c.confirmed < :until" + end,
        below, from, until, limit);
  });
}

Result<std::vector<ReportRequest>> SqlStore::ListRequests(const RequestQuery& query) {
  return database_.Read([&](soci::session& sql) -> Result<std::vector<ReportRequest>> {
    const long long since = query.since, limit = Signed(query.limit);
    const long long below =
        query.before == 0 || query.before > INT64_MAX ? INT64_MAX : Signed(query.before);
    const std::string process = Name(query.process);
    return Select<ReportRequestColumns>(
        sql,
        std::string("SELECT number, account_id, login, agent_login, ticket, reason, state, error, "
                    "opened, closed FROM help_desk_requests WHERE opened >= :since AND process = "
                    ":process AND ") +
            EndedAs(query.end) + " AND number < :below ORDER BY number DESC LIMIT :limit",
        since, process, below, limit);
  });
}

Result<std::vector<KeyRecord>> SqlStore::KeysPage(const KeyFilter& filter) {
  return database_.Read([&](soci::session& sql) -> Result<std::vector<KeyRecord>> {
    const std::string after = WriteOptionalId(filter.after);
    const std::string state = filter.state ? Name(*filter.state) : "";
    const long long limit = Signed(filter.limit);
    std::string where = "WHERE ";
    where += filter.state ? "state = :state" : ":state = ''";
    if (filter.alarmed) where += " AND alarm <> ''";
    where += after.empty() ? " AND :after = ''"
                           : " AND (display_name, device_id) > (SELECT k.display_name, k.device_id "
                             "FROM device_keys k WHERE k.device_id = :after)";
    return Select<KeyColumns>(sql,
                              SelectKeys(where + " ORDER BY display_name, device_id LIMIT :limit"),
                              state, after, limit);
  });
}

}  // namespace keyferry::server
