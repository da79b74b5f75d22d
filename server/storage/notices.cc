#include <string>

#include "protocol/failpoint.h"
#include "server/storage/rows.h"
#include "server/storage/sql_store.h"

namespace keyferry::server {
namespace {

constexpr const char* kStands = "objected > 0 AND lifted = 0";

struct NoticeColumns {
  static constexpr const char* kList =
      "number, kind, account_id, login, actor_id, done_by, address, device_id, reason, created, "
      "person, manager, sms, attempts, next_try, mailed, last_error, objected, objected_from, "
      "lifted, lifted_by";
  std::string kind, account, login, actor, by, address, device, reason, person, manager, sms,
      last_error, objected_from, lifted_by;
  long long number = 0, created = 0, attempts = 0, next_try = 0, mailed = 0, objected = 0,
            lifted = 0;

  template <typename Prepared>
  void Into(Prepared& p) {
    p, soci::into(number), soci::into(kind), soci::into(account), soci::into(login),
        soci::into(actor), soci::into(by), soci::into(address), soci::into(device),
        soci::into(reason), soci::into(created), soci::into(person), soci::into(manager),
        soci::into(sms), soci::into(attempts), soci::into(next_try), soci::into(mailed),
        soci::into(last_error), soci::into(objected), soci::into(objected_from), soci::into(lifted),
        soci::into(lifted_by);
  }
  NoticeRecord Read() const {
    NoticeRecord out;
    out.number = Unsigned(number);
    out.kind = ReadState(kind, kLastNoticeKind);
    out.account = ReadId<AccountId>(account);
    out.login = login;
    out.actor = ReadOptionalId<AccountId>(actor);
    out.by = by;
    out.address = address;
    out.device = ReadOptionalId<DeviceId>(device);
    out.reason = reason;
    out.created = created;
    out.person = ReadState(person, NoticeRecord::Mail::kFailed);
    out.manager = ReadState(manager, NoticeRecord::Mail::kFailed);
    out.sms = ReadState(sms, NoticeRecord::Mail::kFailed);
    out.attempts = static_cast<std::uint32_t>(attempts);
    out.next_try = next_try;
    out.mailed = mailed;
    out.last_error = last_error;
    out.objected = objected;
    out.objected_from = objected_from;
    out.lifted = lifted;
    out.lifted_by = lifted_by;
    return out;
  }
};

std::string SelectNotices(const std::string& rest) {
  return std::string("SELECT ") + NoticeColumns::kList + " FROM notices " + rest;
}

}  // namespace

bool AccountIsFrozen(soci::session& sql, const std::string& account) {
  return SelectNumber(
             sql,
             std::string("SELECT COUNT(*) FROM notices WHERE account_id = :account AND ") + kStands,
             account) != 0;
}

void PutNotice(soci::session& sql, long long number, const AuditEntry& entry) {
  const NoticeDraft& draft = *entry.notice;
  const std::string kind = Name(draft.kind);
  const long long created = entry.time;
  Execute(
      sql,
      "INSERT INTO notices (number, kind, account_id, login, actor_id, done_by, address, "
      "device_id, reason, created, person, manager, sms, attempts, next_try, mailed, last_error, "
      "objected, objected_from, lifted, lifted_by) VALUES (:number, :kind, :account, :login, "
      ":actor, :by, :address, :device, :reason, :created, 'waiting', 'waiting', 'waiting', 0, "
      ":next, 0, '', 0, '', 0, '')",
      number, kind, draft.account.Hex(), draft.login, WriteOptionalId(draft.actor),
      draft.by.empty() ? entry.actor : draft.by,
      draft.address.empty() ? entry.address : draft.address, WriteOptionalId(draft.device),
      draft.reason, created, created);
  KEYFERRY_FAILPOINT("server.notice.put");
}

Result<std::vector<NoticeRecord>> SqlStore::NoticesDue(std::int64_t now, std::size_t limit) {
  return database_.Read([&](soci::session& sql) -> Result<std::vector<NoticeRecord>> {
    const long long moment = now, count = Signed(limit);
    return Select<NoticeColumns>(
        sql,
        SelectNotices("WHERE (person = 'waiting' OR manager = 'waiting' OR sms = 'waiting') AND "
                      "next_try <= :now ORDER BY number LIMIT :count"),
        moment, count);
  });
}

Result<void> SqlStore::MarkNotice(const NoticeRecord& notice,
                                  const std::vector<AuditEntry>& audits) {
  return database_.Write([&](Transaction& t) -> Result<void> {
    const std::string person = Name(notice.person), manager = Name(notice.manager),
                      sms = Name(notice.sms);
    const long long number = Signed(notice.number), attempts = notice.attempts,
                    next_try = notice.next_try, mailed = notice.mailed;
    Execute(
        t.sql,
        "UPDATE notices SET person = :person, manager = :manager, sms = :sms, attempts = "
        ":attempts, next_try = :next, mailed = :mailed, last_error = :error WHERE number = :number",
        person, manager, sms, attempts, next_try, mailed, notice.last_error, number);
    for (const AuditEntry& audit : audits) AppendChained(t.sql, audit);
    return {};
  });
}

Result<std::optional<NoticeRecord>> SqlStore::FindNotice(std::uint64_t number) {
  return database_.Read([&](soci::session& sql) -> Result<std::optional<NoticeRecord>> {
    const long long wanted = Signed(number);
    return FirstOf(Select<NoticeColumns>(sql, SelectNotices("WHERE number = :number"), wanted));
  });
}

Result<std::vector<NoticeRecord>> SqlStore::NoticesOf(const AccountId& account, std::size_t limit) {
  return database_.Read([&](soci::session& sql) -> Result<std::vector<NoticeRecord>> {
    const long long count = Signed(limit);
    return Select<NoticeColumns>(
        sql, SelectNotices("WHERE account_id = :account ORDER BY number DESC LIMIT :count"),
        account.Hex(), count);
  });
}

Result<bool> SqlStore::ObjectTo(std::uint64_t number, std::string_view from, std::int64_t time,
                                const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<bool> {
    const long long wanted = Signed(number), now = time;
    t.commit = Execute(t.sql,
                       "UPDATE notices SET objected = :now, objected_from = :from WHERE number = "
                       ":number AND objected = 0",
                       now, std::string(from), wanted) == 1;
    if (!t.commit) return false;
    AppendChained(t.sql, audit);
    return true;
  });
}

