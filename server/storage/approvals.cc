#include <string>

#include "server/storage/approval_rows.h"
#include "server/storage/rows.h"
#include "server/storage/sql_store.h"

namespace keyferry::server {
namespace {

struct ApprovalColumns {
  static constexpr const char* kList =
      "approval_id, action, account_id, login, display_name, asker_id, asker_login, reason, facts, "
      "why, hash, state, approver_id, approver_login, answer, version, created, expires, decided, "
      "used";

  std::string id, action, account, login, display_name, asker, asker_login, reason, facts, why,
      hash, state, approver, approver_login, answer;
  long long version = 0, created = 0, expires = 0, decided = 0, used = 0;

  template <typename Prepared>
  void Into(Prepared& p) {
    p, soci::into(id), soci::into(action), soci::into(account), soci::into(login),
        soci::into(display_name), soci::into(asker), soci::into(asker_login), soci::into(reason),
        soci::into(facts), soci::into(why), soci::into(hash), soci::into(state),
        soci::into(approver), soci::into(approver_login), soci::into(answer), soci::into(version),
        soci::into(created), soci::into(expires), soci::into(decided), soci::into(used);
  }
  Approval Read() const {
    Approval out;
    out.id = ReadId<ApprovalId>(id);
    out.action = ReadState(action, kLastGuardedAction);
    out.account = ReadId<AccountId>(account);
    out.login = login;
    out.display_name = display_name;
    out.asker = ReadId<AccountId>(asker);
    out.asker_login = asker_login;
    out.reason = reason;
    out.facts = ReadFacts(facts);
    out.why = why;
    out.hash = ReadFixed<32>(hash);
    out.state = ReadState(state, ApprovalState::kUsed);
    out.approver = ReadOptionalId<AccountId>(approver);
    out.approver_login = approver_login;
    out.answer = answer;
    out.version = Unsigned(version);
    out.created = created;
    out.expires = expires;
    out.decided = decided;
    out.used = used;
    return out;
  }
  // "name=value", one a line.
  static ApprovalFacts ReadFacts(const std::string& text) {
    ApprovalFacts out;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = text.find('\n', at), equals = text.find('=', at);
      if (end == std::string::npos || equals == std::string::npos || equals > end) {
        throw DamagedRow("facts of an approval");
      }
      out.emplace_back(text.substr(at, equals - at), text.substr(equals + 1, end - equals - 1));
      at = end + 1;
    }
    return out;
  }
};

std::string WriteFacts(const ApprovalFacts& facts) {
  std::string out;
  for (const auto& [name, value] : facts) out += name + "=" + value + "\n";
  return out;
}

std::string SelectApprovals(const std::string& rest) {
  return std::string("SELECT ") + ApprovalColumns::kList + " FROM approvals " + rest;
}

}  // namespace

Result<void> Require(soci::session& sql, const Precondition& only_if) {
  if (only_if.approval) {
    const ApprovalUse& use = *only_if.approval;
    const long long now = use.now, version = Signed(use.version);
    if (Execute(sql,
                "UPDATE approvals SET state = 'used', used = :now, version = version + 1 WHERE "
                "approval_id = :id AND version = :version AND state = 'approved' AND expires > "
                ":same",
                now, use.id.Hex(), version, now) == 0) {
      return Fail(ErrorCode::kConflict,
                  "The approval for this is used up or out of time; ask for another one. Nothing "
                  "was changed.");
    }
    AppendChained(sql, use.audit);
  }
  if (only_if.quota) {
    const AgentQuota& quota = *only_if.quota;
    if (CountResetsOf(sql, quota.agent, quota.since) > quota.most) {
      return Fail(ErrorCode::kRateLimited, kAgentLimit, kAgentLimitDetail);
    }
  }
  return {};
}

long long CountResetsOf(soci::session& sql, const AccountId& agent, std::int64_t since) {
  const long long moment = since;
  return SelectNumber(sql,
                      "SELECT COUNT(*) FROM changes WHERE actor_id = :agent AND created > :since",
                      agent.Hex(), moment) +
         SelectNumber(sql,
                      "SELECT COUNT(*) FROM help_desk_requests WHERE agent_id = :agent AND acted > "
                      ":since AND process IN ('unlock', 'must_change')",
                      agent.Hex(), moment);
}

