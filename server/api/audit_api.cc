// The audit log, the reports and the check-up.
#include <memory>
#include <mutex>

#include "server/api/handlers.h"
#include "server/api/once.h"
#include "server/core/encoding.h"
#include "server/http/target.h"

namespace keyferry::server {
namespace {

namespace json = boost::json;

constexpr std::size_t kMostExported = 1000;

// The number in a cursor of one of the log's lists; 0 without one.
Result<std::uint64_t> NumberOf(const PageRequest& page) {
  return page.after.empty() ? Result<std::uint64_t>(0) : ReadNumber(page.after, "cursor");
}

// The filter of a search, by the names of the query.
Result<AuditFilter> FilterOf(const Request& request) {
  AuditFilter filter;
  for (const auto& [name, time] :
       {std::pair<const char*, std::int64_t*>{"from", &filter.from}, {"until", &filter.until}}) {
    if (request.Query(name).empty()) continue;
    const auto number = ReadNumber(request.Query(name), name);
    if (!number || *number > INT64_MAX / 2) {
      return Fail(ErrorCode::kInvalidArgument,
                  std::string(name) + " must be a time in Unix milliseconds.");
    }
    *time = static_cast<std::int64_t>(*number);
  }
  for (const auto& [name, text] : {std::pair<const char*, std::string*>{"actor", &filter.actor},
                                   {"action", &filter.action},
                                   {"target", &filter.target},
                                   {"outcome", &filter.outcome},
                                   {"ticket", &filter.ticket}}) {
    *text = request.Query(name);
    if (text->size() > kMaxAuditText || !IsPrintableUtf8(*text)) {
      return Fail(ErrorCode::kInvalidArgument,
                  std::string(name) + " must be printable text of at most 128 bytes.");
    }
  }
  return filter;
}

std::vector<std::string> WithFilter(std::vector<std::string> names) {
  for (const char* name : {"from", "until", "actor", "action", "target", "outcome", "ticket"}) {
    names.emplace_back(name);
  }
  return names;
}

Response ListAudit(Services& services, Request& request) {
  const auto wanted = ReadPage(request, "rows");
  if (!wanted) return Problem(request, wanted.error());
  const auto before = NumberOf(*wanted);
  if (!before) return Problem(request, before.error());
  const auto filter = FilterOf(request);
  if (!filter) return Problem(request, filter.error());
  auto found = services.audit.Search(*filter, *before, wanted->limit);
  if (!found) return Answer(services, request, found.error());
  Page<AuditView> page;
  if (found->next != 0) page.next = MakeCursor("rows", std::to_string(found->next));
  page.views = std::move(found->rows);
  return OnePage("rows", page);
}

// At most 1,000 rows an answer; Link leads to the next ones.
Response ExportAudit(Services& services, Request& request) {
  struct Choice {
    const char* name;
    AuditFormat format;
    const char* type;
  };
  static constexpr Choice kChoices[] = {
      {"jsonl", AuditFormat::kJsonLines, "application/x-ndjson; charset=utf-8"},
      {"csv", AuditFormat::kCsv, "text/csv; charset=utf-8"},
      {"cef", AuditFormat::kCef, "text/plain; charset=utf-8"}};
  const std::string_view name = request.Query("format");
  const Choice* choice = name.empty() ? &kChoices[0] : nullptr;
  for (const Choice& one : kChoices) {
    if (name == one.name) choice = &one;
  }
  if (choice == nullptr) {
    return ProblemOf(request, "invalid_request", "format must be jsonl, csv or cef.");
  }
  const auto limit = ReadLimit(request, kMostExported);
  if (!limit) return Problem(request, limit.error());
  // The cursor of an export has a name of its own: it goes the other way.
  Request bare;
  bare.query = {{"cursor", std::string(request.Query("cursor"))}};
  const auto wanted = ReadPage(bare, "export");
  if (!wanted) return Problem(request, wanted.error());
  const auto after = NumberOf(*wanted);
  if (!after) return Problem(request, after.error());
  const auto filter = FilterOf(request);
  if (!filter) return Problem(request, filter.error());
  auto extract = services.audit.Export(choice->format, *after, *limit, services.version, *filter);
  if (!extract) return Answer(services, request, extract.error());
  Response response;
  response.content_type = choice->type;
  response.body = std::move(extract->text);
  if (extract->more) {
    std::string same;
    for (const std::string& part : WithFilter({})) {
      const std::string_view value = request.Query(part);
      if (!value.empty()) same += "&" + part + "=" + QueryText(value);
    }
    response.With("Link", "</api/v1/audit/export?format=" + std::string(choice->name) + same +
                              "&limit=" + std::to_string(*limit) +
                              "&cursor=" + MakeCursor("export", std::to_string(extract->last)) +
                              ">; rel=\"next\"");
  }
  return response;
}

template <typename State, std::size_t kSize>
json::object ByState(const std::array<std::uint64_t, kSize>& counts) {
  json::object out;
  for (std::size_t i = 0; i < kSize; ++i) out[Name(static_cast<State>(i))] = counts[i];
  return out;
}

Response ShowReports(Services& services, Request& request) {
  const auto figures = services.reports->Figures();
  if (!figures) return Answer(services, request, figures.error());
  json::array set, processes;
  for (const DayCount& day : figures->set) set.push_back({{"day", day.day}, {"count", day.count}});
  for (const ProcessScore& score : figures->processes) {
    processes.push_back({{"process", Name(score.process)},
                         {"completed", score.completed},
                         {"failed", score.failed},
                         {"blocked", score.blocked}});
  }
  // A key is in the database only once it is enrolled.
  json::object keys = ByState<KeyState>(figures->keys);
  keys.erase(Name(KeyState::kReserved));
  return Ok({{"at", figures->at},
             {"since", figures->since},
             {"pending", figures->pending},
             {"long_pending", figures->long_pending},
             {"ahead", figures->ahead},
             {"failed_verifications", figures->failed_verifications},
             {"keys", std::move(keys)},
             {"keys_alarmed", figures->keys_alarmed},
             {"workstations", ByState<WorkstationState>(figures->workstations)},
             {"set", std::move(set)},
             {"processes", std::move(processes)}});
}

Response VerifyAudit(Services& services, Request& request) {
  const auto words = services.verify_audit();
  if (!words && words.error().code == ErrorCode::kUnavailable) {
    return Answer(services, request, words.error());
  }
  if (!words) services.report(request, words.error());
  return Ok({{"whole", words.has_value()}, {"report", words ? *words : words.error().message}});
}

const char* StatusName(Finding::Status status) {
  switch (status) {
    case Finding::Status::kOk:
      return "ok";
    case Finding::Status::kWarning:
      return "warning";
    case Finding::Status::kProblem:
      break;
  }
  return "problem";
}

Response ShowCheckUp(Services& services) {
  const CheckUp::Report report = services.check_up.Latest();
  Finding::Status worst = Finding::Status::kOk;
  json::array findings;
  for (const Finding& finding : report.findings) {
    worst = std::max(worst, finding.status);
    findings.push_back({{"status", StatusName(finding.status)},
                        {"what", finding.what},
                        {"cause", finding.cause},
                        {"fix", finding.fix}});
  }
  return Ok({{"at", report.at}, {"status", StatusName(worst)}, {"findings", std::move(findings)}});
}

}  // namespace

void AddAuditRoutes(Router& router, Services& services) {
  router.Add(Reading(
      "/audit", Right::kAuditRead,
      [&services](Request& request) { return ListAudit(services, request); },
      WithFilter({"cursor", "limit"})));
  router.Add(Reading(
      "/audit/export", Right::kAuditExport,
      [&services](Request& request) { return ExportAudit(services, request); },
      WithFilter({"format", "cursor", "limit"})));
  if (services.reports != nullptr) {
    router.Add(Reading("/reports", Right::kReportsRead,
                       [&services](Request& request) { return ShowReports(services, request); }));
  }
  Route verify = Reading("/audit/verification", Right::kAuditRead,
                         [&services](Request& request) { return VerifyAudit(services, request); });
  verify.slow = true;
  router.Add(std::move(verify));
  router.Add(Reading("/check-up", Right::kCheckUpRead,
                     [&services](Request&) { return ShowCheckUp(services); }));
  Route look =
      Writing("/check-up", Right::kCheckUpWrite, Body::kNone, Once(services, [&services](Request&) {
                services.check_up.Run();
                return ShowCheckUp(services);
              }));
  look.slow = true;
  router.Add(std::move(look));
}

}  // namespace keyferry::server