Result<std::vector<NoticeRecord>> SqlStore::StandingObjections() {
  return database_.Read([&](soci::session& sql) -> Result<std::vector<NoticeRecord>> {
    return Select<NoticeColumns>(
        sql, SelectNotices(std::string("WHERE ") + kStands + " ORDER BY objected, number"));
  });
}

Result<bool> SqlStore::IsFrozen(const AccountId& account) {
  return database_.Read(
      [&](soci::session& sql) -> Result<bool> { return AccountIsFrozen(sql, account.Hex()); });
}

Result<bool> SqlStore::LiftObjection(std::uint64_t number, std::string_view by, std::int64_t time,
                                     const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<bool> {
    const long long wanted = Signed(number), now = time;
    t.commit = Execute(t.sql,
                       std::string("UPDATE notices SET lifted = :now, lifted_by = :by WHERE number "
                                   "= :number AND ") +
                           kStands,
                       now, std::string(by), wanted) == 1;
    if (!t.commit) return false;
    AppendChained(t.sql, audit);
    return true;
  });
}

Result<void> SqlStore::ForgetNotices(std::int64_t before) {
  return database_.Write([&](Transaction& t) -> Result<void> {
    const long long moment = before;
    t.commit = Execute(t.sql,
                       std::string("DELETE FROM notices WHERE created < :before AND NOT (") +
                           kStands + ")",
                       moment) != 0;
    return {};
  });
}

}  // namespace keyferry::server
