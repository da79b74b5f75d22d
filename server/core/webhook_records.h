#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/result.h"
#include "server/core/ids.h"
#include "server/core/records.h"

// The rows of webhooks (webhook.h). Times are Unix milliseconds, 0 = not yet.
namespace keyferry::server {

using WebhookId = Id16<struct WebhookTag>;  // of one delivery to one address

enum class WebhookState {
  kQueued,
  kSent,    // the receiver took it
  kFailed,  // given up
};
const char* Name(WebhookState state);

// An address that is told. Of the URL itself neither database nor pages nor logs have anything but
// its place: path and query may hold a token of the receiver.
struct WebhookTarget {
  std::string url;
  std::string place;  // "https://itsm.corp.example:8443"
  std::string mark;   // 16 hex digits that stand for the URL in the database

  // https with a host name or address, at most 1024 printable ASCII bytes, no user, no fragment.
  // http only to this machine (127.0.0.1, [::1], localhost). kInvalidArgument says what is wrong,
  // as the end of a sentence.
  static Result<WebhookTarget> Parse(std::string_view url);
};

// One delivery. The body is JSON and holds no secret.
struct WebhookRecord {
  WebhookId id;
  std::string mark, place;  // of the target
  std::string ticket, outcome;
  std::string body;
  WebhookState state = WebhookState::kQueued;
  std::uint32_t attempts = 0;
  std::int64_t created = 0;
  std::int64_t since = 0;  // given up so long after it: `created`, or when it was queued again
  std::int64_t next_try = 0;
  std::int64_t sent = 0;
  std::string last_error;
};

struct WebhookCounts {
  std::uint64_t queued = 0;
  std::uint64_t failed = 0;  // given up since `since`
  std::int64_t oldest = 0;   // of the queued ones, 0 = none
  std::string last_error;    // of the newest one that has an error
};

class WebhookStore {
 public:
  virtual ~WebhookStore() = default;
  // Rows are made by HelpDeskStore::Step alone. Marks of targets for which one is due.
  virtual Result<std::vector<std::string>> WebhookMarksDue(std::int64_t now) = 0;
  // Queued ones of this mark whose next_try has come, oldest first.
  virtual Result<std::vector<WebhookRecord>> WebhooksDue(std::string_view mark, std::int64_t now,
                                                         std::size_t limit) = 0;
  // State, attempts, next_try, sent and last_error of a queued one; audited when `audit` is given.
  // False, and nothing written, when it is not queued any more, or was queued again since it was
  // read and is not sent now: that try is over, the one that was asked for meanwhile is due.
  virtual Result<bool> MarkWebhook(const WebhookRecord& webhook, const AuditEntry* audit) = 0;
  // A queued or failed one is due at `now`, and given up anew only after its whole time. False, and
  // nothing written, when it was sent; kNotFound.
  virtual Result<bool> RetryWebhook(const WebhookId& id, std::int64_t now,
                                    const AuditEntry& audit) = 0;
  virtual Result<std::optional<WebhookRecord>> FindWebhook(const WebhookId& id) = 0;
  // Newest first.
  virtual Result<std::vector<WebhookRecord>> Webhooks(std::size_t limit) = 0;
  virtual Result<WebhookCounts> CountWebhooks(std::int64_t since) = 0;
  // Forgets what is over and older than `before`.
  virtual Result<void> ForgetWebhooks(std::int64_t before) = 0;
};

}  // namespace keyferry::server
