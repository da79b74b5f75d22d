#include "server/api/admin_api.h"

#include <chrono>
#include <mutex>
#include <optional>

#include "server/api/handlers.h"
#include "server/api/policy_api.h"

namespace keyferry::server {
namespace {

namespace json = boost::json;

json::object WhoAmI(const Session& session) {
  json::array roles, rights;
  for (const Role role : kAllRoles) {
    if (session.actor.roles.Has(role)) roles.emplace_back(Name(role));
  }
  for (const RightInfo& info : AllRights()) {
    if (May(session.actor.roles, info.right)) rights.emplace_back(info.name);
  }
  return {{"login", session.actor.login},
          {"display_name", session.actor.display_name},
          {"roles", std::move(roles)},
          {"rights", std::move(rights)},
          {"csrf", session.csrf},
          {"expires", session.expires * 1000},
          {"idle_until", session.idle_until * 1000}};
}

Response SignIn(Services& services, Request& request) {
  const SecureBytes password = request.form->TakeSecret("password");
  auto signed_in = services.sessions.SignIn(request.form->Text("name"), password, request.address);
  if (!signed_in) return Answer(services, request, signed_in.error());
  Response response = Ok(WhoAmI(signed_in->session), 201);
  return std::move(response.With("Set-Cookie", SessionCookie(signed_in->token)));
}

// Whether the directory answers. Anybody may ask, so it is looked up at most every five seconds.
class Health {
 public:
  bool DirectoryAnswers(Services& services, const Request& request) {
    const std::lock_guard lock(mutex_);
    const auto now = services.clock.Now();
    if (!asked_ || now - *asked_ >= std::chrono::seconds(5)) {
      const auto ping = services.directory.Ping();
      if (!ping) services.report(request, ping.error());
      answers_ = ping.has_value();
      asked_ = services.clock.Now();
    }
    return answers_;
  }

 private:
  std::mutex mutex_;
  std::optional<std::chrono::steady_clock::time_point> asked_;
  bool answers_ = false;
};

void AddSessionRoutes(Router& router, Services& services) {
  Route sign_in = Writing("/session", Access::kPublic, Body::kForm,
                          [&services](Request& request) { return SignIn(services, request); });
  sign_in.form = {{"name", 256, false, true}, {"password", 1024, true, true}};
  router.Add(std::move(sign_in));
  router.Add(Reading("/session", Right::kSession,
                     [](Request& request) { return Ok(WhoAmI(*request.session)); }));
  Route sign_out = Reading("/session", Right::kSession, [&services](Request& request) {
    services.sessions.SignOut(request.session_token);
    return std::move(Response::NoContent()
                         .With("Set-Cookie", EndedSessionCookie())
                         .With("Clear-Site-Data", "\"cache\", \"storage\""));
  });
  sign_out.method = Method::kDelete;
  router.Add(std::move(sign_out));
}

void AddPublicRoutes(Router& router, Services& services) {
  auto health = std::make_shared<Health>();
  router.Add(Reading("/health", Access::kPublic, [&services, health](Request& request) {
    const bool ok = health->DirectoryAnswers(services, request);
    return Ok({{"status", ok ? "ok" : "degraded"}, {"directory", ok ? "ok" : "unavailable"}});
  }));
  router.Add(Reading("/openapi.json", Access::kPublic,
                     [](Request&) { return Response::Json(std::string(OpenApiDocument())); }));
  router.Add(Reading("/problems/{name}", Access::kPublic, [](Request& request) {
    const ProblemType* const type = FindProblemType(request.captures[0]);
    if (type == nullptr) return NoSuchThing(request);
    return Ok({{"code", type->name}, {"status", type->status}, {"meaning", type->meaning}});
  }));
}

}  // namespace

void AddAdminRoutes(Router& router, Services& services,
                    std::shared_ptr<WorkstationStreams> streams) {
  AddSessionRoutes(router, services);
  AddPeopleRoutes(router, services);
  AddKeyRoutes(router, services);
  AddWorkstationAdminRoutes(router, services,
                            [streams](const WorkstationId& id) { streams->Close(id); });
  if (services.rotation != nullptr) AddPolicyRoutes(router, services);
  AddAuditRoutes(router, services);
  AddTokenRoutes(router, services);
  AddPublicRoutes(router, services);
}

}  // namespace keyferry::server
