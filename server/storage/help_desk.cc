#include <string>

#include "server/storage/approval_rows.h"
#include "server/storage/rows.h"
#include "server/storage/sql_store.h"
#include "server/storage/webhook_rows.h"

namespace keyferry::server {
namespace {

struct HelpDeskColumns {
  static constexpr const char* kList =
      "request_id, agent_id, agent_login, account_id, login, display_name, process, reason, "
      "ticket, state, error, privileged, change_id, acts, version, opened, expires, acted, closed, "
      "mailed";

  std::string id, agent, agent_login, account, login, display_name, process, reason, ticket, state,
      error, change;
  long long privileged = 0, acts = 0, version = 0, opened = 0, expires = 0, acted = 0, closed = 0,
            mailed = 0;

  template <typename Prepared>
  void Into(Prepared& p) {
    p, soci::into(id), soci::into(agent), soci::into(agent_login), soci::into(account),
        soci::into(login), soci::into(display_name), soci::into(process), soci::into(reason),
        soci::into(ticket), soci::into(state), soci::into(error), soci::into(privileged),
        soci::into(change), soci::into(acts), soci::into(version), soci::into(opened),
        soci::into(expires), soci::into(acted), soci::into(closed), soci::into(mailed);
  }
  HelpDeskRequest Read() const {
    HelpDeskRequest out;
    out.id = ReadId<HelpDeskId>(id);
    out.agent = ReadId<AccountId>(agent);
    out.agent_login = agent_login;
    out.account = ReadId<AccountId>(account);
    out.login = login;
    out.display_name = display_name;
    out.process = ReadState(process, kLastHelpDeskProcess);
    out.reason = reason;
    out.ticket = ticket;
    out.state = ReadState(state, HelpDeskState::kBlocked);
    out.error = error;
    out.privileged = privileged != 0;
    out.change = ReadOptionalId<ChangeId>(change);
    out.acts = static_cast<std::uint32_t>(acts);
    out.version = Unsigned(version);
    out.opened = opened;
    out.expires = expires;
    out.acted = acted;
    out.closed = closed;
    out.mailed = mailed;
    return out;
  }
};

struct HelpDeskAttemptColumns {
  static constexpr const char* kList =
      "number, method, state, salt, code_hash, challenge, read_out, asked_by, approver_id, denied, "
      "created, expires";

  std::string method, state, salt, hash, challenge, read_out, asked_by, approver;
  long long number = 0, denied = 0, created = 0, expires = 0;

  template <typename Prepared>
  void Into(Prepared& p) {
    p, soci::into(number), soci::into(method), soci::into(state), soci::into(salt),
        soci::into(hash), soci::into(challenge), soci::into(read_out), soci::into(asked_by),
        soci::into(approver), soci::into(denied), soci::into(created), soci::into(expires);
  }
  HelpDeskAttempt Read() const {
    HelpDeskAttempt out;
    out.number = Unsigned(number);
    out.method = ReadState(method, kLastHelpDeskMethod);
    out.state = ReadState(state, HelpDeskAttemptState::kVoid);
    out.salt = salt;
    out.hash = hash;
    out.challenge = challenge;
    out.read_out = read_out;
    out.asked_by = asked_by;
    out.approver = ReadOptionalId<AccountId>(approver);
    out.denied = denied != 0;
    out.created = created;
    out.expires = expires;
    return out;
  }
};

// As the index help_desk_open has it.
constexpr const char* kOpenHelpDesk =
    "state IN ('identified', 'verifying', 'verified', 'acting', 'acted')";

std::string SelectHelpDesk(const std::string& rest) {
  return std::string("SELECT ") + HelpDeskColumns::kList + " FROM help_desk_requests " + rest;
}

long long CountCarriedOut(soci::session& sql, const AccountId& account, HelpDeskProcess process,
                          std::int64_t since, const HelpDeskId& but) {
  const long long moment = since;
  const std::string name = Name(process), id = but.Hex();
  return SelectNumber(
      sql,
      "SELECT COUNT(*) FROM help_desk_requests WHERE account_id = :account AND process = :process "
      "AND (acted > :since OR (state = 'blocked' AND closed > :same)) AND request_id <> :id",
      account.Hex(), name, moment, moment, id);
}

// Codes that were sent: the answers to them are rows of their own.
constexpr const char* kSentBySms =
    "FROM help_desk_attempts WHERE method = 'sms_code' AND state IN ('waiting', 'void') AND "
    "created > :since";

long long CountSms(soci::session& sql, std::int64_t since) {
  const long long moment = since;
  return SelectNumber(sql, std::string("SELECT COUNT(*) ") + kSentBySms, moment);
}

long long CountSmsOf(soci::session& sql, const AccountId& account, std::int64_t since) {
  const long long moment = since;
  return SelectNumber(sql,
                      std::string("SELECT COUNT(*) ") + kSentBySms +
                          " AND request_id IN (SELECT request_id FROM help_desk_requests WHERE "
                          "account_id = :account)",
                      moment, account.Hex());
}

}  // namespace

Result<HelpDeskStore::Opened> SqlStore::OpenHelpDesk(const HelpDeskRequest& request,
                                                     const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<Opened> {
    const auto found = FirstOf(Select<HelpDeskColumns>(
        t.sql, SelectHelpDesk(std::string("WHERE account_id = :account AND ") + kOpenHelpDesk),
        request.account.Hex()));
    if (found) {
      t.commit = false;
      return Opened{false, *found};
    }
    const std::string process = Name(request.process), state = Name(request.state);
    const long long privileged = request.privileged ? 1 : 0, acts = request.acts,
                    version = Signed(request.version), opened = request.opened,
                    expires = request.expires;
    Execute(t.sql,
            "INSERT INTO help_desk_requests (request_id, agent_id, agent_login, account_id, login, "
            "display_name, process, reason, ticket, state, error, privileged, change_id, acts, "
            "version, opened, expires, acted, closed) VALUES (:id, :agent, :agent_login, :account, "
            ":login, :display_name, :process, :reason, :ticket, :state, '', :privileged, '', "
            ":acts, :version, :opened, :expires, 0, 0)",
            request.id.Hex(), request.agent.Hex(), request.agent_login, request.account.Hex(),
            request.login, request.display_name, process, request.reason, request.ticket, state,
            privileged, acts, version, opened, expires);
    AppendChained(t.sql, audit);
    return Opened{true, request};
  });
}

