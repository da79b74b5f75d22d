#include <string>

#include "server/storage/rows.h"
#include "server/storage/sql_store.h"
#include "server/storage/webhook_rows.h"

namespace keyferry::server {
namespace {

struct WebhookColumns {
  static constexpr const char* kList =
      "webhook_id, mark, place, ticket, outcome, body, state, attempts, created, since, next_try, "
      "sent, last_error";
  std::string id, mark, place, ticket, outcome, body, state, last_error;
  long long attempts = 0, created = 0, since = 0, next_try = 0, sent = 0;
  template <typename Prepared>
  void Into(Prepared& p) {
    p, soci::into(id), soci::into(mark), soci::into(place), soci::into(ticket), soci::into(outcome),
        soci::into(body), soci::into(state), soci::into(attempts), soci::into(created),
        soci::into(since), soci::into(next_try), soci::into(sent), soci::into(last_error);
  }
  WebhookRecord Read() const {
    WebhookRecord out;
    out.id = ReadId<WebhookId>(id);
    out.mark = mark;
    out.place = place;
    out.ticket = ticket;
    out.outcome = outcome;
    out.body = body;
    out.state = ReadState(state, WebhookState::kFailed);
    out.attempts = static_cast<std::uint32_t>(attempts);
    out.created = created;
    out.since = since;
    out.next_try = next_try;
    out.sent = sent;
    out.last_error = last_error;
    return out;
  }
};

struct MarkColumn {
  std::string mark;
  template <typename Prepared>
  void Into(Prepared& p) {
    p, soci::into(mark);
  }
  std::string Read() const { return mark; }
};

std::string SelectWebhooks(const char* rest) {
  return std::string("SELECT ") + WebhookColumns::kList + " FROM webhooks " + rest;
}

}  // namespace

void QueueWebhook(soci::session& sql, const WebhookRecord& webhook) {
  const long long created = webhook.created, since = webhook.since, next_try = webhook.next_try;
  Execute(sql,
          "INSERT INTO webhooks (webhook_id, mark, place, ticket, outcome, body, state, attempts, "
          "created, since, next_try, sent, last_error) VALUES (:id, :mark, :place, :ticket, "
          ":outcome, :body, 'queued', 0, :created, :since, :next, 0, '')",
          webhook.id.Hex(), webhook.mark, webhook.place, webhook.ticket, webhook.outcome,
          webhook.body, created, since, next_try);
}

Result<std::vector<std::string>> SqlStore::WebhookMarksDue(std::int64_t now) {
  return database_.Read([&](soci::session& sql) -> Result<std::vector<std::string>> {
    const long long moment = now;
    return Select<MarkColumn>(
        sql,
        "SELECT DISTINCT mark FROM webhooks WHERE state = 'queued' AND next_try <= :now "
        "ORDER BY mark",
        moment);
  });
}

Result<std::vector<WebhookRecord>> SqlStore::WebhooksDue(std::string_view mark, std::int64_t now,
                                                         std::size_t limit) {
  return database_.Read([&](soci::session& sql) -> Result<std::vector<WebhookRecord>> {
    const std::string target(mark);
    const long long moment = now, count = Signed(limit);
    return Select<WebhookColumns>(
        sql,
        SelectWebhooks("WHERE state = 'queued' AND mark = :mark AND next_try <= :now ORDER BY "
                       "number LIMIT :count"),
        target, moment, count);
  });
}

Result<bool> SqlStore::MarkWebhook(const WebhookRecord& webhook, const AuditEntry* audit) {
  return database_.Write([&](Transaction& t) -> Result<bool> {
    const std::string state = Name(webhook.state);
    const long long attempts = webhook.attempts, next_try = webhook.next_try, sent = webhook.sent;
    const long long since = webhook.since, over = webhook.state == WebhookState::kSent ? 1 : 0;
    t.commit = Execute(t.sql,
                       "UPDATE webhooks SET state = :state, attempts = :attempts, next_try = "
                       ":next, sent = :sent, last_error = :error WHERE webhook_id = :id AND state "
                       "= 'queued' AND (since = :since OR :over = 1)",
                       state, attempts, next_try, sent, webhook.last_error, webhook.id.Hex(), since,
                       over) == 1;
    if (t.commit && audit != nullptr) AppendChained(t.sql, *audit);
    return t.commit;
  });
}

Result<bool> SqlStore::RetryWebhook(const WebhookId& id, std::int64_t now,
                                    const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<bool> {
    const long long moment = now;
    t.commit = Execute(t.sql,
                       "UPDATE webhooks SET state = 'queued', since = :now, next_try = :same, "
                       "attempts = 0 WHERE webhook_id = :id AND state <> 'sent'",
                       moment, moment, id.Hex()) == 1;
    if (t.commit) {
      AppendChained(t.sql, audit);
    } else if (SelectNumber(t.sql, "SELECT COUNT(*) FROM webhooks WHERE webhook_id = :id",
                            id.Hex()) == 0) {
      return Fail(ErrorCode::kNotFound, "There is no such message.");
    }
    return t.commit;
  });
}

Result<std::optional<WebhookRecord>> SqlStore::FindWebhook(const WebhookId& id) {
  return database_.Read([&](soci::session& sql) -> Result<std::optional<WebhookRecord>> {
    return FirstOf(Select<WebhookColumns>(sql, SelectWebhooks("WHERE webhook_id = :id"), id.Hex()));
  });
}

Result<std::vector<WebhookRecord>> SqlStore::Webhooks(std::size_t limit) {
  return database_.Read([&](soci::session& sql) -> Result<std::vector<WebhookRecord>> {
    const long long most = Signed(limit);
    return Select<WebhookColumns>(sql, SelectWebhooks("ORDER BY number DESC LIMIT :most"), most);
  });
}

Result<WebhookCounts> SqlStore::CountWebhooks(std::int64_t since) {
  return database_.Read([&](soci::session& sql) -> Result<WebhookCounts> {
    const long long from = since;
    WebhookCounts counts;
    counts.queued =
        Unsigned(SelectNumber(sql, "SELECT COUNT(*) FROM webhooks WHERE state = 'queued'"));
    counts.failed = Unsigned(SelectNumber(
        sql, "SELECT COUNT(*) FROM webhooks WHERE state = 'failed' AND next_try >= :since", from));
    counts.oldest =
        SelectNumber(sql, "SELECT COALESCE(MIN(since), 0) FROM webhooks WHERE state = 'queued'");
    const auto last = FirstOf(Select<WebhookColumns>(
        sql,
        SelectWebhooks("WHERE state <> 'sent' AND last_error <> '' ORDER BY number DESC LIMIT 1")));
    if (last) counts.last_error = last->last_error;
    return counts;
  });
}

Result<void> SqlStore::ForgetWebhooks(std::int64_t before) {
  return database_.Write([&](Transaction& t) -> Result<void> {
    const long long moment = before;
    t.commit = Execute(t.sql, "DELETE FROM webhooks WHERE state <> 'queued' AND created < :before",
                       moment) != 0;
    return {};
  });
}

}  // namespace keyferry::server
