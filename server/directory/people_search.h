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
  // Who may be in a state (a filter), what `in_state` needs to be sure (attributes), and whether
  // the entry is in it; an empty filter: this directory cannot tell.
  std::string (*state_filter)(PeopleState);
  std::vector<std::string> state_attributes;
  bool (*in_state)(const LdapEntry&, PeopleState);
};

// Directory::Search: an ordered, paged listing of people below people_dn. Thread-safe. The
// configuration outlives it.
class PeopleSearch {
 public:
  PeopleSearch(const LdapConfig& config, PeopleSchema schema)
      : config_(config), schema_(std::move(schema)), listings_(config.listing_life) {}

  Result<PersonPage> Page(ServerGroup& servers, const PeopleQuery& query);
  // Directory::Attributes.
  Result<std::vector<DirectoryAttribute>> Attributes(ServerGroup& servers, const AccountId& id);
  // Directory::ManagerOf.
  Result<std::optional<Person>> Manager(ServerGroup& servers, const AccountId& id);
  // Directory::MobileNumbers.
  Result<std::vector<std::string>> Mobile(ServerGroup& servers, const AccountId& id);
  static std::string CursorAfter(const Person& person, PeopleOrder order);
  // Directory::FindBy.
  Result<std::vector<Person>> Find(ServerGroup& servers, PersonKey key, std::string_view value);

 private:
  Result<PersonPage> PageOn(const Session& session, const PeopleQuery& query,
                            const std::optional<ListingPlace>& after);
  Result<Listing> Sweep(const Session& session, const PeopleQuery& query) const;
  Result<Listing> SweepOnce(const Session& session, const LdapSearch& search,
                            const PeopleQuery& query) const;

  const LdapConfig& config_;
  const PeopleSchema schema_;
  ListingCache listings_;
};

}  // namespace keyferry::server
