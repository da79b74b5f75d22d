#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "protocol/crypto.h"
#include "protocol/result.h"
#include "server/core/clock.h"
#include "server/core/ids.h"
#include "server/core/mail.h"
#include "server/core/mail_template.h"
#include "server/core/records.h"
#include "server/core/session.h"

namespace keyferry::server {

using WarningId = Id16<struct WarningTag>;

// Many people were blocked within a short time, by failed sign-ins, failed codes or failed
// verifications at the help desk: somebody may be trying many accounts. It stands until a person
// has acknowledged it.
struct Warning {
  WarningId id;
  std::uint64_t people = 0;       // who were blocked when it was raised
  std::int64_t since = 0;         // … from this time on
  std::int64_t raised = 0;        // Unix milliseconds
  std::int64_t acknowledged = 0;  // 0 = it stands
  std::string acknowledged_by;
};

class WarningStore {
 public:
  virtual ~WarningStore() = default;
  // Different people who were blocked after `since`; what was noted is kept for a day.
  virtual Result<std::uint64_t> CountBlocked(std::int64_t since) = 0;
  virtual Result<std::optional<Warning>> NewestWarning() = 0;
  // False, and nothing written, when one stands already.
  virtual Result<bool> RaiseWarning(const Warning& warning, const AuditEntry& audit) = 0;
  // False, and nothing written, when it stands no more.
  virtual Result<bool> AcknowledgeWarning(const WarningId& id, const std::string& by,
                                          std::int64_t time, const AuditEntry& audit) = 0;
};

struct WarningConfig {
  std::uint64_t people = 10;
  std::int64_t within = 3'600'000;          // ms
  std::vector<std::string> administrators;  // mail addresses of who is told
};

// Thread-safe; blocks on the database.
class WarningService {
 public:
  virtual ~WarningService() = default;
  // The one that stands, if any.
  virtual Result<std::optional<Warning>> Standing() = 0;
  // kConflict: it was acknowledged already.
  virtual Result<void> Acknowledge(const Actor& actor, const WarningId& id) = 0;
  // Looks, raises, and sees to the mails; called every minute by every server.
  virtual void Tick() = 0;
};
struct WarningPorts {
  WarningStore& store;
  const Clock& clock;
  protocol::RandomSource& random;
  MailOutbox& outbox;
  const MailTemplates& templates;
  std::function<void(std::string_view)> log;
};
std::unique_ptr<WarningService> MakeWarningService(const WarningPorts& ports, WarningConfig config);

}  // namespace keyferry::server
