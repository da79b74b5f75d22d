// Sessions that stand, one's own and those of a person, and their end.
#include <algorithm>

#include "server/api/handlers.h"

namespace keyferry::server {
namespace {

namespace json = boost::json;

// By when they began, whatever ends meanwhile.
std::string SessionKey(const Session& session) {
  const std::string seconds = std::to_string(std::max<std::int64_t>(session.created, 0));
  return std::string(20 - seconds.size(), '0') + seconds + session.id.Hex();
}

json::object SessionJson(const Session& session, const SessionId& current) {
  return {{"id", session.id.Hex()},
          {"account", session.actor.id.Hex()},
          {"login", session.actor.login},
          {"browser", session.browser},
          {"address", session.address},
          {"created", session.created * 1000},
          {"idle_until", session.idle_until * 1000},
          {"expires", session.expires * 1000},
          {"current", session.id == current}};
}

Response SessionsOf(Services& services, Request& request, const AccountId& account) {
  const auto wanted = ReadPage(request, "sessions");
  if (!wanted) return Problem(request, wanted.error());
  auto all = services.sessions.List();
  if (!all) return Answer(services, request, all.error());
  std::erase_if(*all, [&](const Session& session) { return session.actor.id != account; });
  const auto page = CutById(*std::move(all), *wanted, "sessions", SessionKey);
  json::array list;
  for (const Session& session : page.views) {
    list.push_back(SessionJson(session, request.session->id));
  }
  return Ok({{"sessions", std::move(list)}, {"next", page.next}});
}

Response Ended(Services& services, const Request& request, const Result<std::size_t>& count) {
  return count ? Ok({{"ended", *count}}) : Answer(services, request, count.error());
}

Response SessionsOfPerson(Services& services, Request& request, const AccountId& account) {
  const auto reach = services.people.Check(request.session->actor, Right::kSignInsWrite, account);
  return reach ? SessionsOf(services, request, account) : Answer(services, request, reach.error());
}

Response EndAllOfPerson(Services& services, Request& request, const AccountId& account) {
  const auto reach = services.people.Check(request.session->actor, Right::kSignInsWrite, account);
  if (!reach) return Answer(services, request, reach.error());
  return Ended(services, request, services.sessions.EndAll(request.session->actor, account));
}

Response EndOneSession(Services& services, Request& request, const SessionId& id) {
  return Done(services, request, services.sessions.End(request.session->actor, id));
}

Route Ending(const char* pattern, Needs needs, Handler handler) {
  Route route = Reading(pattern, needs, std::move(handler));
  route.method = Method::kDelete;
  return route;
}

}  // namespace

void AddSignInRoutesOfApi(Router& router, Services& services) {
  router.Add(Reading("/sessions", Right::kSession,
                     [&services](Request& request) {
                       return SessionsOf(services, request, request.session->actor.id);
                     },
                     {"cursor", "limit"}));
  router.Add(Ending("/sessions", Right::kSession, [&services](Request& request) {
    return Ended(services, request,
                 services.sessions.EndOthers(request.session->actor, request.session->id));
  }));
  router.Add(Ending("/sessions/{id}", Right::kSession, WithId<SessionId>(services, EndOneSession)));
  router.Add(Reading("/employees/{id}/sessions", Right::kSignInsWrite,
                     WithId<AccountId>(services, SessionsOfPerson), {"cursor", "limit"}));
  router.Add(Ending("/employees/{id}/sessions", Right::kSignInsWrite,
                    WithId<AccountId>(services, EndAllOfPerson)));
}

}  // namespace keyferry::server
