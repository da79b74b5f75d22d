#include <charconv>

#include "server/api/problem.h"
#include "server/pages/frame.h"
#include "server/pages/models.h"

namespace keyferry::server {
namespace {

constexpr std::size_t kRowsOnAPage = 50;

Response ListWorkstations(const PageContext& context, const Request& request,
                          std::string_view problem, int status) {
  const Catalog& catalog = context.catalog;
  const auto workstations = context.services.workstations.List();
  if (!workstations) return ShowFailure(context, request, workstations.error());
  Data data = Frame(context, request, catalog.Text("workstations.title"), "workstations",
                    "/events/workstations");
  Data list = List();
  for (const WorkstationView& workstation : *workstations) {
    list << WorkstationData(catalog, workstation);
  }
  PutFlag(data, "any", !workstations->empty());
  data["workstations"] = std::move(list);
  PutMaybe(data, "problem", problem);
  return Show(context, request, "workstations", data, status);
}

Response AfterDecision(const PageContext& context, const Request& request,
                       const Result<void>& done) {
  if (done) return Response::SeeOther("/workstations");
  context.services.report(request, done.error());
  return ListWorkstations(context, request, done.error().message, HttpStatus(done.error().code));
}

Response ListAudit(const PageContext& context, const Request& request) {
  const Catalog& catalog = context.catalog;
  std::uint64_t before = 0;
  const std::string_view text = request.Query("before");
  if (!text.empty()) {
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), before);
    if (failure != std::errc() || end != text.data() + text.size()) {
      return ShowNotFound(context, request);
    }
  }
  const auto rows = context.services.audit.List(before, kRowsOnAPage);
  if (!rows) return ShowFailure(context, request, rows.error());
  Data data = Frame(context, request, catalog.Text("audit.title"), "audit");
  Data list = List();
  for (const AuditView& row : *rows) list << AuditData(row);
  PutFlag(data, "any", !rows->empty());
  data["rows"] = std::move(list);
  data["older"] = Data(false);
  if (rows->size() == kRowsOnAPage && rows->back().number > 1) {
    Put(data, "older", "/audit?before=" + std::to_string(rows->back().number));
  }
  return Show(context, request, "audit", data);
}

}  // namespace

void AddOperationPages(Router& router, const PageContext& context,
                       std::function<void(const WorkstationId&)> end_stream) {
  router.Add({Method::kGet, "/workstations", Access::kAdministrator,
              [context](Request& request) { return ListWorkstations(context, request, "", 200); }});
  router.Add({Method::kPost,
              "/workstations/{id}/approve",
              Access::kAdministrator,
              PageWithId<WorkstationId>(
                  context,
                  [](const PageContext& page, Request& request, const WorkstationId& id) {
                    return AfterDecision(
                        page, request,
                        page.services.workstations.Approve(request.session->actor, id));
                  }),
              {},
              Body::kForm,
              {CsrfField()}});
  router.Add({Method::kPost,
              "/workstations/{id}/allow-login",
              Access::kAdministrator,
              PageWithId<WorkstationId>(
                  context,
                  [](const PageContext& page, Request& request, const WorkstationId& id) {
                    return AfterDecision(
                        page, request,
                        page.services.workstations.AllowLogin(request.session->actor, id));
                  }),
              {},
              Body::kForm,
              {CsrfField()}});
  router.Add({Method::kPost,
              "/workstations/{id}/revoke",
              Access::kAdministrator,
              PageWithId<WorkstationId>(
                  context,
                  [end_stream](const PageContext& page, Request& request, const WorkstationId& id) {
                    const auto done = page.services.workstations.Revoke(request.session->actor, id);
                    end_stream(id);
                    return AfterDecision(page, request, done);
                  }),
              {},
              Body::kForm,
              {CsrfField()}});
  router.Add({Method::kGet,
              "/audit",
              Access::kAdministrator,
              [context](Request& request) { return ListAudit(context, request); },
              {"before"}});
}

}  // namespace keyferry::server
