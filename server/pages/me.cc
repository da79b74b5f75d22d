// One's own place: what employees see of themselves, and what they prove that it is them with.
#include <utility>

#include "server/core/security_questions.h"
#include "server/pages/frame.h"
#include "server/pages/models.h"

namespace keyferry::server {
namespace {

constexpr std::int64_t kTicksPerSecond = 10'000'000;        // of AccountState::password_last_set
constexpr std::int64_t kSecondsSince1601 = 11'644'473'600;  // until 1970

void PutOwnAccount(const Catalog& catalog, AccountState state, Data& data) {
  // Why an account is let alone is for who administers it.
  state.is_protected = false;
  data["account_badges"] = AccountBadges(catalog, state);
  const std::int64_t set = state.password_last_set / kTicksPerSecond - kSecondsSince1601;
  data["password_set"] = Time(state.password_last_set > 0 && set > 0 ? set * 1000 : 0);
  PutFlag(data, "password_never_expires", state.password_never_expires);
  data["password_expires"] = Time(state.password_never_expires ? 0 : state.password_expires * 1000);
  struct Step {
    bool due;
    const char* text;
  };
  Data steps = List();
  for (const Step& step :
       {Step{state.locked, "me.locked_next"}, Step{state.must_change, "me.must_change_next"},
        Step{state.password_expired && !state.must_change, "me.expired_next"}}) {
    if (!step.due) continue;
    Data one;
    Put(one, "line", catalog.Text(step.text));
    steps << one;
  }
  data["account_steps"] = std::move(steps);
}

// Where the newest password is on its way to each key. Who set it, where and why stays with those
// who work here.
void PutOwnChange(const Catalog& catalog, const std::vector<ChangeView>& changes, Data& data) {
  data["change"] = Data(false);
  data["change_next"] = Data(false);
  if (changes.empty()) return;
  const ChangeView& newest = changes.front();
  Data full = ChangeData(catalog, newest);
  Data change;
  for (const char* kept : {"badge", "created", "roads"}) change[kept] = std::move(full[kept]);
  data["change"] = std::move(change);
  if (IsWaiting(newest) || IsAhead(newest)) {
    Put(data, "change_next",
        catalog.Text(IsAhead(newest) ? "me.change_ahead" : "me.change_waiting"));
  }
}

Result<void> PutOwnProofs(const PageContext& context, const Request& request, Data& data) {
  const Catalog& catalog = context.catalog;
  const auto factor = context.services.factors->Of(request.session->actor.id);
  if (!factor) return tl::unexpected(factor.error());
  const bool app = *factor && (*factor)->app;
  data["app_badge"] = app ? Badge("ok", "check", catalog.Text("me.is_set_up"))
                          : Badge("", "clock", catalog.Text("me.not_set_up"));
  PutFlag(data, "app_offered", !app && context.services.factors->On());
  data["questions"] = Data(false);
  if (context.services.questions != nullptr) {
    const auto standing = context.services.questions->Of(request.session->actor.id);
    if (!standing) return tl::unexpected(standing.error());
    const bool any = standing->since != 0;
    const bool enough = standing->answered.size() >= context.services.questions->config().asked;
    Data questions;
    questions["state"] = any && enough ? Badge("ok", "check", catalog.Text("me.is_set_up"))
                                       : Badge("", "clock", catalog.Text("me.not_set_up"));
    Put(questions, "words",
        catalog.Text(any && !enough ? "me.answers_missing" : "me.answers_offer"));
    Put(questions, "action", catalog.Text(any ? "me.answers_change" : "me.answers_set_up"));
    data["questions"] = std::move(questions);
  }
  const std::size_t keys = *factor ? (*factor)->fido_keys : 0;
  PutMaybe(data, "fido_count",
           keys == 0 ? std::string() : catalog.Text("fido.count", {std::to_string(keys)}));
  return {};
}

Response ShowMe(const PageContext& context, const Request& request) {
  const Catalog& catalog = context.catalog;
  const Services& services = context.services;
  const Session& own = *request.session;
  const auto detail = services.directory.Get(own.actor.id);
  if (!detail) return ShowFailure(context, request, detail.error());
  const auto keys = services.keys.OfAccount(own.actor.id);
  if (!keys) return ShowFailure(context, request, keys.error());
  const auto changes = services.changes.History(own.actor.id, 1);
  if (!changes) return ShowFailure(context, request, changes.error());
  const auto sessions = services.sessions.Of(own.actor.id);
  if (!sessions) return ShowFailure(context, request, sessions.error());

  Data row = PersonRow(detail->person);
  Data data = Frame(context, request, catalog.Text("me.title"), "me");
  for (const char* name : {"display_name", "login", "initials", "tint"}) {
    Put(data, name, row[name].string_value());
  }
  PutOwnAccount(catalog, detail->state, data);
  PutOwnChange(catalog, *changes, data);
  Data key_list = List();
  bool any_key = false;
  for (const KeyView& key : *keys) {
    if (IsOutOfUse(key.state)) continue;
    any_key = true;
    Data full = KeyData(catalog, key);
    Data one;
    for (const char* kept : {"short", "badge", "password"}) one[kept] = std::move(full[kept]);
    key_list << one;
  }
  data["keys"] = std::move(key_list);
  PutFlag(data, "has_keys", any_key);
  PutFlag(data, "password_offered",
          services.own_passwords && any_key && May(own.actor.roles, Right::kOwnPassword));
  if (const auto put = PutOwnProofs(context, request, data); !put) {
    return ShowFailure(context, request, put.error());
  }
  PutOwnSessions(catalog, *sessions, own, data);
  return Show(context, request, "me", data);
}

Response EndMyOthers(const PageContext& context, Request& request) {
  const auto ended =
      context.services.sessions.EndOthers(request.session->actor, request.session->id);
  if (!ended) return ShowFailure(context, request, ended.error());
  return Response::SeeOther(kOwnPlace);
}

}  // namespace

std::string PlaceOf(const Session& session, const std::string& next) {
  if (May(session.actor.roles, Right::kPeopleRead)) return next;
  const std::string_view place = kOwnPlace;
  const bool own =
      next.rfind(place, 0) == 0 && (next.size() == place.size() || next[place.size()] == '/');
  return own ? next : std::string(place);
}

void AddOwnPages(Router& router, const PageContext& context) {
  router.Add({Method::kGet, kOwnPlace, Right::kSelf,
              [context](Request& request) { return ShowMe(context, request); }});
  router.Add({Method::kPost,
              std::string(kOwnPlace) + "/end-others",
              Right::kSelf,
              [context](Request& request) { return EndMyOthers(context, request); },
              {},
              Body::kForm,
              {CsrfField()}});
}

}  // namespace keyferry::server
