#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/crypto.h"
#include "protocol/result.h"
#include "protocol/secure/secure_bytes.h"
#include "server/core/clock.h"
#include "server/core/help_desk_records.h"
#include "server/core/http_post.h"
#include "server/core/session.h"
#include "server/core/webhook_records.h"

namespace keyferry::server {

class Store;

// Tells other systems that a help desk request is over: a POST of JSON (docs/webhook.md) to each
// configured address, at least once, signed. The rows are written by the transaction that closes
// the request, so nothing is told that did not happen and nothing that happened goes untold.

// The rows that tell of `closed`, one for each target. `attempts`: those of the request.
Result<std::vector<WebhookRecord>> WebhooksOf(const HelpDeskRequest& closed,
                                              const std::vector<HelpDeskAttempt>& attempts,
                                              std::span<const WebhookTarget> targets,
                                              protocol::RandomSource& random);

// "v1=" and the hex digits of HMAC-SHA-256 over "TIMESTAMP.BODY".
std::string WebhookSignature(const SecureBytes& secret, std::int64_t timestamp,
                             std::string_view body);
inline constexpr char kWebhookTimestamp[] = "Keyferry-Timestamp";  // Unix seconds, of this try
inline constexpr char kWebhookSignature[] = "Keyferry-Signature";
inline constexpr char kWebhookDelivery[] = "Keyferry-Delivery";  // WebhookRecord::id, on each try

struct WebhookConfig {
  std::vector<WebhookTarget> targets;
  SecureBytes secret;
  std::int64_t first_pause = 30'000;            // ms after the first failure, then doubled …
  std::int64_t longest_pause = 2 * 3'600'000;   // … up to this
  std::int64_t give_up_after = 3 * 86'400'000;  // ms
  std::int64_t keep = 90 * 86'400'000ll;        // ms that what is over is remembered
};

struct WebhookPorts {
  Store& store;
  HttpPoster& poster;
  const Clock& clock;
  std::function<void(std::string_view)> log;
};

// Thread-safe but for Tick; blocks on database and receivers.
class WebhookService {
 public:
  virtual ~WebhookService() = default;
  // Newest first.
  virtual Result<std::vector<WebhookRecord>> List(std::size_t limit) = 0;
  // Due at once; another time on its way where it was given up. kConflict: it was sent. kNotFound.
  virtual Result<WebhookRecord> Retry(const Actor& actor, const WebhookId& id) = 0;
  // Delivers what is due, of each target until one fails. Asks `mine` before each delivery, and
  // ends where it says no: then another server delivers. One thread calls it.
  virtual void Tick(const std::function<bool()>& mine) = 0;
};
// All of the ports outlives it.
std::unique_ptr<WebhookService> MakeWebhookService(WebhookPorts ports, WebhookConfig config);

}  // namespace keyferry::server
