#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/result.h"
#include "server/core/clock.h"
#include "server/core/directory.h"
#include "server/core/group_reader.h"
#include "server/core/rights.h"
#include "server/core/session.h"

// Which people an actor may see and act on. Everybody below people_dn, unless the configuration
// gives one of the actor's roles a scope.
namespace keyferry::server {

struct PeopleList {
  std::vector<std::string> users;   // sign-in names, case does not count
  std::vector<std::string> groups;  // DNs, members of nested groups count
  std::vector<std::string> ous;     // DNs, everybody below them counts
  bool empty() const { return users.empty() && groups.empty() && ous.empty(); }
};

// The scope of a role. A person is judged by the most specific rule that names them: one by sign-in
// name before one by group before one by organisational unit; of two at the same level the
// exclusion wins. Whom no rule names is in scope exactly when the role has no inclusions.
struct PeopleScope {
  Role role = Role::kNone;
  PeopleList include, exclude;
};
// The scope in words, for the audit log and the pages: "help_desk: include OU …; exclude user …".
std::string Describe(const PeopleScope& scope);

struct PeopleConfig {
  std::vector<PeopleScope> scopes;       // several of one role count as one
  std::vector<std::string> role_groups;  // DNs: whoever works with Keyferry
  // What membership in these groups makes of somebody.
  std::function<Roles(const std::vector<std::string>& group_dns)> roles_of;
};

// Whether this right changes something about a person.
bool ActsOnPeople(Right right);

// What one role reaches, for the preview.
struct ScopePreview {
  std::vector<Person> people;  // of this page
  std::string next;            // cursor, empty = last page
  std::size_t count = 0;       // of everybody in scope
  bool complete = true;        // false: there are more, which were not counted
};

// Thread-safe; blocks (directory). What groups hold and who somebody is, is remembered for a
// minute; while that cannot be asked, nobody is in a scope that needs it (the directory's error).
class PeopleService {
 public:
  virtual ~PeopleService() = default;

  // As Directory::Search, of those that the actor may see.
  virtual Result<PersonPage> Search(const Actor& actor, std::string_view query, std::size_t limit,
                                    std::string_view cursor) = 0;
  virtual Result<PersonPage> List(const Actor& actor, const PeopleQuery& query) = 0;
  // kNotFound, in the same words, whether there is no such person or the actor may not see them.
  virtual Result<PersonDetail> Get(const Actor& actor, const AccountId& id) = 0;

  // Whether the actor may use this right on this person. kNotFound as above; kPermissionDenied:
  // they may see the person, but not do that: no role of theirs allows it there, it is their own
  // account, or the person works with Keyferry and the actor is no administrator.
  virtual Result<void> Check(const Actor& actor, Right right, const AccountId& id) = 0;
  // Those of `ids` for whom Check with a right to read says yes.
  virtual Result<std::vector<AccountId>> Among(const Actor& actor, Right right,
                                               std::span<const AccountId> ids) = 0;
  // Whether the actor has the right for everybody, so that there is nothing to ask.
  virtual bool ReachesAll(const Actor& actor, Right right) const = 0;

  virtual const std::vector<PeopleScope>& Scopes() const = 0;
  // Whom a role reaches, of those whom the actor may see. `cursor` as of Search. Looks at 5,000
  // people of the directory at most.
  virtual Result<ScopePreview> Preview(const Actor& actor, Role role, std::size_t limit,
                                       std::string_view cursor) = 0;
  // The roles that a person of the directory has now; kNotFound as above.
  virtual Result<Roles> RolesOf(const Actor& actor, const AccountId& id) = 0;
};
std::unique_ptr<PeopleService> MakePeopleService(Directory& directory, GroupReader& groups,
                                                 const Clock& clock, PeopleConfig config);

}  // namespace keyferry::server
