#pragma once

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "protocol/result.h"
#include "server/directory/openldap_person.h"
#include "server/directory/server_group.h"

namespace keyferry::server {

// An account with what only OpenLDAP's own writes need to know.
struct OpenLdapAccount {
  PersonDetail detail;
  OpenLdapPolicy policy;
  PasswordStamp stamp;
};

// Accounts as OpenLDAP tells of them, and whether they may be changed. Thread-safe. The
// configuration outlives it.
class OpenLdapReader {
 public:
  explicit OpenLdapReader(const LdapConfig& config) : config_(config) {}

  // The account by its entryUUID, if it lies below people_dn.
  Result<OpenLdapAccount> Account(const Session& session, const AccountId& id);
  // One that `actor` (zero = this server) may change; kPermissionDenied with rule and next step for
  // a protected one, for the actor's own, and whenever that cannot be told.
  Result<OpenLdapAccount> Changeable(const Session& session, const AccountId& id,
                                     const AccountId& actor);
  // DNs of the groups (groupOfNames, groupOfUniqueNames) that hold `dn`, nested ones too.
  // `login` not empty: posixGroups that name it, and what they are members of, too.
  Result<std::vector<std::string>> Groups(const Session& session, const std::string& dn,
                                          const std::string& login) const;
  // The policy entry at `dn`; not known when the service account cannot read it or `dn` is empty.
  Result<OpenLdapPolicy> Policy(const Session& session, const std::string& dn);

 private:
  Result<void> CheckProtectedGroups(const Session& session);
  // Sets the protected fields.
  Result<void> Protect(const Session& session, const LdapEntry& entry, PersonDetail* detail);

  const LdapConfig& config_;
  std::mutex mutex_;
  struct Kept {
    OpenLdapPolicy policy;
    Deadline until;
  };
  std::map<std::string, Kept> policies_;  // by DN
  Deadline groups_checked_until_{};
};

}  // namespace keyferry::server
