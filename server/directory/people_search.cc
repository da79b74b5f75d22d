#include "server/directory/people_search.h"

#include <ldap.h>

#include <algorithm>
#include <map>
#include <utility>

#include "server/directory/text.h"

namespace keyferry::server {
namespace {

constexpr std::size_t kMaxQuery = 256;       // bytes
constexpr std::size_t kMaxPeople = 200'000;  // one listing
constexpr std::size_t kDetailsAtOnce = 50;   // identifiers in one filter

std::string_view Trim(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

}  // namespace

Result<Listing> PeopleSearch::SweepOnce(const Session& session, const LdapSearch& search) const {
  Listing listing;
  const LdapAnswer answer =
      session.connection.Search(search, session.deadline, [&](LdapEntry&& entry) {
        if (auto person = schema_.read(entry)) {
          listing.push_back({SortKey(person->display_name), person->id});
        }
      });
  // More people than one listing holds: the first ones that the server named are shown.
  if (!answer.ok() && answer.rc != LDAP_SIZELIMIT_EXCEEDED) {
    return tl::unexpected<Error>(ExplainRead(answer, session.endpoint));
  }
  return listing;
}

Result<Listing> PeopleSearch::Sweep(const Session& session, std::string_view query) const {
  LdapSearch search;
  search.base = config_.people_dn;
  search.attributes = schema_.listing;
  search.limit = kMaxPeople;
  search.filter = schema_.filter;
  if (!query.empty()) {
    const std::string value = EscapeFilter(query);
    const auto any = [&](const std::vector<std::string>& names, const char* tail) {
      std::string out = "(&" + schema_.filter + "(|";
      for (const std::string& name : names) out += "(" + name + "=" + value + tail + ")";
      return out + "))";
    };
    // A whole address is looked up in the indexes; beginnings may cost a walk over everybody.
    if (query.find('@') != std::string_view::npos) {
      LdapSearch exact = search;
      exact.filter = any(schema_.addresses, "");
      auto found = SweepOnce(session, exact);
      if (!found || !found->empty()) return found;
    }
    search.filter = any(schema_.prefixes, "*");
  }
  return SweepOnce(session, search);
}

Result<PersonPage> PeopleSearch::PageOn(const Session& session, std::string_view query,
                                        std::size_t limit,
                                        const std::optional<ListingPlace>& after) {
  auto listing = listings_.Find(query);
  if (listing == nullptr) {
    auto swept = Sweep(session, query);
    if (!swept) return tl::unexpected<Error>(swept.error());
    listing = listings_.Keep(query, std::move(*swept));
  }
  const auto first =
      after ? std::upper_bound(listing->begin(), listing->end(), *after) : listing->begin();
  const auto last =
      first + std::min<std::ptrdiff_t>(static_cast<std::ptrdiff_t>(limit), listing->end() - first);
  PersonPage page;
  if (last != listing->end()) page.next = (last - 1)->Cursor();
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

Result<PersonPage> PeopleSearch::Page(ServerGroup& servers, std::string_view query,
                                      std::size_t limit, std::string_view cursor) {
  query = Trim(query);
  if (limit < 1 || limit > 200) {
    return Fail(ErrorCode::kInvalidArgument, "A page holds 1 to 200 people.");
  }
  if (query.size() > kMaxQuery) {
    return Fail(ErrorCode::kInvalidArgument,
                "The search text is too long; 256 bytes are the limit.");
  }
  std::optional<ListingPlace> after;
  if (!cursor.empty()) {
    after = ListingPlace::Parse(cursor);
    if (!after)
      return Fail(ErrorCode::kInvalidArgument,
                  "This page link is not valid. Start the search again.");
  }
  if (HasControl(query)) return PersonPage{};  // no name holds one; Samba would end the value there
  return servers.Read(Turn::kPage,
                      [&](const Session& session) { return PageOn(session, query, limit, after); });
}

std::string PeopleSearch::CursorAfter(const Person& person) {
  return ListingPlace{SortKey(person.display_name), person.id}.Cursor();
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
