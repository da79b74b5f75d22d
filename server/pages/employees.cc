#include <map>

#include "server/api/problem.h"
#include "server/http/target.h"
#include "server/pages/frame.h"
#include "server/pages/models.h"

namespace keyferry::server {
namespace {

constexpr std::size_t kPeopleOnAPage = 25;
constexpr std::size_t kChangesOnAPage = 20;

Data NoKey(const Catalog& catalog) { return Badge("", "key", catalog.Text("employees.key_none")); }

struct OwnKeys {
  KeyView best;
  std::size_t in_use = 0;
};

// How much a key matters where one alone is shown: an alarm, one that works here and now, one that
// works, another in use.
int Weight(const KeyView& key) {
  const bool active = key.state == KeyState::kActive;
  if (active && !key.alarm.empty()) return 4;
  if (active) return key.seen_at.empty() ? 2 : 3;
  return IsOutOfUse(key.state) ? 0 : 1;
}

std::map<AccountId, OwnKeys> KeysByAccount(const std::vector<KeyView>& keys) {
  std::map<AccountId, OwnKeys> own;
  for (const KeyView& key : keys) {
    const auto [place, fresh] = own.try_emplace(key.account, OwnKeys{key, 0});
    if (Weight(key) > Weight(place->second.best)) place->second.best = key;
    if (key.state == KeyState::kActive || key.state == KeyState::kSuspended) {
      ++place->second.in_use;
    }
  }
  return own;
}

Response ListPeople(const PageContext& context, Request& request) {
  const Catalog& catalog = context.catalog;
  Services& services = context.services;
  const std::string query(request.Query("query"));
  Data data = Frame(context, request, catalog.Text("employees.title"), "employees", "/events/keys");
  Put(data, "query", query);
  data["problem"] = Data(false);
  data["first"] = Data(false);
  data["next"] = Data(false);
  Data people = List();
  std::size_t count = 0;
  bool more = false;
  const auto page = services.people.Search(request.session->actor, query, kPeopleOnAPage,
                                           request.Query("cursor"));
  const auto keys = services.keys.List();
  if (!keys) return ShowFailure(context, request, keys.error());
  if (page) {
    const auto by_account = KeysByAccount(*keys);
    for (const Person& person : page->people) {
      Data row = PersonRow(person);
      const auto key = by_account.find(person.id);
      row["key"] = key == by_account.end() ? NoKey(catalog) : KeyBadge(catalog, key->second.best);
      PutMaybe(row, "key_count",
               key != by_account.end() && key->second.in_use > 1
                   ? catalog.Text("employees.key_count", {std::to_string(key->second.in_use)})
                   : std::string());
      row["password"] = Data(false);
      const auto changes = services.changes.History(person.id, 1);
      if (changes && !changes->empty()) row["password"] = ChangeBadge(catalog, changes->front());
      people << row;
    }
    count = page->people.size();
    more = !page->next.empty();
    const std::string search = query.empty() ? "" : "query=" + QueryText(query);
    if (more) {
      Put(data, "next",
          "/employees?" + search + (search.empty() ? "" : "&") + "cursor=" + QueryText(page->next));
    }
    if (!request.Query("cursor").empty()) {
      Put(data, "first", "/employees" + (search.empty() ? search : "?" + search));
    }
  } else {
    services.report(request, page.error());
    Put(data, "problem", catalog.Say(page.error().message));
  }
  PutFlag(data, "any", count != 0);
  data["people"] = std::move(people);
  Put(data, "summary",
      more         ? catalog.Text("employees.more", {std::to_string(count)})
      : count == 1 ? catalog.Text("employees.one")
                   : catalog.Text("employees.many", {std::to_string(count)}));
  return Show(context, request, "employees", data, page ? 200 : HttpStatus(page.error().code));
}

Response ShowPerson(const PageContext& context, Request& request, const AccountId& id) {
  const Catalog& catalog = context.catalog;
  const auto detail = context.services.people.Get(request.session->actor, id);
  if (!detail) return ShowFailure(context, request, detail.error());
  const auto keys = context.services.keys.OfAccount(id);
  if (!keys) return ShowFailure(context, request, keys.error());
  const auto changes = context.services.changes.History(id, kChangesOnAPage);
  if (!changes) return ShowFailure(context, request, changes.error());

  const Person& person = detail->person;
  Data row = PersonRow(person);
  Data data = Frame(context, request, row["display_name"].string_value(), "employees",
                    "/events/accounts/" + id.Hex());
  for (const char* name : {"id", "display_name", "initials", "tint"}) {
    Put(data, name, row[name].string_value());
  }
  for (const Right right : {Right::kChangesWrite, Right::kKeysWrite}) {
    const bool may = context.services.people.Check(request.session->actor, right, id).has_value();
    PutFlag(data, right == Right::kKeysWrite ? "may_keys_write" : "may_changes_write", may);
  }
  std::string subtitle = person.login;
  for (const std::string* part : {&person.title, &person.department}) {
    if (!part->empty()) subtitle += " · " + *part;
  }
  Put(data, "subtitle", subtitle);

  const ChangeView* const newest = changes->empty() ? nullptr : &changes->front();
  data["notices"] = Notices(catalog, newest, *keys);
  data["change"] = newest == nullptr ? Data(false) : ChangeData(catalog, *newest);
  Data history = List();
  for (std::size_t i = 1; i < changes->size(); ++i) history << HistoryRow(catalog, (*changes)[i]);
  PutFlag(data, "history_any", changes->size() > 1);
  data["history"] = std::move(history);

  data["account_badges"] = AccountBadges(catalog, detail->state);
  std::string why = detail->state.is_protected ? detail->state.protected_reason : std::string();
  if (!detail->state.protected_advice.empty()) why += ". " + detail->state.protected_advice;
  PutMaybe(data, "protected_reason", catalog.Say(why));
  Data key_list = List();
  for (const KeyView& key : *keys) key_list << KeyData(catalog, key);
  PutFlag(data, "has_keys", !keys->empty());
  data["keys"] = std::move(key_list);
  data["contact"] = ContactData(catalog, person);
  return Show(context, request, "employee", data);
}

}  // namespace

void AddEmployeePages(Router& router, const PageContext& context) {
  router.Add({Method::kGet,
              "/employees",
              Right::kPeopleRead,
              [context](Request& request) { return ListPeople(context, request); },
              {"query", "cursor"}});
  router.Add({Method::kGet, "/employees/{id}", Right::kPeopleRead,
              PageWithId<AccountId>(context, ShowPerson)});
}

}  // namespace keyferry::server
