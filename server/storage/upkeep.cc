// Leases, rotation policies and mails.
#include "server/storage/rows.h"
#include "server/storage/sql_store.h"

namespace keyferry::server {
namespace {

struct PolicyColumns {
  static constexpr const char* kList =
      "policy_id, name, group_dn, max_age_days, window_from, window_until, notify_days, enabled, "
      "created, last_run, last_result";
  std::string id, name, group, notify, last_result;
  long long max_age = 0, from = 0, until = 0, enabled = 0, created = 0, last_run = 0;
  template <typename Prepared>
  void Into(Prepared& p) {
    p, soci::into(id), soci::into(name), soci::into(group), soci::into(max_age), soci::into(from),
        soci::into(until), soci::into(notify), soci::into(enabled), soci::into(created),
        soci::into(last_run), soci::into(last_result);
  }
  RotationPolicy Read() const {
    RotationPolicy policy;
    policy.id = ReadId<PolicyId>(id);
    policy.name = name;
    policy.group_dn = group;
    policy.max_age_days = max_age;
    policy.window_from = from;
    policy.window_until = until;
    for (std::size_t at = 0; at < notify.size();) {
      std::size_t end = notify.find(',', at);
      if (end == std::string::npos) end = notify.size();
      try {
        policy.notify_days.push_back(std::stoll(notify.substr(at, end - at)));
      } catch (const std::exception&) {
        throw DamagedRow("days " + notify.substr(0, 40));
      }
      at = end + 1;
    }
    policy.enabled = enabled != 0;
    policy.created = created;
    policy.last_run = last_run;
    policy.last_result = last_result;
    return policy;
  }
};

struct MailColumns {
  static constexpr const char* kList =
      "number, mark, recipient, subject, body, state, attempts, created, next_try, sent, "
      "last_error";
  std::string mark, recipient, subject, body, state, last_error;
  long long number = 0, attempts = 0, created = 0, next_try = 0, sent = 0;
  template <typename Prepared>
  void Into(Prepared& p) {
    p, soci::into(number), soci::into(mark), soci::into(recipient), soci::into(subject),
        soci::into(body), soci::into(state), soci::into(attempts), soci::into(created),
        soci::into(next_try), soci::into(sent), soci::into(last_error);
  }
  MailRecord Read() const {
    MailRecord mail;
    mail.number = Unsigned(number);
    mail.mark = mark;
    mail.recipient = recipient;
    mail.subject = subject;
    mail.body = body;
    mail.state = ReadState(state, MailRecord::State::kFailed);
    mail.attempts = static_cast<std::uint32_t>(attempts);
    mail.created = created;
    mail.next_try = next_try;
    mail.sent = sent;
    mail.last_error = last_error;
    return mail;
  }
};

}  // namespace

Result<bool> SqlStore::TakeLease(std::string_view name, std::string_view holder,
                                 std::int64_t millis) {
  return database_.Write([&](Transaction& t) -> Result<bool> {
    const std::string task(name), who(holder), now = database_.backend().Now();
    const long long life = millis;
    if (Execute(t.sql,
                "UPDATE leases SET holder = :who, held_until = " + now +
                    " + :life WHERE name = :name AND (holder = :same OR held_until < " + now + ")",
                who, life, task, who) != 0) {
      return true;
    }
    if (SelectNumber(t.sql, "SELECT COUNT(*) FROM leases WHERE name = :name", task) != 0) {
      t.commit = false;
      return false;
    }
    Execute(t.sql,
            "INSERT INTO leases (name, holder, held_until, position) VALUES (:name, :who, " + now +
                " + :life, 0)",
            task, who, life);
    return true;
  });
}

Result<void> SqlStore::EndLease(std::string_view name, std::string_view holder) {
  return database_.Write([&](Transaction& t) -> Result<void> {
    const std::string task(name), who(holder);
    t.commit =
        Execute(t.sql, "UPDATE leases SET held_until = 0 WHERE name = :name AND holder = :who",
                task, who) != 0;
    return {};
  });
}

Result<std::uint64_t> SqlStore::LeasePosition(std::string_view name) {
  return database_.Read([&](soci::session& sql) -> Result<std::uint64_t> {
    const std::string task(name);
    return Unsigned(SelectNumber(sql, "SELECT position FROM leases WHERE name = :name", task));
  });
}

Result<bool> SqlStore::SetLeasePosition(std::string_view name, std::string_view holder,
                                        std::uint64_t position) {
  return database_.Write([&](Transaction& t) -> Result<bool> {
    const std::string task(name), who(holder);
    const long long value = Signed(position);
    t.commit =
        Execute(t.sql, "UPDATE leases SET position = :value WHERE name = :name AND holder = :who",
                value, task, who) != 0;
    return t.commit;
  });
}

Result<std::vector<RotationPolicy>> SqlStore::Policies() {
  return database_.Read([](soci::session& sql) -> Result<std::vector<RotationPolicy>> {
    return Select<PolicyColumns>(
        sql, std::string("SELECT ") + PolicyColumns::kList + " FROM policies ORDER BY name");
  });
}

Result<void> SqlStore::PutPolicy(const RotationPolicy& policy, const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<void> {
    const std::string id = policy.id.Hex();
    if (SelectNumber(t.sql, "SELECT COUNT(*) FROM policies WHERE name = :name AND policy_id <> :id",
                     policy.name, id) != 0) {
      return Fail(ErrorCode::kConflict, "There is another policy with this name.");
    }
    std::string notify;
    for (const std::int64_t days : policy.notify_days) {
      notify += (notify.empty() ? "" : ",") + std::to_string(days);
    }
    const long long max_age = policy.max_age_days, from = policy.window_from,
                    until = policy.window_until, enabled = policy.enabled, created = policy.created,
                    last_run = policy.last_run;
    if (Execute(t.sql,
                "UPDATE policies SET name = :name, group_dn = :group, max_age_days = :age, "
                "window_from = :from, window_until = :until, notify_days = :notify, enabled = "
                ":enabled, last_run = :run, last_result = :result WHERE policy_id = :id",
                policy.name, policy.group_dn, max_age, from, until, notify, enabled, last_run,
                policy.last_result, id) == 0) {
      Execute(t.sql,
              "INSERT INTO policies (policy_id, name, group_dn, max_age_days, window_from, "
              "window_until, notify_days, enabled, created, last_run, last_result) VALUES (:id, "
              ":name, :group, :age, :from, :until, :notify, :enabled, :created, :run, :result)",
              id, policy.name, policy.group_dn, max_age, from, until, notify, enabled, created,
              last_run, policy.last_result);
    }
    AppendChained(t.sql, audit);
    return {};
  });
}

