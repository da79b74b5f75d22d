// The alarm. Programs may raise it; only people end it.
#include "server/api/handlers.h"
#include "server/api/json_reader.h"
#include "server/api/once.h"
#include "server/core/alarm.h"

namespace keyferry::server {
namespace {

using AlarmStep = Result<AlarmView> (AlarmService::*)(const Actor&, std::uint64_t, std::uint64_t);

Response RaiseAlarm(Services& services, Request& request) {
  JsonReader in(request.body.span());
  const std::string reason = in.Text("reason", 0, kAlarmReasonBytes);
  if (const auto bad = in.Finish(); !bad) return Problem(request, bad.error());
  return One(services, request, services.alarm->Raise(request.session->actor, reason));
}

Route Deciding(const char* pattern, Services& services, AlarmStep decide) {
  return Writing(
      pattern, Right::kAlarmEnd, Body::kJson, Once(services, [&services, decide](Request& request) {
        JsonReader in(request.body.span());
        const auto number = in.Integer("number", 1, INT64_MAX);
        const auto version = in.Integer("version", 1, INT64_MAX);
        if (const auto bad = in.Finish(); !bad) return Problem(request, bad.error());
        return One(
            services, request,
            (services.alarm->*decide)(request.session->actor, static_cast<std::uint64_t>(number),
                                      static_cast<std::uint64_t>(version)));
      }));
}

}  // namespace

void AddAlarmRoutes(Router& router, Services& services) {
  router.Add(Reading("/alarm", Right::kAlarmRead, [&services](Request& request) {
    return One(services, request, services.alarm->Get());
  }));
  router.Add(Writing(
      "/alarm", Right::kAlarmRaise, Body::kJson,
      Once(services, [&services](Request& request) { return RaiseAlarm(services, request); })));
  router.Add(Deciding("/alarm/end", services, &AlarmService::AgreeToEnd));
  router.Add(Deciding("/alarm/keep", services, &AlarmService::Keep));
}

}  // namespace keyferry::server
