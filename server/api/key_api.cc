// Keys: their life, enrolment, and where they are seen.
#include "server/api/handlers.h"
#include "server/api/json_reader.h"
#include "server/api/once.h"
#include "server/api/theirs.h"

namespace keyferry::server {
namespace {

namespace json = boost::json;

// A key that some workstation sees now.
struct SeenView {
  DeviceId device;
  std::string workstation_name;
  std::string login;  // of its person; empty = it belongs to nobody
};

json::object ToJson(const SeenView& seen) {
  return {{"device", seen.device.Hex()},
          {"workstation_name", seen.workstation_name},
          {"assigned", !seen.login.empty()},
          {"login", seen.login}};
}

Result<std::vector<SeenView>> Seen(Services& services, const Request& request) {
  const auto keys = AmongTheirs(services, request, Right::kKeysRead, services.keys.List());
  if (!keys) return tl::unexpected(keys.error());
  const auto fresh = services.keys.Unassigned();
  if (!fresh) return tl::unexpected(fresh.error());
  std::vector<SeenView> seen;
  for (const KeyView& key : *keys) {
    if (!key.seen_at.empty()) seen.push_back({key.device, key.seen_at, key.login});
  }
  for (const NewKeyView& key : *fresh) seen.push_back({key.device, key.workstation_name, {}});
  return seen;
}

Response ShowPresence(Services& services, Request& request) {
  const auto wanted = ReadPage(request, "presence");
  if (!wanted) return Problem(request, wanted.error());
  auto seen = Seen(services, request);
  if (!seen) return Answer(services, request, seen.error());
  const auto page = CutById(*std::move(seen), *wanted, "presence",
                            [](const SeenView& view) { return view.device.Hex(); });
  json::array array;
  for (const SeenView& view : page.views) array.push_back(ToJson(view));
  return Ok({{"presence", std::move(array)}, {"next", page.next}});
}

Response BeginEnrolment(Services& services, Request& request) {
  JsonReader in(request.body.span());
  const auto account = in.Identifier<AccountId>("account");
  const auto device = in.Identifier<DeviceId>("device");
  const auto workstation = in.Identifier<WorkstationId>("workstation");
  const auto replaces = in.OptionalIdentifier<DeviceId>("replace");
  const bool by_mail = in.OptionalBool("mail", false);
  if (const auto bad = in.Finish(); !bad) return Problem(request, bad.error());
  if (by_mail && services.activation_mail == nullptr) {
    return ProblemOf(request, "invalid_request",
                     "No mail server is configured, so the code cannot be mailed.");
  }
  const auto begun =
      services.keys.BeginEnrolment(request.session->actor, account, device, workstation, replaces);
  if (!begun) return Refusal(services, request, begun.error());
  json::object body{{"id", begun->id.Hex()}, {"activation_code", begun->activation_code}};
  if (by_mail) {
    // The enrolment stands however that ends: the code is in this answer.
    const auto mailed =
        services.activation_mail->Send(request.session->actor, account, begun->activation_code);
    if (!mailed) services.report(request, mailed.error());
    body["mailed_to"] = mailed ? *mailed : std::string();
    body["mail_problem"] = mailed ? std::string() : mailed.error().message;
  }
  return Ok(body, 201);
}

void AddStep(Router& router, Services& services, KeyStep step, const char* pattern) {
  router.Add(Writing(
      pattern, RightOf(step), Body::kJson,
      Once(services,
           WithId<DeviceId>(services, [step](Services& all, Request& request, const DeviceId& id) {
             JsonReader in(request.body.span());
             const std::string reason = in.Text("reason", 1, 200);
             if (const auto bad = in.Finish(); !bad) {
               return Problem(request, bad.error());
             }
             return One(all, request, all.keys.Step(request.session->actor, id, step, reason));
           }))));
}

}  // namespace

void AddKeyRoutes(Router& router, Services& services) {
  router.Add(Reading("/keys", Right::kKeysRead,
                     [&services](Request& request) {
                       return PageById(
                           services, request, "keys",
                           AmongTheirs(services, request, Right::kKeysRead, services.keys.List()),
                           [](const KeyView& key) { return key.device.Hex(); });
                     },
                     {"cursor", "limit"}));
  router.Add(Reading("/keys/unassigned", Right::kEnrolmentsRead,
                     [&services](Request& request) {
                       return PageById(services, request, "keys", services.keys.Unassigned(),
                                       [](const NewKeyView& key) { return key.device.Hex(); });
                     },
                     {"cursor", "limit"}));
  router.Add(Reading(
      "/keys/{device}", Right::kKeysRead,
      WithId<DeviceId>(services, [](Services& all, Request& request, const DeviceId& id) {
        return One(all, request, OfTheirs(all, request, Right::kKeysRead, all.keys.Get(id), [&] {
                     return all.keys.Get(DeviceId{});
                   }));
      })));
  router.Add(Reading("/presence", Right::kEnrolmentsRead,
                     [&services](Request& request) { return ShowPresence(services, request); },
                     {"cursor", "limit"}));
  AddStep(router, services, KeyStep::kSuspend, "/keys/{device}/suspend");
  AddStep(router, services, KeyStep::kResume, "/keys/{device}/resume");
  AddStep(router, services, KeyStep::kCompromise, "/keys/{device}/compromise");
  AddStep(router, services, KeyStep::kDeactivate, "/keys/{device}/deactivate");
  router.Add(Writing(
      "/enrolments", Right::kKeysWrite, Body::kJson,
      Once(services, [&services](Request& request) { return BeginEnrolment(services, request); })));
  router.Add(Writing(
      "/enrolments/{id}/clear", Right::kKeysWrite, Body::kJson,
      Once(services, WithId<EnrolmentId>(services, [](Services& all, Request& request,
                                                      const EnrolmentId& id) {
             JsonReader in(request.body.span());
             const std::string reason = in.Text("reason", 1, 200);
             if (const auto bad = in.Finish(); !bad) return Problem(request, bad.error());
             return One(all, request, all.keys.ClearEnrolment(request.session->actor, id, reason));
           }))));
  router.Add(Reading(
      "/enrolments/{id}", Right::kEnrolmentsRead,
      WithId<EnrolmentId>(services, [](Services& all, Request& request, const EnrolmentId& id) {
        return One(all, request,
                   OfTheirs(all, request, Right::kEnrolmentsRead, all.keys.Enrolment(id),
                            [&] { return all.keys.Enrolment(EnrolmentId{}); }));
      })));
}

}  // namespace keyferry::server
