#include "server/pages/frame.h"

#include <sodium.h>

#include <algorithm>
#include <utility>

#include "server/api/problem.h"
#include "server/pages/pages.h"

namespace keyferry::server {
namespace {

constexpr std::pair<Role, const char*> kRoleTexts[] = {
    {Role::kHelpDesk, "role.help_desk"},
    {Role::kKeyOfficer, "role.key_officer"},
    {Role::kAuditor, "role.auditor"},
    {Role::kAdministrator, "role.administrator"}};

}  // namespace

std::string RandomToken() {
  unsigned char bytes[16];
  randombytes_buf(bytes, sizeof bytes);
  char hex[33];
  sodium_bin2hex(hex, sizeof hex, bytes, sizeof bytes);
  return hex;
}

std::string UrlEncoded(std::string_view text) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
        (byte >= 'A' && byte <= 'Z') || byte == '-' || byte == '_') {
      out += c;
    } else {
      out += '%';
      out += kDigits[byte >> 4];
      out += kDigits[byte & 15];
    }
  }
  return out;
}

Data Frame(const PageContext& context, const Request& request, std::string_view title,
           std::string_view at, std::string_view stream) {
  Data data;
  Put(data, "title", title);
  Put(data, "version", context.services.version);
  PutFlag(data, "font", context.catalog.HasAsset("inter-latin-wght-normal.woff2"));
  PutMaybe(data, "stream", stream);
  PutFlag(data, "refresh", false);
  data["me"] = Data(false);
  for (const RightInfo& info : AllRights()) {
    std::string flag = std::string("may_") + info.name;
    std::replace(flag.begin(), flag.end(), ':', '_');
    PutFlag(data, flag.c_str(), request.session && May(request.session->actor.roles, info.right));
  }
  if (request.session) {
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
    for (const char* place : {"employees", "help_desk", "keys", "workstations", "policies", "audit",
                              "check_up", "tokens"}) {
      PutFlag(me, (std::string("at_") + place).c_str(), at == place);
    }
    data["me"] = std::move(me);
    Put(data, "csrf", request.session->csrf);
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
  Put(data, "message", error.message);
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
    return ShowError(PageContext{services, catalog}, request, status, error);
  };
}

void AddPageRoutes(Router& router, Services& services, const Catalog& catalog,
                   std::shared_ptr<WorkstationStreams> streams) {
  const PageContext context{services, catalog};
  router.Add({Method::kGet, "/", Right::kPeopleRead,
              [](Request&) { return Response::SeeOther("/employees"); }});
  router.Add(
      {Method::kGet, "/assets/{version}/{file}", Access::kPublic, [context](Request& request) {
         const auto* const asset =
             context.catalog.FindAsset(request.captures[0], request.captures[1]);
         if (asset == nullptr) return ShowNotFound(context, request);
         Response response;
         response.content_type = asset->content_type;
         response.shared_body = asset->body;
         response.cacheable = true;
         return response;
       }});
  AddSignInRoutes(router, context);
  AddEmployeePages(router, context);
  AddPasswordPages(router, context);
  AddKeyPages(router, context);
  AddCheckUpPage(router, context);
  if (services.rotation != nullptr) AddPolicyPages(router, context);
  AddTokenPage(router, context);
  if (services.help_desk != nullptr) AddHelpDeskPages(router, context);
  AddOperationPages(router, context, [streams](const WorkstationId& id) { streams->Close(id); });
  AddEventRoutes(router, context);
}

}  // namespace keyferry::server