Result<void> SqlStore::RemovePolicy(const PolicyId& id, const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<void> {
    if (Execute(t.sql, "DELETE FROM policies WHERE policy_id = :id", id.Hex()) == 0) {
      return Fail(ErrorCode::kNotFound, "There is no such policy.");
    }
    AppendChained(t.sql, audit);
    return {};
  });
}

Result<bool> SqlStore::QueueMail(const MailRecord& mail, std::size_t limit,
                                 const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<bool> {
    if (SelectNumber(t.sql, "SELECT COUNT(*) FROM mails WHERE mark = :mark", mail.mark) != 0) {
      t.commit = false;
      return false;
    }
    if (Unsigned(SelectNumber(t.sql, "SELECT COUNT(*) FROM mails WHERE state = 'queued'")) >=
        limit) {
      return Fail(ErrorCode::kRateLimited,
                  "Too many mails wait already; look at the mail server first.");
    }
    const long long created = mail.created, next_try = mail.next_try;
    Execute(t.sql,
            "INSERT INTO mails (mark, recipient, subject, body, state, attempts, created, "
            "next_try, sent, last_error) VALUES (:mark, :recipient, :subject, :body, 'queued', 0, "
            ":created, :next, 0, '')",
            mail.mark, mail.recipient, mail.subject, mail.body, created, next_try);
    AppendChained(t.sql, audit);
    return true;
  });
}

Result<std::vector<MailRecord>> SqlStore::MailsDue(std::int64_t now, std::size_t limit) {
  return database_.Read([&](soci::session& sql) -> Result<std::vector<MailRecord>> {
    const long long moment = now, count = Signed(limit);
    return Select<MailColumns>(sql,
                               std::string("SELECT ") + MailColumns::kList +
                                   " FROM mails WHERE state = 'queued' AND next_try <= :now ORDER "
                                   "BY number LIMIT :count",
                               moment, count);
  });
}

Result<void> SqlStore::MarkMail(const MailRecord& mail, const AuditEntry* audit) {
  return database_.Write([&](Transaction& t) -> Result<void> {
    const std::string state = Name(mail.state);
    const long long number = Signed(mail.number), attempts = mail.attempts,
                    next_try = mail.next_try, sent = mail.sent;
    Execute(t.sql,
            "UPDATE mails SET state = :state, attempts = :attempts, next_try = :next, sent = "
            ":sent, last_error = :error WHERE number = :number AND state = 'queued'",
            state, attempts, next_try, sent, mail.last_error, number);
    if (audit != nullptr) AppendChained(t.sql, *audit);
    return {};
  });
}

Result<MailCounts> SqlStore::CountMails(std::int64_t since) {
  return database_.Read([&](soci::session& sql) -> Result<MailCounts> {
    const long long from = since;
    MailCounts counts;
    counts.queued =
        Unsigned(SelectNumber(sql, "SELECT COUNT(*) FROM mails WHERE state = 'queued'"));
    counts.failed = Unsigned(SelectNumber(
        sql, "SELECT COUNT(*) FROM mails WHERE state = 'failed' AND next_try >= :since", from));
    counts.oldest =
        SelectNumber(sql, "SELECT COALESCE(MIN(created), 0) FROM mails WHERE state = 'queued'");
    const auto last = FirstOf(Select<MailColumns>(
        sql, std::string("SELECT ") + MailColumns::kList +
                 " FROM mails WHERE state <> 'sent' AND last_error <> '' ORDER BY number DESC "
                 "LIMIT 1"));
    if (last) counts.last_error = last->last_error;
    return counts;
  });
}

Result<void> SqlStore::ForgetMails(std::int64_t before) {
  return database_.Write([&](Transaction& t) -> Result<void> {
    const long long moment = before;
    t.commit = Execute(t.sql, "DELETE FROM mails WHERE state <> 'queued' AND created < :before",
                       moment) != 0;
    return {};
  });
}

}  // namespace keyferry::server
