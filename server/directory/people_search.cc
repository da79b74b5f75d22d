#include "server/directory/people_search.h"

#include <ldap.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>

#include "server/directory/text.h"

namespace keyferry::server {
namespace {

constexpr std::size_t kMaxQuery = 256;       // bytes
constexpr std::size_t kMaxPeople = 200'000;  // one listing
constexpr std::size_t kMaxShownValues = 20;  // of one attribute that is shown …
constexpr std::size_t kMaxShownBytes = 500;  // … of so many bytes each
constexpr std::size_t kDetailsAtOnce = 50;   // identifiers in one filter

std::string_view Trim(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

bool IsDown(PeopleOrder order) {
  return order == PeopleOrder::kNameDown || order == PeopleOrder::kLoginDown;
}
bool IsByLogin(PeopleOrder order) {
  return order == PeopleOrder::kLogin || order == PeopleOrder::kLoginDown;
}
std::string KeyOf(const Person& person, PeopleOrder order) {
  return SortKey(IsByLogin(order) ? person.login : person.display_name);
}

// What a listing is remembered by: one of another state or order is another one.
std::string NameOf(const PeopleQuery& query) {
  return std::to_string(static_cast<int>(query.state)) +
         (IsByLogin(query.order) ? "/login/" : "/name/") + std::string(query.text);
}

}  // namespace

Result<Listing> PeopleSearch::SweepOnce(const Session& session, const LdapSearch& search,
                                        const PeopleQuery& query) const {
  Listing listing;
  const LdapAnswer answer =
      session.connection.Search(search, session.deadline, [&](LdapEntry&& entry) {
        if (query.state != PeopleState::kAny && !schema_.in_state(entry, query.state)) return;
        if (auto person = schema_.read(entry)) {
          listing.push_back({KeyOf(*person, query.order), person->id});
        }
      });
  // More people than one listing holds: the first ones that the server named are shown.
  if (!answer.ok() && answer.rc != LDAP_SIZELIMIT_EXCEEDED) {
    return tl::unexpected<Error>(ExplainRead(answer, session.endpoint));
  }
  return listing;
}

Result<Listing> PeopleSearch::Sweep(const Session& session, const PeopleQuery& query) const {
  LdapSearch search;
  search.base = config_.people_dn;
  search.attributes = schema_.listing;
  search.limit = kMaxPeople;
  std::string who = schema_.filter;
  if (query.state != PeopleState::kAny) {
    const std::string state = schema_.state_filter(query.state);
    if (state.empty()) {
      return Fail(ErrorCode::kUnsupported, "This directory cannot tell who is in this state.");
    }
    who = "(&" + who + state + ")";
    search.attributes.insert(search.attributes.end(), schema_.state_attributes.begin(),
                             schema_.state_attributes.end());
  }
  search.filter = who;
  if (!query.text.empty()) {
    const std::string value = EscapeFilter(query.text);
    const auto any = [&](const std::vector<std::string>& names, const char* tail) {
      std::string out = "(&" + who + "(|";
      for (const std::string& name : names) out += "(" + name + "=" + value + tail + ")";
      return out + "))";
    };
    // A whole address is looked up in the indexes; beginnings may cost a walk over everybody.
    if (query.text.find('@') != std::string_view::npos) {
      LdapSearch exact = search;
      exact.filter = any(schema_.addresses, "");
      auto found = SweepOnce(session, exact, query);
      if (!found || !found->empty()) return found;
    }
    search.filter = any(schema_.prefixes, "*");
  }
  return SweepOnce(session, search, query);
}

Result<PersonPage> PeopleSearch::PageOn(const Session& session, const PeopleQuery& query,
                                        const std::optional<ListingPlace>& after) {
  const std::string name = NameOf(query);
  auto listing = listings_.Find(name);
  if (listing == nullptr) {
    auto swept = Sweep(session, query);
    if (!swept) return tl::unexpected<Error>(swept.error());
    listing = listings_.Keep(name, std::move(*swept));
  }
  // The places of this page, in the order that is asked for.
  Listing places;
  PersonPage page;
  const auto take = [&](auto from, auto end) {
    for (; from != end && places.size() < query.limit; ++from) places.push_back(*from);
    if (from != end) page.next = places.back().Cursor();
  };
  if (IsDown(query.order)) {
    take(after ? std::make_reverse_iterator(
                     std::lower_bound(listing->begin(), listing->end(), *after))
               : listing->rbegin(),
         listing->rend());
  } else {
    take(after ? std::upper_bound(listing->begin(), listing->end(), *after) : listing->begin(),
         listing->end());
  }
  const auto first = places.begin(), last = places.end();
  std::map<AccountId, Person> found;
  for (auto at = first; at != last;) {
    LdapSearch search;
    search.base = config_.people_dn;
    search.attributes = schema_.person();
    std::string any;
    for (std::size_t i = 0; i < kDetailsAtOnce && at != last; ++i, ++at) {
      any += schema_.id_filter(at->id);
    }
    search.filter = "(&" + schema_.filter + "(|" + any + "))";
    auto entries = Entries(session, search);
    if (!entries) return tl::unexpected<Error>(entries.error());
    for (const LdapEntry& entry : *entries) {
      if (auto person = schema_.read(entry)) found.emplace(person->id, std::move(*person));
    }
  }
  for (auto at = first; at != last; ++at) {
    const auto person = found.find(at->id);
    if (person != found.end()) page.people.push_back(std::move(person->second));
  }
  return page;
}

Result<PersonPage> PeopleSearch::Page(ServerGroup& servers, const PeopleQuery& asked) {
  PeopleQuery query = asked;
  query.text = Trim(query.text);
  if (query.limit < 1 || query.limit > 200) {
    return Fail(ErrorCode::kInvalidArgument, "A page holds 1 to 200 people.");
  }
  if (query.text.size() > kMaxQuery) {
    return Fail(ErrorCode::kInvalidArgument,
                "The search text is too long; 256 bytes are the limit.");
  }
  std::optional<ListingPlace> after;
  if (!query.cursor.empty()) {
    after = ListingPlace::Parse(query.cursor);
    if (!after)
      return Fail(ErrorCode::kInvalidArgument,
                  "This page link is not valid. Start the search again.");
  }
  // No name holds one; Samba would end the value there.
  if (HasControl(query.text)) return PersonPage{};
  return servers.Read(Turn::kPage,
                      [&](const Session& session) { return PageOn(session, query, after); });
}

Result<std::vector<DirectoryAttribute>> PeopleSearch::Attributes(ServerGroup& servers,
                                                                 const AccountId& id) {
  LdapSearch search;
  search.base = config_.people_dn;
  search.filter = "(&" + schema_.filter + schema_.id_filter(id) + ")";
  search.attributes = config_.shown_attributes;
  search.limit = 2;
  using Shown = std::vector<DirectoryAttribute>;
  return servers.Read(Turn::kPage, [&](const Session& session) -> Result<Shown> {
    const auto entries = Entries(session, search);
    if (!entries) return tl::unexpected<Error>(entries.error());
    if (entries->size() != 1) {
      return Fail(ErrorCode::kNotFound, "This person is not in the directory any more.");
    }
    Shown out;
    for (const std::string& name : config_.shown_attributes) {
      std::string lower = name;
      for (char& c : lower) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
      }
      DirectoryAttribute one{name, {}};
      for (const std::string& value : entries->front().All(lower)) {
        if (one.values.size() == kMaxShownValues) break;
        // Bytes that are no text are not shown.
        if (HasControl(value) || CleanText(value, kMaxShownBytes) != value) continue;
        one.values.push_back(value);
      }
      out.push_back(std::move(one));
    }
    return out;
  });
}

Result<std::vector<std::string>> PeopleSearch::Mobile(ServerGroup& servers, const AccountId& id) {
  LdapSearch search;
  search.base = config_.people_dn;
  search.filter = "(&" + schema_.filter + schema_.id_filter(id) + ")";
  search.attributes = {config_.mobile_attribute};
  search.limit = 2;
  std::string name = config_.mobile_attribute;
  for (char& c : name) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  using Numbers = std::vector<std::string>;
  return servers.Read(Turn::kPage, [&](const Session& session) -> Result<Numbers> {
    const auto entries = Entries(session, search);
    if (!entries) return tl::unexpected<Error>(entries.error());
    if (entries->size() != 1) {
      return Fail(ErrorCode::kNotFound, "This person is not in the directory any more.");
    }
    return Numbers(entries->front().All(name));
  });
}

Result<std::optional<Person>> PeopleSearch::Manager(ServerGroup& servers, const AccountId& id) {
  LdapSearch search;
  search.base = config_.people_dn;
  search.filter = "(&" + schema_.filter + schema_.id_filter(id) + ")";
  search.attributes = {"manager"};
  search.limit = 2;
  using Found = std::optional<Person>;
  return servers.Read(Turn::kPage, [&](const Session& session) -> Result<Found> {
    const auto entries = Entries(session, search);
    if (!entries) return tl::unexpected<Error>(entries.error());
    if (entries->size() != 1) {
      return Fail(ErrorCode::kNotFound, "This person is not in the directory any more.");
    }
    const std::vector<std::string>& named = entries->front().All("manager");
    if (named.size() != 1) return Found();  // none, or nobody in particular
    LdapSearch whom;
    whom.base = named.front();
    whom.scope = LdapSearch::Scope::kBase;
    whom.filter = schema_.filter;
    whom.attributes = schema_.person();
    Found manager;
    const LdapAnswer answer = session.connection.Search(
        whom, session.deadline, [&](LdapEntry&& entry) { manager = schema_.read(entry); });
    // Elsewhere, or gone: the name is all that is left.
    if (answer.rc == LDAP_NO_SUCH_OBJECT || answer.rc == LDAP_REFERRAL ||
        answer.rc == LDAP_INVALID_DN_SYNTAX) {
      return Found();
    }
    if (!answer.ok()) return tl::unexpected<Error>(ExplainRead(answer, session.endpoint));
    return manager;
  });
}

std::string PeopleSearch::CursorAfter(const Person& person, PeopleOrder order) {
  return ListingPlace{KeyOf(person, order), person.id}.Cursor();
}

Result<std::vector<Person>> PeopleSearch::Find(ServerGroup& servers, PersonKey key,
                                               std::string_view value) {
  if (value.empty() || value.size() > kMaxQuery) {
    return Fail(ErrorCode::kInvalidArgument, "An attribute to look for has 1 to 256 bytes.");
  }
  if (HasControl(value)) return std::vector<Person>{};
  LdapSearch search;
  search.base = config_.people_dn;
  search.attributes = schema_.person();
  search.limit = 2;
  search.filter = "(&" + schema_.filter + "(" + schema_.keys.at(static_cast<std::size_t>(key)) +
                  "=" + EscapeFilter(value) + "))";
  return servers.Read(Turn::kPage, [&](const Session& session) -> Result<std::vector<Person>> {
    std::vector<Person> people;
    std::size_t entries = 0;
    const LdapAnswer answer =
        session.connection.Search(search, session.deadline, [&](LdapEntry&& entry) {
          ++entries;
          if (auto person = schema_.read(entry)) people.push_back(*std::move(person));
        });
    if (!answer.ok() && answer.rc != LDAP_SIZELIMIT_EXCEEDED) {
      return tl::unexpected<Error>(ExplainRead(answer, session.endpoint));
    }
    // Who is there but cannot be read counts: it must not make another one the only one.
    if (people.size() != entries || (entries < 2 && !answer.ok())) {
      return Fail(ErrorCode::kProtocol,
                  "The directory names a person of whom it does not tell enough to be sure who is "
                  "meant.",
                  session.endpoint.uri);
    }
    return people;
  });
}

}  // namespace keyferry::server
