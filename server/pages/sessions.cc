// One's own sessions and second factor; for administrators everybody's.
#include <algorithm>

#include "server/api/problem.h"
#include "server/core/four_eyes.h"
#include "server/pages/fido.h"
#include "server/pages/frame.h"
#include "server/pages/models.h"

namespace keyferry::server {
namespace {

constexpr std::size_t kMostRows = 200;

// "Firefox on Linux" out of a User-Agent header. Only a hint: the browser says what it likes.
std::string BrowserName(const Catalog& catalog, std::string_view agent) {
  struct Known {
    std::string_view mark, name;
  };
  // Of several marks the first counts: browsers name their ancestors too.
  static constexpr Known kBrowsers[] = {{"Edg/", "Edge"},        {"OPR/", "Opera"},
                                        {"Firefox/", "Firefox"}, {"Chrome/", "Chromium"},
                                        {"Safari/", "Safari"},   {"curl/", "curl"}};
  static constexpr Known kSystems[] = {{"Windows", "Windows"}, {"Android", "Android"},
                                       {"iPhone", "iOS"},      {"iPad", "iOS"},
                                       {"Mac OS", "macOS"},    {"Linux", "Linux"}};
  const auto find = [agent](const auto& list) -> std::string_view {
    for (const Known& known : list) {
      if (agent.find(known.mark) != std::string_view::npos) return known.name;
    }
    return {};
  };
  const std::string_view browser = find(kBrowsers), system = find(kSystems);
  if (browser.empty()) return catalog.Text("sessions.unknown_browser");
  return system.empty() ? std::string(browser)
                        : catalog.Text("sessions.browser_on", {browser, system});
}

// Of all who have a session or a second factor those whose it is up to this administrator to end.
Result<std::vector<AccountId>> Theirs(const PageContext& context, const Actor& actor,
                                      const std::vector<Session>& sessions,
                                      const std::vector<FactorView>& factors) {
  std::vector<AccountId> all;
  for (const Session& session : sessions) all.push_back(session.actor.id);
  for (const FactorView& factor : factors) all.push_back(factor.account);
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  auto theirs = context.services.people.Among(actor, Right::kSignInsWrite, all);
  if (theirs) std::sort(theirs->begin(), theirs->end());
  return theirs;
}

Response ShowSessions(const PageContext& context, const Request& request) {
  const Catalog& catalog = context.catalog;
  const Session& own = *request.session;
  const auto sessions = context.services.sessions.List();
  if (!sessions) return ShowFailure(context, request, sessions.error());
  const auto factors = context.services.factors->List();
  if (!factors) return ShowFailure(context, request, factors.error());
  const auto theirs = Theirs(context, own.actor, *sessions, *factors);
  if (!theirs) return ShowFailure(context, request, theirs.error());
  const auto reached = [&theirs](const AccountId& account) {
    return std::binary_search(theirs->begin(), theirs->end(), account);
  };

  Data data = Frame(context, request, catalog.Text("sessions.title"), "");
  Data mine = List(), others = List(), people = List();
  std::size_t others_count = 0, mine_count = 0;
  bool has_people = false;
  for (const Session& session : *sessions) {
    if (session.actor.id == own.actor.id) {
      if (++mine_count <= kMostRows) mine << SessionRow(catalog, session, own.id);
    } else if (reached(session.actor.id) && ++others_count <= kMostRows) {
      others << SessionRow(catalog, session, own.id);
    }
  }
  if (auto put = PutFidoKeys(context, request, data); !put) {
    return ShowFailure(context, request, put.error());
  }
  data["factor"] = Data(false);
  for (const FactorView& factor : *factors) {
    Data row;
    Put(row, "account", factor.account.Hex());
    Put(row, "login", factor.login);
    row["since"] = Time(factor.since);
    Put(row, "left",
        catalog.Text("sessions.recovery_left", {std::to_string(factor.recovery_left)}));
    PutFlag(row, "app", factor.app);
    Put(row, "keys", catalog.Text("fido.count", {std::to_string(factor.fido_keys)}));
    PutFlag(row, "has_keys", factor.fido_keys != 0);
    if (factor.account == own.actor.id) {
      data["factor"] = std::move(row);
    } else if (reached(factor.account)) {
      people << row;
      has_people = true;
    }
  }
  data["mine"] = std::move(mine);
  PutFlag(data, "several", mine_count > 1);
  PutFlag(data, "has_others", others_count > 0);
  data["others"] = std::move(others);
  PutFlag(data, "more", others_count > kMostRows || mine_count > kMostRows);
  PutFlag(data, "has_people", has_people);
  data["people"] = std::move(people);
  return Show(context, request, "sessions", data);
}

Response End(const PageContext& context, Request& request, const SessionId& id) {
  const auto ended = context.services.sessions.End(request.session->actor, id);
  if (!ended && ended.error().code != ErrorCode::kNotFound) {
    return ShowFailure(context, request, ended.error());
  }
  return Response::SeeOther("/sessions");  // one's own: the guard leads on to the sign-in
}

Response EndOthers(const PageContext& context, Request& request) {
  const auto ended =
      context.services.sessions.EndOthers(request.session->actor, request.session->id);
  if (!ended) return ShowFailure(context, request, ended.error());
  return Response::SeeOther("/sessions");
}

Response NewRecovery(const PageContext& context, Request& request) {
  const auto codes = context.services.factors->NewRecovery(*request.session);
  if (!codes) return ShowFailure(context, request, codes.error());
  return ShowRecoveryCodes(context, request, *codes, "/sessions");
}

Response Reset(const PageContext& context, Request& request, const AccountId& account) {
  const auto reset = context.services.factors->Reset(request.session->actor, account);
  if (reset) return Response::SeeOther("/sessions");
  if (const auto needed = ApprovalNeeded(reset.error())) {
    context.services.report(request, reset.error());
    return Response::SeeOther("/approvals/" + needed->Hex());
  }
  return ShowFailure(context, request, reset.error());
}

}  // namespace

Data SessionRow(const Catalog& catalog, const Session& session, const SessionId& current) {
  Data row;
  Put(row, "id", session.id.Hex());
  Put(row, "login", session.actor.login);
  Put(row, "browser", BrowserName(catalog, session.browser));
  Put(row, "address", session.address);
  row["since"] = Time(session.created * 1000);
  row["until"] = Time(session.idle_until * 1000);
  PutFlag(row, "current", session.id == current);
  return row;
}

void AddSessionPages(Router& router, const PageContext& context) {
  router.Add({Method::kGet, "/sessions", Right::kSession,
              [context](Request& request) { return ShowSessions(context, request); }});
  const auto post = [&router](const char* pattern, Needs needs, bool step_up, Handler handler) {
    Route route;
    route.method = Method::kPost;
    route.pattern = pattern;
    route.needs = needs;
    route.handler = std::move(handler);
    route.body = Body::kForm;
    route.form = {CsrfField()};
    route.step_up = step_up;
    router.Add(std::move(route));
  };
  post("/sessions/{id}/end", Right::kSession, false, PageWithId<SessionId>(context, End));
  post("/sessions/end-others", Right::kSession, false,
       [context](Request& request) { return EndOthers(context, request); });
  post("/sessions/recovery-codes", Right::kSession, true,
       [context](Request& request) { return NewRecovery(context, request); });
  post("/second-factors/{id}/reset", Right::kSignInsWrite, true,
       PageWithId<AccountId>(context, Reset));
}

}  // namespace keyferry::server
