#include "server/api/admin_api.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <charconv>
#include <chrono>
#include <mutex>
#include <optional>

#include "server/api/answers.h"
#include "server/api/json_reader.h"
#include "server/api/problem.h"
#include "server/api/views_json.h"

namespace keyferry::server {
namespace {

namespace json = boost::json;

Response Ok(const json::object& body, int status = 200) {
  return Response::Json(json::serialize(body), status);
}

template <typename View>
Response ListOf(Services& services, const Request& request, const char* name,
                const Result<std::vector<View>>& views) {
  if (!views) return Answer(services, request, views.error());
  json::array array;
  for (const View& view : *views) array.push_back(ToJson(view));
  return Ok({{name, std::move(array)}});
}

template <typename View>
Response One(Services& services, const Request& request, const Result<View>& view) {
  return view ? Ok(ToJson(*view)) : Answer(services, request, view.error());
}

json::object WhoAmI(const Session& session) {
  return {{"login", session.actor.login},         {"display_name", session.actor.display_name},
          {"role", RoleName(session.actor.role)}, {"csrf", session.csrf},
          {"expires", session.expires * 1000},    {"idle_until", session.idle_until * 1000}};
}

Response SignIn(Services& services, Request& request) {
  const SecureBytes password = request.form->TakeSecret("password");
  auto signed_in = services.sessions.SignIn(request.form->Text("name"), password, request.address);
  if (!signed_in) return Answer(services, request, signed_in.error());
  Response response = Ok(WhoAmI(signed_in->session), 201);
  return std::move(response.With("Set-Cookie", SessionCookie(signed_in->token)));
}

Response ListEmployees(Services& services, Request& request) {
  const auto page = services.directory.Search(request.Query("query"), 50, request.Query("cursor"));
  if (!page) return Answer(services, request, page.error());
  json::array people;
  for (const Person& person : page->people) people.push_back(ToJson(person));
  return Ok({{"people", std::move(people)}, {"next", page->next}});
}

// False for what is no mode; empty = now.
bool ReadMode(std::string_view text, ChangeMode* mode) {
  *mode = text == Name(ChangeMode::kAtDelivery) ? ChangeMode::kAtDelivery : ChangeMode::kNow;
  return text.empty() || text == Name(*mode);
}

// The new password itself can only come in a form: its field is decoded straight into locked
// memory, which JSON cannot be.
Response ChangePassword(Services& services, Request& request, const AccountId& account) {
  ChangeRequest change;
  change.account = account;
  change.idempotency_key = request.Header("idempotency-key");
  if (!IsIdempotencyKey(change.idempotency_key)) {
    return Problem(request,
                   Error{ErrorCode::kInvalidArgument,
                         "The header Idempotency-Key must hold 8 to 64 printable characters.",
                         {},
                         0});
  }
  std::string mode;
  if (request.form) {
    const std::string_view generate = request.form->Text("generate");
    change.generate = generate != "false";
    mode = request.form->Text("mode");
    change.typed = request.form->TakeSecret("password");
    change.reason = request.form->Text("reason");
    change.must_change = request.form->Text("must_change") == "true";
    if ((!generate.empty() && generate != "true" && generate != "false") ||
        change.generate != change.typed.empty()) {
      return Problem(
          request,
          Error{
              ErrorCode::kInvalidArgument, "Either generate is true or password is given.", {}, 0});
    }
  } else {
    JsonReader in(request.body.span());
    change.generate = in.Bool("generate");
    change.reason = in.OptionalText("reason", 500, true);
    change.must_change = in.OptionalBool("must_change", false);
    change.unlock = in.OptionalBool("unlock", true);
    mode = in.OptionalText("mode", 16, true);
    if (const auto bad = in.Finish(); !bad) return Problem(request, bad.error());
    if (!change.generate) {
      return Problem(request, Error{ErrorCode::kInvalidArgument,
                                    "In JSON generate must be true; send a typed password as a "
                                    "form.",
                                    {},
                                    0});
    }
  }
  if (!ReadMode(mode, &change.mode)) {
    return Problem(request,
                   Error{ErrorCode::kInvalidArgument, "mode must be now or at_delivery.", {}, 0});
  }
  const auto view = services.changes.Start(request.session->actor, std::move(change));
  if (!view) return Answer(services, request, view.error());
  return Ok(ToJson(*view), 201);
}

Response BeginEnrolment(Services& services, Request& request) {
  JsonReader in(request.body.span());
  const auto account = in.Identifier<AccountId>("account");
  const auto device = in.Identifier<DeviceId>("device");
  const auto workstation = in.Identifier<WorkstationId>("workstation");
  const bool by_mail = in.OptionalBool("mail", false);
  if (const auto bad = in.Finish(); !bad) return Problem(request, bad.error());
  if (by_mail && services.activation_mail == nullptr) {
    return Problem(request, Error{ErrorCode::kInvalidArgument,
                                  "No mail server is configured, so the code cannot be mailed.",
                                  {},
                                  0});
  }
  const auto begun =
      services.keys.BeginEnrolment(request.session->actor, account, device, workstation);
  if (!begun) return Answer(services, request, begun.error());
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

Response ApproveMatching(Services& services, Request& request) {
  JsonReader in(request.body.span());
  std::vector<WorkstationId> ids;
  std::vector<JsonReader> elements = in.Objects("workstations", 500);
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

Response ListAudit(Services& services, Request& request) {
  std::uint64_t before = 0;
  const std::string_view text = request.Query("before");
  if (!text.empty()) {
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), before);
    if (failure != std::errc() || end != text.data() + text.size()) {
      return Problem(request,
                     Error{ErrorCode::kInvalidArgument, "before must be a number.", {}, 0});
    }
  }
  return ListOf(services, request, "rows", services.audit.List(before, 100));
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

template <typename Id>
using IdHandler = Response (*)(Services&, Request&, const Id&);

// A handler whose first capture is an identifier; anything else there is 404.
template <typename Id>
Handler WithId(Services& services, IdHandler<Id> handler) {
  return [&services, handler](Request& request) {
    const auto id = Id::Parse(request.captures[0]);
    return id ? handler(services, request, *id) : NoSuchThing(request);
  };
}

void AddSessionRoutes(Router& router, Services& services) {
  router.Add({Method::kPost,
              "/api/v1/session",
              Access::kPublic,
              [&services](Request& request) { return SignIn(services, request); },
              {},
              Body::kForm,
              {{"name", 256, false, true}, {"password", 1024, true, true}}});
  router.Add({Method::kGet, "/api/v1/session", Access::kSignedIn,
              [](Request& request) { return Ok(WhoAmI(*request.session)); }});
  router.Add({Method::kDelete, "/api/v1/session", Access::kSignedIn, [&services](Request& request) {
                services.sessions.SignOut(request.session_token);
                return std::move(Response::NoContent()
                                     .With("Set-Cookie", EndedSessionCookie())
                                     .With("Clear-Site-Data", "\"cache\", \"storage\""));
              }});
}

void AddEmployeeRoutes(Router& router, Services& services) {
  router.Add({Method::kGet,
              "/api/v1/employees",
              Access::kSignedIn,
              [&services](Request& request) { return ListEmployees(services, request); },
              {"query", "cursor"}});
  router.Add({Method::kGet, "/api/v1/employees/{id}", Access::kSignedIn,
              WithId<AccountId>(services, [](Services& all, Request& request, const AccountId& id) {
                return One(all, request, all.directory.Get(id));
              })});
  router.Add({Method::kPost,
              "/api/v1/employees/{id}/password",
              Access::kSignedIn,
              WithId<AccountId>(services, ChangePassword),
              {},
              Body::kFormOrJson,
              {{"generate", 5},
               {"password", 1024, true},
               {"reason", 500},
               {"must_change", 5},
               {"mode", 16},
               {"csrf", 128}},
              /*slow=*/true});
  router.Add({Method::kGet, "/api/v1/employees/{id}/changes", Access::kSignedIn,
              WithId<AccountId>(services, [](Services& all, Request& request, const AccountId& id) {
                return ListOf(all, request, "changes", all.changes.History(id, 50));
              })});
  router.Add({Method::kGet, "/api/v1/changes/{id}", Access::kSignedIn,
              WithId<ChangeId>(services, [](Services& all, Request& request, const ChangeId& id) {
                return One(all, request, all.changes.Get(id));
              })});
}

template <KeyStep kStep>
void AddStep(Router& router, Services& services, const char* name) {
  router.Add({Method::kPost,
              std::string("/api/v1/keys/{id}/") + name,
              Access::kSignedIn,
              WithId<DeviceId>(services,
                               [](Services& all, Request& request, const DeviceId& id) {
                                 JsonReader in(request.body.span());
                                 const std::string reason = in.Text("reason", 1, 200);
                                 if (const auto bad = in.Finish(); !bad) {
                                   return Problem(request, bad.error());
                                 }
                                 return One(
                                     all, request,
                                     all.keys.Step(request.session->actor, id, kStep, reason));
                               }),
              {},
              Body::kJson});
}

void AddKeyRoutes(Router& router, Services& services) {
  router.Add({Method::kGet, "/api/v1/keys", Access::kSignedIn, [&services](Request& request) {
                return ListOf(services, request, "keys", services.keys.List());
              }});
  router.Add({Method::kGet, "/api/v1/keys/unassigned", Access::kAdministrator,
              [&services](Request& request) {
                return ListOf(services, request, "keys", services.keys.Unassigned());
              }});
  router.Add({Method::kGet, "/api/v1/keys/{id}", Access::kSignedIn,
              WithId<DeviceId>(services, [](Services& all, Request& request, const DeviceId& id) {
                return One(all, request, all.keys.Get(id));
              })});
  AddStep<KeyStep::kSuspend>(router, services, "suspend");
  AddStep<KeyStep::kResume>(router, services, "resume");
  AddStep<KeyStep::kCompromise>(router, services, "compromise");
  AddStep<KeyStep::kDeactivate>(router, services, "deactivate");
  router.Add({Method::kPost,
              "/api/v1/enrolments",
              Access::kAdministrator,
              [&services](Request& request) { return BeginEnrolment(services, request); },
              {},
              Body::kJson});
  router.Add(
      {Method::kGet, "/api/v1/enrolments/{id}", Access::kAdministrator,
       WithId<EnrolmentId>(services, [](Services& all, Request& request, const EnrolmentId& id) {
         return One(all, request, all.keys.Enrolment(id));
       })});
}

}  // namespace

bool IsIdempotencyKey(std::string_view text) {
  if (text.size() < 8 || text.size() > 64) return false;
  for (const char c : text) {
    if (c <= 0x20 || c >= 0x7F) return false;
  }
  return true;
}

void AddAdminRoutes(Router& router, Services& services,
                    std::shared_ptr<WorkstationStreams> streams) {
  AddSessionRoutes(router, services);
  AddEmployeeRoutes(router, services);
  AddKeyRoutes(router, services);
  router.Add(
      {Method::kGet, "/api/v1/workstations", Access::kAdministrator, [&services](Request& request) {
         return ListOf(services, request, "workstations", services.workstations.List());
       }});
  router.Add({Method::kGet, "/api/v1/workstation-matches", Access::kAdministrator,
              [&services](Request& request) {
                return ListOf(services, request, "workstations",
                              services.workstations.Matches(request.session->actor));
              }});
  router.Add({Method::kPost,
              "/api/v1/workstation-matches/approve",
              Access::kAdministrator,
              [&services](Request& request) { return ApproveMatching(services, request); },
              {},
              Body::kJson});
  router.Add({Method::kPost, "/api/v1/workstations/{id}/approve", Access::kAdministrator,
              WithId<WorkstationId>(
                  services, [](Services& all, Request& request, const WorkstationId& id) {
                    const auto done = all.workstations.Approve(request.session->actor, id);
                    return done ? Response::NoContent() : Answer(all, request, done.error());
                  })});
  router.Add({Method::kPost, "/api/v1/workstations/{id}/allow-login", Access::kAdministrator,
              WithId<WorkstationId>(
                  services, [](Services& all, Request& request, const WorkstationId& id) {
                    const auto done = all.workstations.AllowLogin(request.session->actor, id);
                    return done ? Response::NoContent() : Answer(all, request, done.error());
                  })});
  router.Add({Method::kPost, "/api/v1/workstations/{id}/revoke", Access::kAdministrator,
              [&services, streams](Request& request) {
                const auto id = WorkstationId::Parse(request.captures[0]);
                if (!id) return NoSuchThing(request);
                const auto done = services.workstations.Revoke(request.session->actor, *id);
                streams->Close(*id);
                return done ? Response::NoContent() : Answer(services, request, done.error());
              }});
  router.Add({Method::kGet,
              "/api/v1/audit",
              Access::kAdministrator,
              [&services](Request& request) { return ListAudit(services, request); },
              {"before"}});
  auto health = std::make_shared<Health>();
  router.Add(
      {Method::kGet, "/api/v1/health", Access::kPublic, [&services, health](Request& request) {
         const bool ok = health->DirectoryAnswers(services, request);
         return Ok({{"status", ok ? "ok" : "degraded"}, {"directory", ok ? "ok" : "unavailable"}});
       }});
}

}  // namespace keyferry::server
