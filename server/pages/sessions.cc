// One's own sessions and second factor; for administrators everybody's.
#include <algorithm>

#include "server/api/problem.h"
#include "server/core/dn.h"
#include "server/core/four_eyes.h"
#include "server/pages/fido.h"
#include "server/pages/frame.h"
#include "server/pages/models.h"

namespace keyferry::server {
namespace {

// Of each table: the page stays below 100 kB. Others are found by name.
constexpr std::size_t kMostMine = 15, kMostOthers = 25;
constexpr std::size_t kMostName = 128;  // bytes of the name that is looked for

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

Data FactorRow(const Catalog& catalog, const FactorView& factor) {
  Data row;
  Put(row, "account", factor.account.Hex());
  Put(row, "login", factor.login);
  row["since"] = Time(factor.since);
  Put(row, "left", catalog.Text("sessions.recovery_left", {std::to_string(factor.recovery_left)}));
  PutFlag(row, "app", factor.app);
  Put(row, "keys", catalog.Text("fido.count", {std::to_string(factor.fido_keys)}));
  PutFlag(row, "has_keys", factor.fido_keys != 0);
  return row;
}

// Those whose sign-in name has the text in it, the name itself first.
class Wanted {
 public:
  explicit Wanted(std::string_view text) : text_(LowerCase(text)) {}
  bool Fits(const std::string& login) const {
    return LowerCase(login).find(text_) != std::string::npos;
  }
  template <typename Row, typename LoginOf>
  void Order(std::vector<const Row*>& rows, LoginOf login) const {
    std::stable_partition(rows.begin(), rows.end(),
                          [&](const Row* row) { return LowerCase(login(*row)) == text_; });
  }

 private:
  const std::string text_;
};

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

  const std::string_view name = request.Query("person");
  if (name.size() > kMostName) return ShowNotFound(context, request);
  const Wanted wanted(name);

  Data data = Frame(context, request, catalog.Text("sessions.title"), "");
  Put(data, "wanted", name);
  std::vector<const Session*> others;
  std::vector<const FactorView*> people;
  bool any_other = false;
  for (const Session& session : *sessions) {
    if (session.actor.id == own.actor.id || !reached(session.actor.id)) continue;
    any_other = true;
    if (wanted.Fits(session.actor.login)) others.push_back(&session);
  }
  PutOwnSessions(catalog, *sessions, own, data);
  if (auto put = PutFidoKeys(context, request, data); !put) {
    return ShowFailure(context, request, put.error());
  }
  data["factor"] = Data(false);
  for (const FactorView& factor : *factors) {
    if (factor.account == own.actor.id) {
      data["factor"] = FactorRow(catalog, factor);
    } else if (reached(factor.account)) {
      any_other = true;
      if (wanted.Fits(factor.login)) people.push_back(&factor);
    }
  }
  wanted.Order(others, [](const Session& session) { return session.actor.login; });
  wanted.Order(people, [](const FactorView& factor) { return factor.login; });
  PutFlag(data, "has_others", !others.empty());
  PutFlag(data, "has_people", !people.empty());
  PutFlag(data, "any_other", any_other);
  PutFlag(data, "nobody", any_other && others.empty() && people.empty());
  PutFlag(data, "more_others", others.size() > kMostOthers);
  PutFlag(data, "more_people", people.size() > kMostOthers);
  others.resize(std::min(others.size(), kMostOthers));
  people.resize(std::min(people.size(), kMostOthers));
  Data other_rows = List(), people_rows = List();
  for (const Session* session : others) other_rows << SessionRow(catalog, *session, own.id);
  for (const FactorView* factor : people) people_rows << FactorRow(catalog, *factor);
  data["others"] = std::move(other_rows);
  data["people"] = std::move(people_rows);
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

void PutOwnSessions(const Catalog& catalog, const std::vector<Session>& sessions,
                    const Session& own, Data& data) {
  // The one that asks is always among those that are shown.
  Data rows = List();
  std::size_t count = 0;
  for (const bool asks : {true, false}) {
    for (const Session& session : sessions) {
      if (session.actor.id != own.actor.id || (session.id == own.id) != asks) continue;
      if (++count <= kMostMine) rows << SessionRow(catalog, session, own.id);
    }
  }
  data["mine"] = std::move(rows);
  PutFlag(data, "several", count > 1);
  PutFlag(data, "more_mine", count > kMostMine);
}

void AddSessionPages(Router& router, const PageContext& context) {
  router.Add({Method::kGet,
              "/sessions",
              Right::kSession,
              [context](Request& request) { return ShowSessions(context, request); },
              {"person"}});
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
