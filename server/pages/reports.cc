// The reports: numbers, each of which leads to the list that it counts, and charts of SVG alone.
#include <algorithm>
#include <charconv>

#include "server/api/paging.h"
#include "server/api/theirs.h"
#include "server/pages/frame.h"
#include "server/pages/models.h"

namespace keyferry::server {
namespace {

constexpr std::size_t kReportRowsOnAPage = 50;
constexpr int kBarHeight = 100;  // of the charts' own units
// The figures are counted anew at most so often for somebody who looks on, in milliseconds.
constexpr const char* kReportPace = "1000";

// What `text` names among 0 … last.
template <typename T>
std::optional<T> Named(std::string_view text, T last) {
  for (int i = 0; i <= static_cast<int>(last); ++i) {
    if (text == Name(static_cast<T>(i))) return static_cast<T>(i);
  }
  return std::nullopt;
}

// A row of a table whose last column is a bar as long as its share of all.
Data ShareRow(std::string_view text, std::string_view link, std::uint64_t count,
              std::uint64_t all) {
  Data row;
  Put(row, "text", text);
  PutMaybe(row, "link", link);
  Put(row, "count", std::to_string(count));
  Put(row, "share", std::to_string(all == 0 ? 0 : count * 100 / all));
  return row;
}

Data Tile(std::string_view text, std::string_view hint, std::string_view link, std::uint64_t count,
          const char* tone) {
  Data tile;
  Put(tile, "text", text);
  Put(tile, "hint", hint);
  Put(tile, "link", link);
  Put(tile, "count", std::to_string(count));
  Put(tile, "tone", count == 0 ? "" : tone);
  return tile;
}

std::string LinkTo(ChangeList list) { return std::string("/reports/changes?list=") + Name(list); }

void PutTiles(const Catalog& catalog, const ReportFigures& figures, Data& data) {
  Data tiles = List();
  tiles << Tile(catalog.Text("reports.pending"), catalog.Text("reports.pending_hint"),
                LinkTo(ChangeList::kPending), figures.pending, "info");
  tiles << Tile(catalog.Text("reports.long_pending"), catalog.Text("reports.long_pending_hint"),
                LinkTo(ChangeList::kLongPending), figures.long_pending, "warn");
  tiles << Tile(catalog.Text("reports.ahead"), catalog.Text("reports.ahead_hint"),
                LinkTo(ChangeList::kAhead), figures.ahead, "warn");
  tiles << Tile(catalog.Text("reports.failed_verifications"),
                catalog.Text("reports.failed_verifications_hint"),
                "/audit?action=help_desk.verify&outcome=wrong&period=month",
                figures.failed_verifications, "warn");
  data["tiles"] = std::move(tiles);
}

void PutDays(const Catalog& catalog, const ReportFigures& figures, Data& data) {
  std::uint64_t most = 0, all = 0;
  for (const DayCount& day : figures.set) {
    most = std::max(most, day.count);
    all += day.count;
  }
  Data bars = List(), days = List();
  for (const DayCount& day : figures.set) {
    const auto height =
        most == 0 ? 0 : static_cast<int>(day.count * static_cast<std::uint64_t>(kBarHeight) / most);
    Data bar;
    Put(bar, "height", std::to_string(height));
    Put(bar, "top", std::to_string(kBarHeight - height));
    bars << bar;
  }
  for (auto day = figures.set.rbegin(); day != figures.set.rend(); ++day) {
    Data row;
    const std::string date = DayWords(day->day);
    Put(row, "day", date);
    Put(row, "count", std::to_string(day->count));
    PutMaybe(row, "link",
             day->count == 0 ? std::string() : LinkTo(ChangeList::kSet) + "&day=" + date);
    days << row;
  }
  data["bars"] = std::move(bars);
  data["days"] = std::move(days);
  Put(data, "days_summary",
      catalog.Text("reports.days_summary", {std::to_string(all), std::to_string(most)}));
  Put(data, "first_day", DayWords(figures.since));
  Put(data, "last_day", DayWords(figures.at));
}

struct KeyText {
  KeyState state;
  const char* text;
};
constexpr KeyText kKeyTexts[] = {{KeyState::kActive, "employees.key_active"},
                                 {KeyState::kSuspended, "employees.key_suspended"},
                                 {KeyState::kCompromised, "employees.key_compromised"},
                                 {KeyState::kDeactivated, "employees.key_deactivated"},
                                 {KeyState::kRevoked, "employees.key_revoked"}};
struct WorkstationText {
  WorkstationState state;
  const char* text;
};
constexpr WorkstationText kWorkstationTexts[] = {
    {WorkstationState::kPending, "workstations.pending"},
    {WorkstationState::kApproved, "workstations.approved"},
    {WorkstationState::kRevoked, "workstations.revoked"}};

void PutStates(const Catalog& catalog, const ReportFigures& figures, Data& data) {
  std::uint64_t all = 0;
  for (const std::uint64_t count : figures.keys) all += count;
  Data keys = List();
  for (const auto& [state, text] : kKeyTexts) {
    keys << ShareRow(catalog.Text(text), std::string("/keys?state=") + Name(state),
                     figures.keys[static_cast<std::size_t>(state)], all);
  }
  keys << ShareRow(catalog.Text("employees.key_alarm"), "/keys?state=alarm", figures.keys_alarmed,
                   all);
  data["keys"] = std::move(keys);
  all = 0;
  for (const std::uint64_t count : figures.workstations) all += count;
  Data workstations = List();
  for (const auto& [state, text] : kWorkstationTexts) {
    workstations << ShareRow(catalog.Text(text), std::string("/workstations?state=") + Name(state),
                             figures.workstations[static_cast<std::size_t>(state)], all);
  }
  data["workstations"] = std::move(workstations);
}

std::string LinkTo(HelpDeskProcess process, std::optional<RequestEnd> end) {
  return std::string("/reports/requests?process=") + Name(process) +
         (end ? std::string("&end=") + Name(*end) : std::string());
}

void PutProcesses(const Catalog& catalog, const ReportFigures& figures, Data& data) {
  Data processes = List();
  for (const ProcessScore& score : figures.processes) {
    const std::uint64_t all = score.closed();
    const auto percent = [&](std::uint64_t count) {
      return catalog.Text(
          "reports.share",
          {std::to_string(count), std::to_string(all == 0 ? 0 : (count * 100 + all / 2) / all)});
    };
    Data row;
    Put(row, "process", catalog.Text(std::string("help_desk_process.") + Name(score.process)));
    struct Cell {
      const char* label;
      std::string words;
      std::uint64_t count;
      std::optional<RequestEnd> end;
    };
    Data cells = List();
    for (const Cell& cell :
         {Cell{"reports.closed", std::to_string(all), all, std::nullopt},
          Cell{"reports.completed", percent(score.completed), score.completed,
               RequestEnd::kCompleted},
          Cell{"reports.failed", percent(score.failed), score.failed, RequestEnd::kFailed},
          Cell{"reports.blocked", percent(score.blocked), score.blocked, RequestEnd::kBlocked}}) {
      Data one;
      Put(one, "label", catalog.Text(cell.label));
      Put(one, "words", cell.words);
      PutMaybe(one, "link", cell.count == 0 ? std::string() : LinkTo(score.process, cell.end));
      cells << one;
    }
    row["cells"] = std::move(cells);
    processes << row;
  }
  PutFlag(data, "processes_any", !figures.processes.empty());
  data["processes"] = std::move(processes);
}

Result<void> PutWarning(const PageContext& context, Data& data) {
  data["warning"] = Data(false);
  const auto standing = context.services.warnings->Standing();
  if (!standing) return tl::unexpected(standing.error());
  if (!*standing) return {};
  const Catalog& catalog = context.catalog;
  Data warning;
  Put(warning, "id", (*standing)->id.Hex());
  Put(warning, "text", catalog.Text("reports.blocked_text", {std::to_string((*standing)->people)}));
  warning["raised"] = Time((*standing)->raised);
  data["warning"] = std::move(warning);
  return {};
}

Response Acknowledge(const PageContext& context, Request& request, const WarningId& id) {
  const auto done = context.services.warnings->Acknowledge(request.session->actor, id);
  // By somebody else meanwhile: it is as it shall be.
  if (!done && done.error().code != ErrorCode::kConflict) {
    return ShowFailure(context, request, done.error());
  }
  return Response::SeeOther("/reports");
}

Response ShowReports(const PageContext& context, const Request& request) {
  const Catalog& catalog = context.catalog;
  const auto figures = context.services.reports->Figures();
  if (!figures) return ShowFailure(context, request, figures.error());
  Data data = Frame(context, request, catalog.Text("reports.title"), "reports", "/events/reports");
  Put(data, "pace", kReportPace);
  if (const auto put = PutWarning(context, data); !put) {
    return ShowFailure(context, request, put.error());
  }
  if (const auto put = PutObjections(context, request, data); !put) {
    return ShowFailure(context, request, put.error());
  }
  data["at"] = Time(figures->at);
  PutTiles(catalog, *figures, data);
  PutDays(catalog, *figures, data);
  PutStates(catalog, *figures, data);
  PutProcesses(catalog, *figures, data);
  return Show(context, request, "reports", data);
}

Data StateBadge(const Catalog& catalog, const ReportChange& change) {
  if (change.ahead) return Badge("warn", "clock", catalog.Text("state.waiting"));
  if (auto badge = UnconfirmedBadge(catalog, change.state, change.mode)) return *std::move(badge);
  return change.state == ChangeState::kConfirmed
             ? Badge("bad", "alert", catalog.Text("reports.not_on_key"))
             : Badge("ok", "check", catalog.Text("state.delivered"));
}

Response ShowChanges(const PageContext& context, Request& request) {
  const Catalog& catalog = context.catalog;
  const auto list = Named(request.Query("list"), kLastChangeList);
  const std::string_view day_text = request.Query("day"), before_text = request.Query("before");
  const auto day = ReadDay(day_text);
  const auto before = before_text.empty() ? Result<std::uint64_t>(0) : ReadNumber(before_text, "");
  if (!list || !before || (*list == ChangeList::kSet) != day.has_value() ||
      (!day && !day_text.empty())) {
    return ShowNotFound(context, request);
  }
  auto page =
      context.services.reports->Changes(*list, day.value_or(0), *before, kReportRowsOnAPage + 1);
  if (!page) return ShowFailure(context, request, page.error());
  // A page of somebody with a scope is shorter by those whom they may not see.
  std::uint64_t last = 0;
  if (page->size() > kReportRowsOnAPage) {
    page->resize(kReportRowsOnAPage);
    last = page->back().number;
  }
  const auto rows = AmongTheirs(context.services, request, Right::kChangesRead, std::move(page));
  if (!rows) return ShowFailure(context, request, rows.error());
  const std::string title = *list == ChangeList::kSet
                                ? catalog.Text("reports.set_on", {day_text})
                                : catalog.Text(std::string("reports.") + Name(*list));
  Data data = Frame(context, request, title, "reports");
  Data changes = List();
  for (const ReportChange& change : *rows) {
    Data row;
    Put(row, "account", change.account.Hex());
    Put(row, "login", change.login);
    Put(row, "actor", change.actor_login);
    PutMaybe(row, "reason_text", change.reason);
    row["created"] = Time(change.created);
    row["confirmed"] = Time(change.confirmed);
    row["badge"] = StateBadge(catalog, change);
    changes << row;
  }
  PutFlag(data, "any", !rows->empty());
  data["changes"] = std::move(changes);
  PutMaybe(data, "older",
           last == 0 ? std::string()
                     : LinkTo(*list) + (day ? "&day=" + std::string(day_text) : std::string()) +
                           "&before=" + std::to_string(last));
  return Show(context, request, "report_changes", data);
}

Data EndBadge(const Catalog& catalog, HelpDeskState state) {
  const std::string text = catalog.Text(std::string("help_desk_state.") + Name(state));
  switch (state) {
    case HelpDeskState::kDone:
      return Badge("ok", "check", text);
    case HelpDeskState::kBlocked:
      return Badge("bad", "alert", text);
    default:
      return Badge("warn", "clock", text);
  }
}

Response ShowRequests(const PageContext& context, Request& request) {
  const Catalog& catalog = context.catalog;
  const std::string_view end_text = request.Query("end"), before_text = request.Query("before");
  const auto process = Named(request.Query("process"), kLastHelpDeskProcess);
  const auto end = Named(end_text, kLastRequestEnd);
  const auto before = before_text.empty() ? Result<std::uint64_t>(0) : ReadNumber(before_text, "");
  if (!process || *process == HelpDeskProcess::kNone || !before || (!end && !end_text.empty())) {
    return ShowNotFound(context, request);
  }
  auto page = context.services.reports->Requests(*process, end, *before, kReportRowsOnAPage + 1);
  if (!page) return ShowFailure(context, request, page.error());
  std::uint64_t last = 0;
  if (page->size() > kReportRowsOnAPage) {
    page->resize(kReportRowsOnAPage);
    last = page->back().number;
  }
  const auto rows = AmongTheirs(context.services, request, Right::kPeopleRead, std::move(page));
  if (!rows) return ShowFailure(context, request, rows.error());
  const std::string title = catalog.Text(
      "reports.requests",
      {catalog.Text(std::string("help_desk_process.") + Name(*process)),
       catalog.Text(end ? std::string("reports.") + Name(*end) : std::string("reports.closed"))});
  Data data = Frame(context, request, title, "reports");
  Data list = List();
  for (const ReportRequest& one : *rows) {
    Data row;
    Put(row, "account", one.account.Hex());
    Put(row, "login", one.login);
    Put(row, "agent", one.agent_login);
    Put(row, "ticket_number", one.ticket);
    Put(row, "reason_text", one.reason);
    PutMaybe(row, "why", catalog.Say(one.error));
    row["opened"] = Time(one.opened);
    row["ended"] = Time(one.closed);
    row["badge"] = EndBadge(catalog, one.state);
    list << row;
  }
  PutFlag(data, "any", !rows->empty());
  data["requests"] = std::move(list);
  PutMaybe(data, "older",
           last == 0 ? std::string() : LinkTo(*process, end) + "&before=" + std::to_string(last));
  return Show(context, request, "report_requests", data);
}

}  // namespace

void AddReportPages(Router& router, const PageContext& context) {
  router.Add({Method::kGet, "/reports", Right::kReportsRead,
              [context](Request& request) { return ShowReports(context, request); }});
  router.Add({Method::kGet,
              "/reports/changes",
              Right::kReportsRead,
              [context](Request& request) { return ShowChanges(context, request); },
              {"list", "day", "before"}});
  router.Add({Method::kGet,
              "/reports/requests",
              Right::kReportsRead,
              [context](Request& request) { return ShowRequests(context, request); },
              {"process", "end", "before"}});
  router.Add({Method::kPost,
              "/reports/warnings/{id}/acknowledge",
              Right::kWarningsWrite,
              PageWithId<WarningId>(context, Acknowledge),
              {},
              Body::kForm,
              {CsrfField()}});
}

}  // namespace keyferry::server
