#include "server/app/alarm_desk.h"

#include "server/app/open.h"
#include "server/core/alarm.h"
#include "server/core/audit_entry.h"

namespace keyferry::server {

Result<std::string> AgreeOnConsole(const ServerConfig& config) {
  const auto store = OpenStore(config);
  if (!store) return tl::unexpected(store.error());
  const auto newest = (*store)->Alarms(1);
  if (!newest) return tl::unexpected(newest.error());
  if (newest->empty() || !newest->front().stands()) {
    return Fail(ErrorCode::kNotFound, "No alarm stands.");
  }
  Actor console;
  console.login = "console";
  const SystemClock clock;
  const auto alarm = WithWord(newest->front(), console, clock.UnixMillis());
  if (!alarm && alarm.error().code == ErrorCode::kPermissionDenied) {
    return Fail(ErrorCode::kPermissionDenied,
                "The console has agreed already; now a person has to agree on the page of the "
                "alarm, within half an hour.");
  }
  if (!alarm) return tl::unexpected(alarm.error());
  const auto moved =
      (*store)->MoveAlarm(*alarm, newest->front().version, WordEntry(*alarm, console, clock));
  if (!moved) return tl::unexpected(moved.error());
  if (!*moved) return Fail(ErrorCode::kConflict, "The alarm has moved on meanwhile; try again.");
  if (!alarm->stands()) return "The alarm has ended; " + alarm->agreed_login + " had agreed.";
  return "Agreed. It ends when a person agrees on the page of the alarm as well, within half an "
         "hour.";
}

}  // namespace keyferry::server
