#pragma once

#include <memory>

#include "server/app/config.h"
#include "server/app/log.h"
#include "server/core/clock.h"
#include "server/core/store.h"
#include "server/core/webhook.h"

namespace keyferry::server {

// Delivers webhooks. With several servers on one database one of them does; another takes over when
// it dies.
class Webhooks {
 public:
  // Null where none are configured. Everything outlives it. kInvalidArgument: the secret is too
  // short.
  static Result<std::unique_ptr<Webhooks>> Make(const ServerConfig& config, Store& store,
                                                const Clock& clock, Log& log);
  virtual ~Webhooks() = default;
  virtual WebhookService& service() = 0;
  // To be called every few seconds by one thread.
  virtual void Tick() = 0;
};

}  // namespace keyferry::server
