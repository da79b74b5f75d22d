#include <algorithm>
#include <optional>

#include "server/api/paging.h"
#include "server/api/problem.h"
#include "server/api/theirs.h"
#include "server/core/account_steps.h"
#include "server/http/target.h"
#include "server/pages/frame.h"
#include "server/pages/models.h"

namespace keyferry::server {
namespace {

constexpr std::size_t kPeopleOnAPage = 25;
constexpr std::size_t kChangesOnAPage = 20;
constexpr std::size_t kSearched = 200;  // people whom one search looks at
constexpr const char* kBadCursor = "This page link is not valid. Start the search again.";

Data NoKey(const Catalog& catalog) { return Badge("", "key", catalog.Text("employees.key_none")); }

struct OwnKeys {
  KeyView best;
  std::size_t in_use = 0;
};

// How much a key matters where one alone is shown: an alarm, one that works
// here and now, one that works, another in use.
int Weight(const KeyView& key) {
  const bool active = key.state == KeyState::kActive;
  if (active && !key.alarm.empty()) return 4;
  if (active) return key.seen_at.empty() ? 2 : 3;
  return IsOutOfUse(key.state) ? 0 : 1;
}

OwnKeys BestOf(const std::vector<KeyView>& keys) {
  OwnKeys own;
  for (const KeyView& key : keys) {
    if (&key == &keys.front() || Weight(key) > Weight(own.best)) own.best = key;
    if (key.state == KeyState::kActive || key.state == KeyState::kSuspended) ++own.in_use;
  }
  return own;
}

// What the list may be narrowed to: by the directory, or by what the database
// knows of keys and changes.
struct Narrowing {
  const char* name;
  PeopleState state = PeopleState::kAny;
  std::optional<KeyState> key{};
  bool alarmed = false;
  bool waiting = false;
  bool from_database() const { return key || alarmed || waiting; }
};
constexpr Narrowing kShows[] = {{"all"},
                                {"locked", PeopleState::kLocked},
                                {"expired", PeopleState::kExpired},
                                {"must_change", PeopleState::kMustChange},
                                {"waiting", PeopleState::kAny, {}, false, true},
                                {"key_active", PeopleState::kAny, KeyState::kActive},
                                {"key_suspended", PeopleState::kAny, KeyState::kSuspended},
                                {"key_compromised", PeopleState::kAny, KeyState::kCompromised},
                                {"key_alarm", PeopleState::kAny, {}, true}};

bool Fits(const Narrowing& show, const KeyView& key) {
  return (!show.key || key.state == *show.key) && (!show.alarmed || !key.alarm.empty());
}

// Whether a person that was searched for belongs into the list.
Result<bool> Fits(Services& services, const Narrowing& show, const AccountId& id) {
  if (show.waiting) {
    const auto changes = services.changes.History(id, 1);
    if (!changes) return tl::unexpected(changes.error());
    if (changes->empty()) return false;
    const ChangeState state = changes->front().state;
    return IsAhead(changes->front()) || state < ChangeState::kConfirmed ||
           state == ChangeState::kUnknown;
  }
  const auto keys = services.keys.OfAccount(id);
  if (!keys) return tl::unexpected(keys.error());
  return std::any_of(keys->begin(), keys->end(),
                     [&](const KeyView& key) { return Fits(show, key); });
}

// A page of those with such keys, by name, without asking the directory.
Result<PersonPage> WithKeys(Services& services, const Request& request, const Narrowing& show) {
  KeyFilter filter;
  filter.state = show.key;
  filter.alarmed = show.alarmed;
  filter.limit = kPeopleOnAPage + 1;
  if (const std::string_view cursor = request.Query("cursor"); !cursor.empty()) {
    const auto after = DeviceId::Parse(cursor);
    if (!after) return Fail(ErrorCode::kInvalidArgument, kBadCursor);
    filter.after = *after;
  }
  auto page = services.keys.Page(filter);
  if (!page) return tl::unexpected(page.error());
  PersonPage out;
  std::erase_if(*page, [](const KeyView& key) { return key.state == KeyState::kReserved; });
  if (page->size() > kPeopleOnAPage) {
    page->resize(kPeopleOnAPage);
    out.next = page->back().device.Hex();
  }
  const auto keys = AmongTheirs(services, request, Right::kKeysRead, std::move(page));
  if (!keys) return tl::unexpected(keys.error());
  for (const KeyView& key : *keys) {
    // The keys of one person stand together.
    if (!out.people.empty() && out.people.back().id == key.account) continue;
    Person person;
    person.id = key.account;
    person.login = key.login;
    person.display_name = key.display_name;
    out.people.push_back(std::move(person));
  }
  return out;
}

// A page of those with a change that is not over, newest first.
Result<PersonPage> WithChanges(Services& services, const Request& request) {
  std::uint64_t before = 0;
  if (const std::string_view cursor = request.Query("cursor"); !cursor.empty()) {
    const auto number = ReadNumber(cursor, "cursor");
    if (!number) return Fail(ErrorCode::kInvalidArgument, kBadCursor);
    before = *number;
  }
  auto page = services.reports->Changes(ChangeList::kPending, 0, before, kPeopleOnAPage + 1);
  if (!page) return tl::unexpected(page.error());
  PersonPage out;
  if (page->size() > kPeopleOnAPage) {
    page->resize(kPeopleOnAPage);
    out.next = std::to_string(page->back().number);
  }
  const auto changes = AmongTheirs(services, request, Right::kChangesRead, std::move(page));
  if (!changes) return tl::unexpected(changes.error());
  for (const ReportChange& change : *changes) {
    Person person;
    person.id = change.account;
    person.login = change.login;
    const bool twice = std::any_of(out.people.begin(), out.people.end(),
                                   [&](const Person& one) { return one.id == change.account; });
    if (!twice) out.people.push_back(std::move(person));
  }
  return out;
}

Result<PersonPage> Narrowed(Services& services, const Request& request, const Narrowing& show,
                            PeopleOrder order) {
  const std::string_view text = request.Query("query"), cursor = request.Query("cursor");
  const Actor& actor = request.session->actor;
  if (!show.from_database()) {
    return services.people.List(actor, {text, show.state, order, kPeopleOnAPage, cursor});
  }
  if (text.empty()) {
    return show.waiting ? WithChanges(services, request) : WithKeys(services, request, show);
  }
  // Of those whom the text means; a page may be short.
  auto page = services.people.List(actor, {text, PeopleState::kAny, order, kSearched, cursor});
  if (!page) return page;
  std::vector<Person> people;
  for (Person& person : page->people) {
    const auto fits = Fits(services, show, person.id);
    if (!fits) return tl::unexpected(fits.error());
    if (*fits) people.push_back(std::move(person));
  }
  page->people = std::move(people);
  return page;
}

Data Options(const Catalog& catalog, const std::vector<std::string>& names, std::string_view prefix,
             std::string_view chosen) {
  Data list = List();
  for (const std::string& name : names) {
    Data one;
    // The first is what an address without a choice means.
    Put(one, "value", &name == &names.front() ? std::string() : name);
    Put(one, "text", catalog.Text(std::string(prefix) + name));
    PutFlag(one, "chosen", name == chosen);
    list << one;
  }
  return list;
}

Data ListRow(const PageContext& context, Person person) {
  const Catalog& catalog = context.catalog;
  const auto keys = context.services.keys.OfAccount(person.id);
  if (person.display_name.empty() && keys && !keys->empty()) {
    person.display_name = keys->front().display_name;
  }
  Data row = PersonRow(person);
  row["key"] = NoKey(catalog);
  row["key_count"] = Data(false);
  if (keys && !keys->empty()) {
    const OwnKeys own = BestOf(*keys);
    row["key"] = KeyBadge(catalog, own.best);
    if (own.in_use > 1) {
      Put(row, "key_count", catalog.Text("employees.key_count", {std::to_string(own.in_use)}));
    }
  }
  row["password"] = Data(false);
  const auto changes = context.services.changes.History(person.id, 1);
  if (changes && !changes->empty()) row["password"] = ChangeBadge(catalog, changes->front());
  return row;
}

Response ListPeople(const PageContext& context, Request& request) {
  const Catalog& catalog = context.catalog;
  Services& services = context.services;
  const Narrowing* show = request.Query("show").empty() ? &kShows[0] : nullptr;
  std::vector<std::string> shows, orders;
  for (const Narrowing& one : kShows) {
    if (one.waiting && services.reports == nullptr) continue;
    if (request.Query("show") == one.name) show = &one;
    shows.emplace_back(one.name);
  }
  auto order = PeopleOrder::kName;
  bool known = request.Query("order").empty();
  for (int i = 0; i <= static_cast<int>(kLastPeopleOrder); ++i) {
    const auto one = static_cast<PeopleOrder>(i);
    if (request.Query("order") == Name(one)) {
      order = one;
      known = true;
    }
    orders.emplace_back(Name(one));
  }
  if (show == nullptr || !known) return ShowNotFound(context, request);
  const std::string query(request.Query("query"));
  Data data = Frame(context, request, catalog.Text("employees.title"), "employees", "/events/keys");
  Put(data, "query", query);
  data["shows"] = Options(catalog, shows, "employees.show_", show->name);
  data["orders"] = Options(catalog, orders, "employees.order_", Name(order));
  data["problem"] = Data(false);
  data["first"] = Data(false);
  data["next"] = Data(false);
  Data people = List();
  std::size_t count = 0;
  bool more = false;
  const auto page = Narrowed(services, request, *show, order);
  if (page) {
    for (const Person& person : page->people) people << ListRow(context, person);
    count = page->people.size();
    more = !page->next.empty();
    std::string address;
    for (const char* name : {"query", "show", "order"}) {
      if (const std::string_view value = request.Query(name); !value.empty()) {
        address += (address.empty() ? "?" : "&") + std::string(name) + "=" + QueryText(value);
      }
    }
    if (more) {
      Put(data, "next",
          "/employees" + address + (address.empty() ? "?" : "&") +
              "cursor=" + QueryText(page->next));
    }
    if (!request.Query("cursor").empty()) Put(data, "first", "/employees" + address);
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

// For administrators: whether the person is signed in here.
Result<void> PutSignIns(const PageContext& context, const Request& request, const AccountId& id,
                        Data& data) {
  data["sessions"] = Data(false);
  const Actor& actor = request.session->actor;
  if (!May(actor.roles, Right::kSignInsWrite) ||
      !context.services.people.Check(actor, Right::kSignInsWrite, id)) {
    return {};
  }
  const auto sessions = context.services.sessions.List();
  if (!sessions) return tl::unexpected(sessions.error());
  const auto count = std::count_if(sessions->begin(), sessions->end(),
                                   [&](const Session& session) { return session.actor.id == id; });
  if (count == 0) return {};
  Data own;
  Put(own, "count", context.catalog.Text("employee.sessions_count", {std::to_string(count)}));
  data["sessions"] = std::move(own);
  return {};
}

// What may be done to the account now, where the person is allowed to.
void PutSteps(const PageContext& context, const Request& request, const PersonDetail& detail,
              Data& data) {
  const AccountState& state = detail.state;
  const bool may =
      context.services.account_steps != nullptr && !state.is_protected && !state.disabled &&
      context.services.people.Check(request.session->actor, Right::kAccountsWrite, detail.person.id)
          .has_value();
  PutMaybe(data, "unlock",
           may && state.locked ? AddressOf(AccountStep::kUnlock, detail.person.id) : "");
  PutMaybe(data, "must_change",
           may && !state.must_change ? AddressOf(AccountStep::kMustChange, detail.person.id) : "");
}

// `shown`: the configured attributes, where somebody has asked for them.
Response ShowPerson(const PageContext& context, Request& request, const AccountId& id,
                    const std::vector<DirectoryAttribute>* shown) {
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
  PutSteps(context, request, *detail, data);
  std::string why = detail->state.is_protected ? detail->state.protected_reason : std::string();
  if (!detail->state.protected_advice.empty()) why += ". " + detail->state.protected_advice;
  PutMaybe(data, "protected_reason", catalog.Say(why));
  Data key_list = List();
  for (const KeyView& key : *keys) key_list << KeyData(catalog, key);
  PutFlag(data, "has_keys", !keys->empty());
  data["keys"] = std::move(key_list);
  data["contact"] = ContactData(catalog, person);
  if (const auto put = PutSignIns(context, request, id, data); !put) {
    return ShowFailure(context, request, put.error());
  }
  if (const auto put = PutNotices(context, id, data); !put) {
    return ShowFailure(context, request, put.error());
  }
  const bool may_see =
      context.services.attributes != nullptr &&
      context.services.people.Check(request.session->actor, Right::kAttributesRead, id).has_value();
  PutFlag(data, "attributes_offered", may_see && shown == nullptr);
  PutFlag(data, "attributes_shown", shown != nullptr);
  // What is live on this page is asked for where it can be.
  if (shown != nullptr) Put(data, "refresh", "/employees/" + id.Hex());
  Data attributes = List();
  if (shown != nullptr) {
    for (const DirectoryAttribute& one : *shown) {
      Data entry, values = List();
      Put(entry, "attribute", one.name);
      for (const std::string& text : one.values) {
        Data value;
        Put(value, "value", text);
        values << value;
      }
      PutFlag(entry, "values_any", !one.values.empty());
      entry["values"] = std::move(values);
      attributes << entry;
    }
  }
  data["attributes"] = std::move(attributes);
  return Show(context, request, "employee", data);
}

Response ShowAttributes(const PageContext& context, Request& request, const AccountId& id) {
  const auto shown = context.services.attributes->Show(request.session->actor, id);
  if (!shown) return ShowFailure(context, request, shown.error());
  return ShowPerson(context, request, id, &*shown);
}

Response EndSessions(const PageContext& context, Request& request, const AccountId& id) {
  const Actor& actor = request.session->actor;
  if (const auto seen = context.services.people.Get(actor, id); !seen) {
    return ShowFailure(context, request, seen.error());
  }
  const auto ended = context.services.sessions.EndAll(actor, id);
  if (!ended) return ShowFailure(context, request, ended.error());
  return Response::SeeOther("/employees/" + id.Hex());
}

}  // namespace

void AddEmployeePages(Router& router, const PageContext& context) {
  router.Add({Method::kGet,
              "/employees",
              Right::kPeopleRead,
              [context](Request& request) { return ListPeople(context, request); },
              {"query", "cursor", "show", "order"}});
  router.Add({Method::kGet, "/employees/{id}", Right::kPeopleRead,
              PageWithId<AccountId>(
                  context, [](const PageContext& page, Request& request, const AccountId& id) {
                    return ShowPerson(page, request, id, nullptr);
                  })});
  if (context.services.attributes != nullptr) {
    router.Add({Method::kPost,
                "/employees/{id}/attributes",
                Right::kAttributesRead,
                PageWithId<AccountId>(context, ShowAttributes),
                {},
                Body::kForm,
                {CsrfField()}});
  }
  router.Add({Method::kPost,
              "/employees/{id}/end-sessions",
              Right::kSignInsWrite,
              PageWithId<AccountId>(context, EndSessions),
              {},
              Body::kForm,
              {CsrfField()}});
}

}  // namespace keyferry::server
