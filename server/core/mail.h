#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "protocol/result.h"
#include "protocol/secure/secure_bytes.h"
#include "server/core/clock.h"
#include "server/core/upkeep_store.h"

namespace keyferry::server {

// One mail on its way to the mail server. `text` is UTF-8, and may hold a secret: an activation
// code.
struct MailMessage {
  std::string recipient;
  std::string subject;  // one line of UTF-8
  SecureBytes text;
};

// Hands mails to the organisation's mail server. Thread-safe; blocks, bounded.
class Mailer {
 public:
  virtual ~Mailer() = default;
  // Errors: kUnavailable = not now, try again; kInvalidArgument = this mail never (its address, its
  // size); kPermissionDenied = the server refuses this sender or its credentials.
  virtual Result<void> Send(const MailMessage& message) = 0;
  // Connects, agrees on TLS, signs in, and sends nothing.
  virtual Result<void> Probe() = 0;
};

// Whether it is one address that may stand in a mail's envelope and header: printable ASCII, one @,
// no spaces, quotes, commas or brackets, at most 254 bytes.
bool IsMailAddress(std::string_view text);

struct OutboxLimits {
  std::size_t waiting = 2000;                   // mails at a time
  std::int64_t first_pause = 60'000;            // ms after the first failure, then doubled …
  std::int64_t longest_pause = 4 * 3'600'000;   // … up to this
  std::int64_t give_up_after = 3 * 86'400'000;  // ms after it was queued
  std::int64_t keep = 90 * 86'400'000ll;        // ms that what is over is remembered
};

// The queue of mails in the database, emptied by one server at a time. Thread-safe.
class MailOutbox {
 public:
  using LogLine = std::function<void(std::string_view)>;
  // All outlives it. `mailer` null: no mail server is configured, and nothing is queued.
  MailOutbox(UpkeepStore& store, Mailer* mailer, const Clock& clock, LogLine log,
             OutboxLimits limits = {});

  bool on() const { return mailer_ != nullptr; }
  // Queues a mail; false when there is or was one of this mark. kInvalidArgument: the address
  // cannot be used. kRateLimited: too many wait.
  Result<bool> Queue(std::string_view mark, std::string_view recipient, std::string_view subject,
                     std::string_view text, std::string_view actor);
  // Sends now, past the queue, what must not be stored.
  Result<void> SendNow(const MailMessage& message);
  // Sends what is due, until the mail server cannot be reached. One thread calls it.
  void Tick();

 private:
  UpkeepStore& store_;
  Mailer* const mailer_;
  const Clock& clock_;
  const LogLine log_;
  const OutboxLimits limits_;
};

}  // namespace keyferry::server
