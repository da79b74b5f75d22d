#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/core/directory.h"
#include "server/directory/listing.h"
#include "server/directory/server_group.h"

namespace keyferry::server {

// How one kind of directory keeps people.
struct PeopleSchema {
  std::string filter;                           // who is a person
  std::vector<std::string> prefixes;            // attributes that a query is the beginning of
  std::vector<std::string> addresses;           // … that a query with an @ may equal
  std::vector<std::string> keys;                // login, mail, employee id (PersonKey)
  std::vector<std::string> listing;             // what `read` needs for identifier and name
  const std::vector<std::string>& (*person)();  // what it needs for the whole Person
  std::optional<Person> (*read)(const LdapEntry&);
  std::string (*id_filter)(const AccountId&);
};

// Directory::Search: an ordered, paged listing of people below people_dn. Thread-safe. The
// configuration outlives it.
class PeopleSearch {
 public:
  PeopleSearch(const LdapConfig& config, PeopleSchema schema)
      : config_(config), schema_(std::move(schema)), listings_(config.listing_life) {}

  Result<PersonPage> Page(ServerGroup& servers, std::string_view query, std::size_t limit,
                          std::string_view cursor);
  static std::string CursorAfter(const Person& person);
  // Directory::FindBy.
  Result<std::vector<Person>> Find(ServerGroup& servers, PersonKey key, std::string_view value);

 private:
  Result<PersonPage> PageOn(const Session& session, std::string_view query, std::size_t limit,
                            const std::optional<ListingPlace>& after);
  Result<Listing> Sweep(const Session& session, std::string_view query) const;
  Result<Listing> SweepOnce(const Session& session, const LdapSearch& search) const;

  const LdapConfig& config_;
  const PeopleSchema schema_;
  ListingCache listings_;
};

}  // namespace keyferry::server
