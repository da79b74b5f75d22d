#include "server/pages/frame.h"

#include <sodium.h>

#include <algorithm>
#include <utility>

#include "server/api/guard.h"
#include "server/api/problem.h"
#include "server/http/target.h"
#include "server/pages/fido.h"
#include "server/pages/language.h"
#include "server/pages/pages.h"

namespace keyferry::server {
namespace {

constexpr std::pair<Role, const char*> kRoleTexts[] = {
    {Role::kEmployee, "role.employee"},
    {Role::kHelpDesk, "role.help_desk"},
    {Role::kKeyOfficer, "role.key_officer"},
    {Role::kAuditor, "role.auditor"},
    {Role::kAdministrator, "role.administrator"}};

constexpr std::pair<const char*, Right> kSetUp[] = {{"policies", Right::kPoliciesRead},
                                                    {"scopes", Right::kScopesRead},
                                                    {"check_up", Right::kCheckUpRead},
                                                    {"tokens", Right::kTokensRead}};

// Where a reader who takes another language comes back to: this page, if it can be asked for again.
std::string Here(const Request& request) {
  if (request.method != Method::kGet) return "/";
  std::string here = request.PathText();
  char mark = '?';
  for (const auto& [name, value] : request.query) {
    here += mark + QueryText(name) + "=" + QueryText(value);
    mark = '&';
  }
  return here;
}

void PutLanguages(const PageContext& context, const Request& request, Data& data) {
  Data languages = List();
  for (const Catalog::LanguageName& language : context.catalog.Languages()) {
    Data one;
    Put(one, "tag", language.tag);
    Put(one, "name", language.name);
    PutFlag(one, "current", language.tag == context.catalog.Text("lang"));
    languages << one;
  }
  data["languages"] = std::move(languages);
  Put(data, "here", Here(request));
}

// What is no language of the pages changes nothing, and never reaches a header.
Response ChangeLanguage(const Catalog& catalog, Request& request) {
  Response response = Response::SeeOther(SafeNext(request.form->Text("next")));
  for (const Catalog::LanguageName& language : catalog.Languages()) {
    if (language.tag == request.form->Text("language")) {
      response.With("Set-Cookie", LanguageCookie(language.tag));
    }
  }
  return response;
}

Handler InLanguage(const Catalog& catalog, Handler handler) {
  return [&catalog, handler = std::move(handler)](Request& request) {
    const Catalog::Speaking language(catalog, request.Cookie(kLanguageCookie),
                                     request.Header("accept-language"));
    return handler(request);
  };
}

}  // namespace

std::string RandomToken() {
  unsigned char bytes[16];
  randombytes_buf(bytes, sizeof bytes);
  char hex[33];
  sodium_bin2hex(hex, sizeof hex, bytes, sizeof bytes);
  return hex;
}

Data Frame(const PageContext& context, const Request& request, std::string_view title,
           std::string_view at, std::string_view stream) {
  Data data;
  Put(data, "title", title);
  Put(data, "version", context.services.version);
  PutFlag(data, "font", context.catalog.HasAsset("inter-latin-wght-normal.woff2"));
  PutMaybe(data, "stream", stream);
  PutFlag(data, "refresh", false);
  PutFlag(data, "pace", false);
  PutLanguages(context, request, data);
  data["me"] = Data(false);
  for (const RightInfo& info : AllRights()) {
    std::string flag = std::string("may_") + info.name;
    std::replace(flag.begin(), flag.end(), ':', '_');
    PutFlag(data, flag.c_str(), request.session && May(request.session->actor.roles, info.right));
  }
  if (request.session) Put(data, "csrf", request.session->csrf);
  if (request.session && request.session->stage == SessionStage::kComplete) {
    const Actor& actor = request.session->actor;
    Data me;
    Put(me, "name", actor.display_name.empty() ? actor.login : actor.display_name);
    std::string roles;
    for (const auto& [role, text] : kRoleTexts) {
      if (actor.roles.Has(role)) roles += (roles.empty() ? "" : ", ") + context.catalog.Text(text);
    }
    Put(me, "role", roles);
    PutFlag(me, "desk",
            context.services.help_desk != nullptr && May(actor.roles, Right::kChangesWrite));
    PutFlag(me, "approvals",
            context.services.four_eyes != nullptr && May(actor.roles, Right::kApprovalsRead));
    for (const char* place :
         {"employees", "help_desk", "keys", "workstations", "policies", "reports", "audit",
          "check_up", "scopes", "approvals", "tokens", "alarm"}) {
      PutFlag(me, (std::string("at_") + place).c_str(), at == place);
    }
    // What is set up now and then has a menu of its own.
    bool more = false, at_more = false;
    for (const auto& [place, right] : kSetUp) {
      more = more || May(actor.roles, right);
      at_more = at_more || at == place;
    }
    PutFlag(me, "own", context.services.self_service);
    PutFlag(me, "more", more);
    PutFlag(me, "at_more", at_more);
    PutFlag(me, "alarm", false);
    if (May(actor.roles, Right::kAlarmRead)) PutAlarm(context, request, me);
    data["me"] = std::move(me);
  }
  return data;
}

Response Show(const PageContext& context, const Request& request, std::string_view page,
              const Data& data, int status) {
  auto html = context.catalog.Render(page, data);
  if (!html) {
    context.services.report(request, html.error());
    if (page != "error") return ShowError(context, request, 500, html.error());
    Response plain;
    plain.status = status;
    plain.content_type = "text/plain; charset=utf-8";
    plain.body = html.error().message + "\n";
    return plain;
  }
  return Response::Html(std::move(*html), status);
}

Response ShowError(const PageContext& context, const Request& request, int status,
                   const Error& error) {
  const Catalog& catalog = context.catalog;
  const char* heading = "error.internal";
  const char* next = "error.internal_next";
  switch (status) {
    case 404:
      heading = "error.not_found";
      next = "error.not_found_next";
      break;
    case 403:
      heading = "error.forbidden";
      next = "";
      break;
    case 405:
      heading = "error.method";
      next = "error.bad_next";
      break;
    case 503:
    case 504:
    case 429:
      heading = "error.unavailable";
      next = "error.unavailable_next";
      break;
    default:
      if (status < 500) {
        heading = "error.bad";
        next = "error.bad_next";
      }
      break;
  }
  Data data = Frame(context, request, catalog.Text(heading), "");
  Put(data, "kind", catalog.Text("error.kind", {std::to_string(status)}));
  Put(data, "heading", catalog.Text(heading));
  Put(data, "message", catalog.Say(error.message));
  PutMaybe(data, "next_step", *next == '\0' ? std::string() : catalog.Text(next));
  PutMaybe(data, "id", request.id);
  return Show(context, request, "error", data, status);
}

Response ShowFailure(const PageContext& context, const Request& request, const Error& error) {
  context.services.report(request, error);
  return ShowError(context, request, HttpStatus(error.code), error);
}

Response ShowNotFound(const PageContext& context, const Request& request) {
  return ShowError(context, request, 404,
                   Error{ErrorCode::kNotFound, "There is nothing at this address.", {}, 0});
}

Router::ErrorPage MakeErrorPage(Services& services, const Catalog& catalog) {
  return [&services, &catalog](const Request& request, int status, const Error& error) {
    if (status >= 500) services.report(request, error);
    if (IsApi(request)) return ProblemOfStatus(request, status, error);
    const Catalog::Speaking speaking(catalog, request.Cookie(kLanguageCookie),
                                     request.Header("accept-language"));
    return ShowError(PageContext{services, catalog}, request, status, error);
  };
}

void AddPageRoutes(Router& all, Services& services, const Catalog& catalog,
                   std::shared_ptr<WorkstationStreams> streams) {
  const PageContext context{services, catalog};
  Router router;
  router.Add({Method::kGet, "/", Right::kSelf, [](Request& request) {
                return Response::SeeOther(PlaceOf(*request.session, "/employees"));
              }});
  router.Add(
      {Method::kGet, "/assets/{version}/{file}", Access::kPublic, [context](Request& request) {
         const auto asset = context.catalog.FindAsset(request.captures[0], request.captures[1]);
         if (!asset) return ShowNotFound(context, request);
         Response response;
         response.content_type = asset->content_type;
         response.shared_body = asset->body;
         response.cacheable = true;
         return response;
       }});
  router.Add({Method::kPost,
              "/language",
              Access::kPublic,
              [context](Request& request) { return ChangeLanguage(context.catalog, request); },
              {},
              Body::kForm,
              {{"language", 35, false, true}, {"next", 2048}}});
  AddSignInRoutes(router, context);
  AddNegotiateRoute(router, context);
  AddFactorPages(router, context);
  AddSessionPages(router, context);
  AddFidoPages(router, context);
  if (services.self_service) AddOwnPages(router, context);
  if (services.self_service && services.questions != nullptr) AddQuestionPages(router, context);
  AddEmployeePages(router, context);
  AddPasswordPages(router, context);
  if (services.account_steps != nullptr) AddAccountStepPages(router, context);
  AddKeyPages(router, context);
  AddCheckUpPage(router, context);
  if (services.rotation != nullptr) AddPolicyPages(router, context);
  AddTokenPage(router, context);
  if (services.alarm != nullptr) AddAlarmPage(router, context);
  if (services.notices != nullptr) AddNoticePages(router, context);
  if (services.help_desk != nullptr) AddHelpDeskPages(router, context);
  AddScopePages(router, context);
  if (services.audit_filters != nullptr) AddAuditPages(router, context);
  if (services.reports != nullptr) AddReportPages(router, context);
  if (services.four_eyes != nullptr) AddApprovalPages(router, context);
  if (services.webhooks != nullptr) AddWebhookPages(router, context);
  AddOperationPages(router, context, [streams](const WorkstationId& id) { streams->Close(id); });
  AddEventRoutes(router, context);
  for (Route route : router.routes()) {
    route.handler = InLanguage(catalog, std::move(route.handler));
    all.Add(std::move(route));
  }
}

}  // namespace keyferry::server
