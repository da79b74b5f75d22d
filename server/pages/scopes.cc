#include "server/pages/frame.h"
#include "server/pages/models.h"

namespace keyferry::server {
namespace {

constexpr std::size_t kPreviewOnAPage = 25;

struct RoleText {
  Role role;
  const char* text;
};
constexpr RoleText kRoles[] = {{Role::kAdministrator, "role.administrator"},
                               {Role::kHelpDesk, "role.help_desk"},
                               {Role::kKeyOfficer, "role.key_officer"},
                               {Role::kAuditor, "role.auditor"}};

// Whom one role reaches: every role's rules, and the people of one.
Response ShowScopes(const PageContext& context, const Request& request, const RoleText& shown) {
  const Catalog& catalog = context.catalog;
  PeopleService& people = context.services.people;
  const auto found =
      people.Preview(request.session->actor, shown.role, kPreviewOnAPage, request.Query("cursor"));
  if (!found) return ShowFailure(context, request, found.error());
  Data data = Frame(context, request, catalog.Text("scopes.title"), "scopes");
  Data roles = List();
  for (const RoleText& one : kRoles) {
    Data row;
    Put(row, "role", Name(one.role));
    Put(row, "text", catalog.Text(one.text));
    PutFlag(row, "shown", one.role == shown.role);
    roles << row;
  }
  data["roles"] = std::move(roles);
  Data rules = List();
  bool any_rule = false;
  for (const PeopleScope& scope : people.Scopes()) {
    if (scope.role != shown.role) continue;
    Data row;
    Put(row, "rule", Describe(scope));
    rules << row;
    any_rule = true;
  }
  PutFlag(data, "any_rule", any_rule);
  data["rules"] = std::move(rules);
  Data list = List();
  for (const Person& person : found->people) list << PersonRow(person);
  PutFlag(data, "any", !found->people.empty());
  data["people"] = std::move(list);
  Put(data, "summary",
      catalog.Text(found->complete ? "scopes.count" : "scopes.more",
                   {std::to_string(found->count), catalog.Text(shown.text)}));
  data["next"] = Data(false);
  if (!found->next.empty()) {
    Put(data, "next", "/scopes/" + std::string(Name(shown.role)) + "?cursor=" + found->next);
  }
  return Show(context, request, "scopes", data);
}

}  // namespace

void AddScopePages(Router& router, const PageContext& context) {
  router.Add({Method::kGet, "/scopes", Right::kScopesRead,
              [](Request&) { return Response::SeeOther("/scopes/help_desk"); }});
  router.Add({Method::kGet,
              "/scopes/{role}",
              Right::kScopesRead,
              [context](Request& request) {
                for (const RoleText& one : kRoles) {
                  if (request.captures[0] == Name(one.role)) {
                    return ShowScopes(context, request, one);
                  }
                }
                return ShowNotFound(context, request);
              },
              {"cursor"},
              Body::kNone,
              {},
              /*slow=*/true});
}

}  // namespace keyferry::server
