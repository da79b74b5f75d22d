// Workstations as administrators see and judge them.
#include "server/api/handlers.h"
#include "server/api/json_reader.h"
#include "server/api/once.h"

namespace keyferry::server {
namespace {

namespace json = boost::json;

constexpr std::size_t kMostAtOnce = 500;

std::string IdOf(const WorkstationView& view) { return view.id.Hex(); }

Response ShowWorkstation(Services& services, Request& request, const WorkstationId& id) {
  const auto all = services.workstations.List();
  if (!all) return Answer(services, request, all.error());
  for (const WorkstationView& view : *all) {
    if (view.id == id) return Ok(ToJson(view));
  }
  return ProblemOf(request, "not_found", "There is no such workstation.");
}

Response ApproveMatching(Services& services, Request& request) {
  JsonReader in(request.body.span());
  std::vector<WorkstationId> ids;
  std::vector<JsonReader> elements = in.Objects("workstations", kMostAtOnce);
  for (JsonReader& element : elements) {
    ids.push_back(element.Identifier<WorkstationId>("id"));
    if (const auto bad = element.Finish(); !bad) return Problem(request, bad.error());
  }
  if (const auto bad = in.Finish(); !bad) return Problem(request, bad.error());
  const auto decided = services.workstations.ApproveMatching(request.session->actor, ids);
  if (!decided) return Answer(services, request, decided.error());
  json::array list;
  for (const WorkstationDecision& one : *decided) {
    list.push_back({{"id", one.id.Hex()},
                    {"name", one.name},
                    {"approved", !one.refused},
                    {"reason", one.refused ? one.refused->message : std::string()}});
  }
  return Ok({{"workstations", std::move(list)}});
}

}  // namespace

void AddWorkstationAdminRoutes(Router& router, Services& services,
                               std::function<void(const WorkstationId&)> end_stream) {
  router.Add(Reading("/workstations", Right::kWorkstationsRead,
                     [&services](Request& request) {
                       return PageById(services, request, "workstations",
                                       services.workstations.List(), IdOf);
                     },
                     {"cursor", "limit"}));
  router.Add(Reading("/workstations/{id}", Right::kWorkstationsRead,
                     WithId<WorkstationId>(services, ShowWorkstation)));
  router.Add(Reading("/workstation-matches", Right::kWorkstationsRead,
                     [&services](Request& request) {
                       return PageById(
                           services, request, "workstations",
                           services.workstations.Matches(request.session->actor),
                           [](const WorkstationMatch& match) { return IdOf(match.workstation); });
                     },
                     {"cursor", "limit"}));
  router.Add(Writing("/workstation-matches/approve", Right::kWorkstationsWrite, Body::kJson,
                     Once(services, [&services](Request& request) {
                       return ApproveMatching(services, request);
                     })));
  const auto decide = [&](const char* pattern, auto step) {
    router.Add(Writing(
        pattern, Right::kWorkstationsWrite, Body::kNone,
        Once(services, WithId<WorkstationId>(services, [step](Services& all, Request& request,
                                                              const WorkstationId& id) {
               return Done(all, request, step(all, request, id));
             }))));
  };
  decide("/workstations/{id}/approve",
         [](Services& all, const Request& request, const WorkstationId& id) {
           return all.workstations.Approve(request.session->actor, id);
         });
  decide("/workstations/{id}/allow-login",
         [](Services& all, const Request& request, const WorkstationId& id) {
           return all.workstations.AllowLogin(request.session->actor, id);
         });
  decide("/workstations/{id}/revoke",
         [end_stream](Services& all, const Request& request, const WorkstationId& id) {
           auto done = all.workstations.Revoke(request.session->actor, id);
           end_stream(id);
           return done;
         });
}

}  // namespace keyferry::server
