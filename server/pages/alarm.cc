// The alarm: raising it, its end by two persons, and the banner on every page.
#include "server/core/alarm.h"

#include <charconv>

#include "server/api/problem.h"
#include "server/pages/frame.h"
#include "server/pages/models.h"

namespace keyferry::server {
namespace {

constexpr std::size_t kAlarmsOnThePage = 20;
// Workstations that speak an older version do not know the alarm (docs/workstation-api.md).
constexpr int kAlarmProtocol = 3;

std::uint64_t NumberOf(const Form& form, const char* field) {
  const std::string_view text = form.Text(field);
  std::uint64_t number = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  return failure == std::errc() && end == text.data() + text.size() ? number : 0;
}

// How far the word has gone.
Result<void> PutReach(const PageContext& context, Data& data) {
  const auto workstations = context.services.workstations.List();
  if (!workstations) return tl::unexpected(workstations.error());
  std::size_t told = 0, away = 0;
  std::string old;
  for (const WorkstationView& workstation : *workstations) {
    if (workstation.state != WorkstationState::kApproved) continue;
    if (workstation.protocol != 0 && workstation.protocol < kAlarmProtocol) {
      old += (old.empty() ? "" : ", ") + workstation.name;
    } else {
      ++(workstation.connected ? told : away);
    }
  }
  Put(data, "told", context.catalog.Text("alarm.told", {std::to_string(told)}));
  PutMaybe(data, "away",
           away == 0 ? std::string() : context.catalog.Text("alarm.away", {std::to_string(away)}));
  PutMaybe(data, "old", old.empty() ? std::string() : context.catalog.Text("alarm.old", {old}));
  return {};
}

Data AlarmRow(const Catalog& catalog, const AlarmRecord& alarm) {
  Data row;
  row["raised"] = Time(alarm.raised);
  Put(row, "raised_by", alarm.raised_login);
  Put(row, "reason", alarm.reason.empty() ? catalog.Text("alarm.no_reason") : alarm.reason);
  row["ended"] = Time(alarm.ended);
  Put(row, "ended_by", catalog.Text("alarm.both", {alarm.agreed_login, alarm.ended_login}));
  return row;
}

Response ShowAlarm(const PageContext& context, const Request& request, const std::string& reason,
                   const Error* problem) {
  const Catalog& catalog = context.catalog;
  const auto view = context.services.alarm->Get();
  if (!view) return ShowFailure(context, request, view.error());
  const auto alarms = context.services.alarm->History(kAlarmsOnThePage);
  if (!alarms) return ShowFailure(context, request, alarms.error());
  const AlarmRecord& alarm = view->alarm;
  Data data = Frame(context, request, catalog.Text("alarm.title"), "alarm", "/events/alarm");
  PutFlag(data, "stands", alarm.stands());
  PutMaybe(data, "problem", problem == nullptr ? std::string() : catalog.Say(problem->message));
  Put(data, "reason", reason);
  Put(data, "number", std::to_string(alarm.number));
  Put(data, "step", std::to_string(alarm.version));
  Put(data, "by", catalog.Text("alarm.by", {alarm.raised_login}));
  PutMaybe(data, "why", alarm.stands() ? alarm.reason : std::string());
  data["since"] = Time(alarm.stands() ? alarm.raised : 0);
  PutFlag(data, "agreed", view->agreed);
  const bool mine = view->agreed && alarm.agreed_by == request.session->actor.id;
  PutFlag(data, "mine", mine);
  Put(data, "agreement", catalog.Text("alarm.agreement", {alarm.agreed_login}));
  data["agreed_until"] = Time(view->agreed ? alarm.agreed + kAgreementMillis : 0);
  if (alarm.stands()) {
    if (auto put = PutReach(context, data); !put) return ShowFailure(context, request, put.error());
  }
  Data former = List();
  bool any = false;
  for (const AlarmRecord& one : *alarms) {
    if (one.stands()) continue;
    any = true;
    former << AlarmRow(catalog, one);
  }
  PutFlag(data, "any", any);
  data["former"] = std::move(former);
  return Show(context, request, "alarm", data,
              problem == nullptr ? 200 : HttpStatus(problem->code));
}

Response Answered(const PageContext& context, const Request& request, const std::string& reason,
                  const Result<AlarmView>& done) {
  if (done) return Response::SeeOther("/alarm");
  context.services.report(request, done.error());
  return ShowAlarm(context, request, reason, &done.error());
}

}  // namespace

void PutAlarm(const PageContext& context, const Request& request, Data& data) {
  PutFlag(data, "alarm", false);
  if (context.services.alarm == nullptr) return;
  const auto view = context.services.alarm->Get();
  if (!view) return context.services.report(request, view.error());
  PutFlag(data, "alarm", view->alarm.stands());
}

void AddAlarmPage(Router& router, const PageContext& context) {
  const auto post = [&router](const char* pattern, Right right, std::vector<FormField> fields,
                              Handler handler) {
    fields.push_back(CsrfField());
    router.Add(
        {Method::kPost, pattern, right, std::move(handler), {}, Body::kForm, std::move(fields)});
  };
  router.Add({Method::kGet, "/alarm", Right::kAlarmRead,
              [context](Request& request) { return ShowAlarm(context, request, {}, nullptr); }});
  post("/alarm/raise", Right::kAlarmRaise, {{"reason", 2000}}, [context](Request& request) {
    const std::string reason(request.form->Text("reason"));
    return Answered(context, request, reason,
                    context.services.alarm->Raise(request.session->actor, reason));
  });
  post("/alarm/end", Right::kAlarmEnd, {{"number", 20}, {"step", 20}}, [context](Request& request) {
    const Form& form = *request.form;
    return Answered(context, request, {},
                    context.services.alarm->AgreeToEnd(
                        request.session->actor, NumberOf(form, "number"), NumberOf(form, "step")));
  });
  post("/alarm/keep", Right::kAlarmEnd, {{"number", 20}, {"step", 20}},
       [context](Request& request) {
         const Form& form = *request.form;
         return Answered(
             context, request, {},
             context.services.alarm->Keep(request.session->actor, NumberOf(form, "number"),
                                          NumberOf(form, "step")));
       });
}

}  // namespace keyferry::server