Result<std::optional<HelpDeskRequest>> SqlStore::FindHelpDesk(const HelpDeskId& id) {
  return database_.Read([&](soci::session& sql) -> Result<std::optional<HelpDeskRequest>> {
    return FirstOf(
        Select<HelpDeskColumns>(sql, SelectHelpDesk("WHERE request_id = :id"), id.Hex()));
  });
}

Result<std::optional<HelpDeskRequest>> SqlStore::OpenHelpDeskOf(const AccountId& account) {
  return database_.Read([&](soci::session& sql) -> Result<std::optional<HelpDeskRequest>> {
    return FirstOf(Select<HelpDeskColumns>(
        sql, SelectHelpDesk(std::string("WHERE account_id = :account AND ") + kOpenHelpDesk),
        account.Hex()));
  });
}

Result<std::vector<HelpDeskRequest>> SqlStore::OpenHelpDeskBy(const AccountId& agent) {
  return database_.Read([&](soci::session& sql) -> Result<std::vector<HelpDeskRequest>> {
    return Select<HelpDeskColumns>(sql,
                                   SelectHelpDesk(std::string("WHERE agent_id = :agent AND ") +
                                                  kOpenHelpDesk + " ORDER BY number"),
                                   agent.Hex());
  });
}

Result<std::vector<HelpDeskRequest>> SqlStore::OverdueHelpDesk(std::int64_t now) {
  return database_.Read([&](soci::session& sql) -> Result<std::vector<HelpDeskRequest>> {
    const long long moment = now;
    return Select<HelpDeskColumns>(sql,
                                   SelectHelpDesk(std::string("WHERE expires <= :now AND ") +
                                                  kOpenHelpDesk + " ORDER BY number LIMIT 100"),
                                   moment);
  });
}

Result<std::vector<HelpDeskAttempt>> SqlStore::HelpDeskAttempts(const HelpDeskId& id) {
  return database_.Read([&](soci::session& sql) -> Result<std::vector<HelpDeskAttempt>> {
    return Select<HelpDeskAttemptColumns>(
        sql,
        std::string("SELECT ") + HelpDeskAttemptColumns::kList +
            " FROM help_desk_attempts WHERE request_id = :id ORDER BY number",
        id.Hex());
  });
}

Result<std::optional<KeyTouchQuestion>> SqlStore::KeyTouchOf(const AccountId& account,
                                                             std::int64_t now) {
  return database_.Read([&](soci::session& sql) -> Result<std::optional<KeyTouchQuestion>> {
    const long long moment = now;
    const auto request = FirstOf(Select<HelpDeskColumns>(
        sql,
        SelectHelpDesk("WHERE account_id = :account AND state = 'verifying' AND expires > :now"),
        account.Hex(), moment));
    if (!request) return std::optional<KeyTouchQuestion>();
    const auto attempt = FirstOf(Select<HelpDeskAttemptColumns>(
        sql,
        std::string("SELECT ") + HelpDeskAttemptColumns::kList +
            " FROM help_desk_attempts WHERE request_id = :id AND method = 'key_touch' AND state = "
            "'waiting' AND expires > :now",
        request->id.Hex(), moment));
    if (!attempt) return std::optional<KeyTouchQuestion>();
    return KeyTouchQuestion{*request, *attempt};
  });
}

