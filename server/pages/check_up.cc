// What `keyferry-server doctor` finds, as a page.
#include <algorithm>

#include "server/pages/frame.h"
#include "server/pages/models.h"

namespace keyferry::server {
namespace {

using Status = Finding::Status;

Data StatusBadge(const Catalog& catalog, Status status) {
  switch (status) {
    case Status::kOk:
      return Badge("ok", "check", catalog.Text("check_up.ok"));
    case Status::kWarning:
      return Badge("warn", "info", catalog.Text("check_up.warning"));
    case Status::kProblem:
      break;
  }
  return Badge("bad", "alert", catalog.Text("check_up.problem"));
}

// The lines of a fix. What does not end as a sentence, or lead to the next line, is to be copied.
Data FixLines(const std::string& fix) {
  Data lines = List();
  for (std::size_t from = 0; from < fix.size();) {
    const std::size_t end = std::min(fix.find('\n', from), fix.size());
    const std::string line = fix.substr(from, end - from);
    from = end + 1;
    if (line.empty()) continue;
    Data row;
    PutFlag(row, "command", line.back() != '.' && line.back() != ':');
    Put(row, "text", line);
    lines << row;
  }
  return lines;
}

Response ShowReport(const PageContext& context, const Request& request) {
  const Catalog& catalog = context.catalog;
  CheckUp::Report report = context.services.check_up.Latest();
  // The worst first; otherwise in the order in which things were looked at.
  std::stable_sort(report.findings.begin(), report.findings.end(),
                   [](const Finding& a, const Finding& b) { return a.status > b.status; });
  Data data = Frame(context, request, catalog.Text("check_up.title"), "check_up");
  Data list = List();
  std::size_t problems = 0, warnings = 0;
  for (const Finding& finding : report.findings) {
    problems += finding.status == Status::kProblem ? 1 : 0;
    warnings += finding.status == Status::kWarning ? 1 : 0;
    Data row;
    row["badge"] = StatusBadge(catalog, finding.status);
    Put(row, "what", finding.what);
    PutMaybe(row, "cause", finding.cause);
    row["fix"] = FixLines(finding.fix);
    list << row;
  }
  PutFlag(data, "webhooks", context.services.webhooks != nullptr);
  PutFlag(data, "any", report.at != 0);
  data["at"] = Time(report.at);
  Put(data, "summary",
      problems + warnings == 0
          ? catalog.Text("check_up.all_well")
          : catalog.Text("check_up.summary", {std::to_string(problems), std::to_string(warnings)}));
  data["findings"] = std::move(list);
  return Show(context, request, "check_up", data);
}

}  // namespace

void AddCheckUpPage(Router& router, const PageContext& context) {
  router.Add({Method::kGet, "/check-up", Right::kCheckUpRead,
              [context](Request& request) { return ShowReport(context, request); }});
  router.Add({Method::kPost,
              "/check-up",
              Right::kCheckUpWrite,
              [context](Request&) {
                context.services.check_up.Run();
                return Response::SeeOther("/check-up");
              },
              {},
              Body::kForm,
              {CsrfField()},
              true});
}

}  // namespace keyferry::server