Result<ApprovalStore::Asked> SqlStore::AskApproval(const Approval& approval,
                                                   const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<Asked> {
    const std::string action = Name(approval.action), hash = ToHex(approval.hash);
    const long long created = approval.created, expires = approval.expires;
    const auto found = FirstOf(Select<ApprovalColumns>(
        t.sql,
        SelectApprovals("WHERE asker_id = :asker AND account_id = :account AND action = :action "
                        "AND hash = :hash AND state IN ('open', 'approved') AND expires > :now"),
        approval.asker.Hex(), approval.account.Hex(), action, hash, created));
    if (found) {
      t.commit = false;
      return Asked{false, *found};
    }
    Execute(t.sql,
            "UPDATE approvals SET state = 'withdrawn', version = version + 1, decided = :now WHERE "
            "asker_id = :asker AND account_id = :account AND action = :action AND state IN "
            "('open', 'approved')",
            created, approval.asker.Hex(), approval.account.Hex(), action);
    Execute(t.sql,
            "INSERT INTO approvals (approval_id, action, account_id, login, display_name, "
            "asker_id, asker_login, reason, facts, why, hash, state, approver_id, approver_login, "
            "answer, version, created, expires, decided, used) VALUES (:id, :action, :account, "
            ":login, :display_name, :asker, :asker_login, :reason, :facts, :why, :hash, 'open', "
            "'', '', '', 1, :created, :expires, 0, 0)",
            approval.id.Hex(), action, approval.account.Hex(), approval.login,
            approval.display_name, approval.asker.Hex(), approval.asker_login, approval.reason,
            WriteFacts(approval.facts), approval.why, hash, created, expires);
    AppendChained(t.sql, audit);
    return Asked{true, approval};
  });
}

Result<std::optional<Approval>> SqlStore::FindApproval(const ApprovalId& id) {
  return database_.Read([&](soci::session& sql) -> Result<std::optional<Approval>> {
    return FirstOf(
        Select<ApprovalColumns>(sql, SelectApprovals("WHERE approval_id = :id"), id.Hex()));
  });
}

Result<std::vector<Approval>> SqlStore::Approvals(std::int64_t since, std::size_t limit) {
  return database_.Read([&](soci::session& sql) -> Result<std::vector<Approval>> {
    const long long moment = since, most = static_cast<long long>(limit);
    return Select<ApprovalColumns>(
        sql,
        SelectApprovals("WHERE state = 'open' OR decided > :since OR created > :same ORDER BY "
                        "CASE WHEN state = 'open' THEN 0 ELSE 1 END, number DESC LIMIT :most"),
        moment, moment, most);
  });
}

Result<bool> SqlStore::StepApproval(const ApprovalStep& step) {
  return database_.Write([&](Transaction& t) -> Result<bool> {
    const std::string from = Name(step.from), to = Name(step.to);
    const long long version = Signed(step.version), now = step.now, after = step.live ? now : 0;
    if (Execute(t.sql,
                "UPDATE approvals SET state = :to, approver_id = :approver, approver_login = "
                ":login, answer = :answer, decided = :now, version = version + 1 WHERE approval_id "
                "= :id AND version = :version AND state = :from AND expires > :after",
                to, WriteOptionalId(step.approver), step.approver_login, step.answer, now,
                step.id.Hex(), version, from, after) == 0) {
      t.commit = false;
      return false;
    }
    AppendChained(t.sql, step.audit);
    return true;
  });
}

Result<std::vector<Approval>> SqlStore::OverdueApprovals(std::int64_t now) {
  return database_.Read([&](soci::session& sql) -> Result<std::vector<Approval>> {
    const long long moment = now;
    return Select<ApprovalColumns>(
        sql,
        SelectApprovals("WHERE state IN ('open', 'approved') AND expires <= :now ORDER BY number "
                        "LIMIT 100"),
        moment);
  });
}

Result<void> SqlStore::BeginGuarded(const Precondition& only_if, const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<void> {
    if (auto stands = Require(t.sql, only_if); !stands) return stands;
    AppendChained(t.sql, audit);
    return {};
  });
}

Result<bool> SqlStore::GotNewKey(const AccountId& account, std::int64_t since) {
  return database_.Read([&](soci::session& sql) -> Result<bool> {
    const std::string id = account.Hex();
    const long long moment = since;
    // Enrolments are never forgotten; one that is waiting or granted may become a key.
    const long long fresh = SelectNumber(
        sql,
        "SELECT COUNT(*) FROM enrolments WHERE account_id = :account AND created > :since AND "
        "state <> 'failed'",
        id, moment);
    const long long all = SelectNumber(
        sql, "SELECT COUNT(*) FROM enrolments WHERE account_id = :account AND state <> 'failed'",
        id);
    return fresh != 0 && all > 1;
  });
}

Result<bool> SqlStore::GotPassword(const AccountId& account, std::int64_t since) {
  return database_.Read([&](soci::session& sql) -> Result<bool> {
    const long long moment = since;
    return SelectNumber(
               sql,
               "SELECT COUNT(*) FROM changes WHERE account_id = :account AND (confirmed > :since "
               "OR (created > :same AND state NOT IN ('failed', 'superseded')) OR state IN "
               "('intent', 'held', 'attempt', 'unknown'))",
               account.Hex(), moment, moment) != 0;
  });
}

Result<std::uint32_t> SqlStore::CountResets(const AccountId& agent, std::int64_t since) {
  return database_.Read([&](soci::session& sql) -> Result<std::uint32_t> {
    return static_cast<std::uint32_t>(CountResetsOf(sql, agent, since));
  });
}

}  // namespace keyferry::server