Result<HelpDeskStore::Stepped> SqlStore::StepHelpDesk(const Step& step) {
  return database_.Write([&](Transaction& t) -> Result<Stepped> {
    const HelpDeskRequest& next = step.next;
    const std::string id = next.id.Hex();
    if (step.quota && CountCarriedOut(t.sql, next.account, next.process, step.quota->since,
                                      next.id) >= step.quota->most) {
      t.commit = false;
      return Stepped::kQuota;
    }
    if (step.sms) {
      const bool person =
          CountSmsOf(t.sql, next.account, step.sms->account_since) >= step.sms->of_account;
      if (person || CountSms(t.sql, step.sms->all_since) >= step.sms->of_all) {
        t.commit = false;
        return person ? Stepped::kQuota : Stepped::kAllQuota;
      }
    }
    const std::string process = Name(next.process), state = Name(next.state),
                      from = Name(step.from), change = WriteOptionalId(next.change);
    const long long acts = next.acts, version = Signed(next.version), after = version + 1,
                    acted = next.acted, closed = next.closed, over = next.expires,
                    mailed = next.mailed;
    if (Execute(t.sql,
                "UPDATE help_desk_requests SET process = :process, state = :state, error = :error, "
                "change_id = :change, acts = :acts, version = :after, acted = :acted, closed = "
                ":closed, expires = :expires, mailed = :mailed WHERE request_id = :id AND version "
                "= :version AND "
                "state = :from",
                process, state, next.error, change, acts, after, acted, closed, over, mailed, id,
                version, from) == 0) {
      t.commit = false;
      return Stepped::kMoved;
    }
    if (step.spends) {
      const long long code = step.spends->step;
      if (Execute(t.sql,
                  "UPDATE factors SET last_step = :step WHERE account_id = :account AND app > 0 "
                  "AND last_step < :same",
                  code, step.spends->account.Hex(), code) != 1) {
        t.commit = false;
        return Stepped::kSpent;
      }
    }
    if (auto stands = Require(t.sql, step.only_if); !stands) return tl::unexpected(stands.error());
    for (const std::uint64_t number : step.decided) {
      const std::string as = Name(step.decided_as);
      const long long which = Signed(number);
      Execute(t.sql,
              "UPDATE help_desk_attempts SET state = :state, salt = '', code_hash = '', challenge "
              "= '', read_out = '', asked_by = '' WHERE number = :number AND request_id = :id",
              as, which, id);
    }
    if (step.add) {
      const HelpDeskAttempt& add = *step.add;
      const std::string method = Name(add.method), what = Name(add.state),
                        approver = WriteOptionalId(add.approver);
      const long long denied = add.denied ? 1 : 0, created = add.created, expires = add.expires;
      Execute(
          t.sql,
          "INSERT INTO help_desk_attempts (request_id, method, state, salt, code_hash, "
          "challenge, read_out, asked_by, approver_id, denied, created, expires) VALUES (:id, "
          ":method, :state, :salt, :hash, :challenge, :read_out, :asked_by, :approver, :denied, "
          ":created, :expires)",
          id, method, what, add.salt, add.hash, add.challenge, add.read_out, add.asked_by, approver,
          denied, created, expires);
    }
    // What is closed needs no codes any more.
    if (!IsOpen(next.state)) {
      Execute(t.sql,
              "UPDATE help_desk_attempts SET salt = '', code_hash = '', challenge = '', "
              "read_out = '', asked_by = '' WHERE request_id = :id",
              id);
    }
    if (next.state == HelpDeskState::kBlocked) {
      NoteBlocked(t.sql, next.account.Hex(), next.closed);
    }
    for (const WebhookRecord& one : step.webhooks) QueueWebhook(t.sql, one);
    for (const AuditEntry& audit : step.audits) AppendChained(t.sql, audit);
    return Stepped::kDone;
  });
}

Result<std::uint32_t> SqlStore::CountHelpDesk(const AccountId& account, HelpDeskProcess process,
                                              std::int64_t since) {
  return database_.Read([&](soci::session& sql) -> Result<std::uint32_t> {
    return static_cast<std::uint32_t>(CountCarriedOut(sql, account, process, since, HelpDeskId{}));
  });
}

}  // namespace keyferry::server
