#pragma once

#include <functional>
#include <memory>

#include "protocol/result.h"
#include "server/api/services.h"
#include "server/app/config.h"
#include "server/app/log.h"
#include "server/app/state.h"
#include "server/app/upkeep.h"
#include "server/app/webhooks.h"
#include "server/core/alarm.h"
#include "server/core/clock.h"
#include "server/core/four_eyes.h"
#include "server/core/help_desk.h"
#include "server/core/services.h"
#include "server/core/store.h"

namespace keyferry::server {

// The adapters and services of a server, in the order in which they stand on each other.
class Parts {
 public:
  // `config` and `log` outlive it. Errors name the setting or file and what is wrong with it.
  static Result<std::unique_ptr<Parts>> Open(const ServerConfig& config, Log& log);
  virtual ~Parts() = default;

  virtual Store& store() = 0;
  virtual EventBus& bus() = 0;
  virtual const Clock& clock() const = 0;
  virtual ChangeService& changes() = 0;
  virtual WorkstationService& workstations() = 0;
  virtual Upkeep& upkeep() = 0;
  virtual HelpDeskService& help_desk() = 0;
  virtual WarningService& warnings() = 0;
  virtual FourEyes& four_eyes() = 0;
  virtual AlarmService& alarm() = 0;
  virtual Webhooks* webhooks() = 0;  // null: none are configured

  // What pages and API get; lives as long as the parts.
  virtual Services MakeServices() = 0;

  // Before the first request.
  virtual Result<void> Bind(const ServerIdentity& identity) = 0;
  // Joins the other servers on the database, where there may be some. `orphaned` is called, on a
  // thread of the link, when another server has died.
  virtual void Join(std::function<void()> orphaned) = 0;
  // The reverse, in this order, when no request is served any more.
  virtual void EndUpkeep() = 0;
  virtual void Leave() = 0;
};

}  // namespace keyferry::server
