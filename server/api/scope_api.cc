// Scopes: whom each role reaches, and what one person may.
#include "server/api/handlers.h"

namespace keyferry::server {
namespace {

namespace json = boost::json;

constexpr std::size_t kMostPreviewed = 200;

json::array Texts(const std::vector<std::string>& texts) {
  return json::array(texts.begin(), texts.end());
}

json::object ToJson(const PeopleList& list) {
  return {{"users", Texts(list.users)}, {"groups", Texts(list.groups)}, {"ous", Texts(list.ous)}};
}

Response ListScopes(Services& services) {
  json::array scopes;
  for (const PeopleScope& scope : services.people.Scopes()) {
    scopes.push_back({{"role", Name(scope.role)},
                      {"include", ToJson(scope.include)},
                      {"exclude", ToJson(scope.exclude)}});
  }
  return Ok({{"scopes", std::move(scopes)}});
}

Response ShowScope(Services& services, Request& request) {
  const auto limit = ReadLimit(request, kMostPreviewed);
  if (!limit) return Problem(request, limit.error());
  for (const Role role : kAllRoles) {
    if (request.captures[0] != Name(role)) continue;
    const auto found =
        services.people.Preview(request.session->actor, role, *limit, request.Query("cursor"));
    if (!found) return Answer(services, request, found.error());
    json::array people;
    for (const Person& person : found->people) people.push_back(ToJson(person));
    return Ok({{"people", std::move(people)},
               {"next", found->next},
               {"count", found->count},
               {"complete", found->complete}});
  }
  return NoSuchThing(request);
}

Response ShowRights(Services& services, Request& request, const AccountId& id) {
  const auto roles = services.people.RolesOf(request.session->actor, id);
  if (!roles) return Answer(services, request, roles.error());
  json::array names, rights;
  for (const Role role : kAllRoles) {
    if (roles->Has(role)) names.emplace_back(Name(role));
  }
  for (const RightInfo& info : AllRights()) {
    if (May(*roles, info.right)) rights.emplace_back(info.name);
  }
  return Ok({{"roles", std::move(names)}, {"rights", std::move(rights)}});
}

}  // namespace

void AddScopeRoutes(Router& router, Services& services) {
  router.Add(Reading("/scopes", Right::kScopesRead,
                     [&services](Request&) { return ListScopes(services); }));
  Route scope = Reading("/scopes/{role}", Right::kScopesRead,
                        [&services](Request& request) { return ShowScope(services, request); },
                        {"cursor", "limit"});
  scope.slow = true;
  router.Add(std::move(scope));
  router.Add(Reading("/employees/{id}/rights", Right::kScopesRead,
                     WithId<AccountId>(services, ShowRights)));
}

}  // namespace keyferry::server
