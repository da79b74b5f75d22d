#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/core/directory.h"
#include "server/directory/connection.h"

namespace keyferry::server {

// People as OpenLDAP keeps them: inetOrgPerson and its kin with a uid, password state in the
// operational attributes of the ppolicy overlay (slapo-ppolicy(5),
// draft-behera-ldap-password-policy section 5.3). Pure functions.

// Who is a person in a search.
inline constexpr std::string_view kOpenLdapPeople =
    "(&(|(objectClass=person)(objectClass=account))(uid=*))";

const std::vector<std::string>& OpenLdapPersonAttributes();
const std::vector<std::string>& OpenLdapStateAttributes();  // includes the former
const std::vector<std::string>& OpenLdapPolicyAttributes();

// nullopt when entryUUID is missing or malformed.
std::optional<Person> ReadOpenLdapPerson(const LdapEntry& entry);
// "(entryUUID=…)".
std::string UuidFilter(const AccountId& id);

// One policy entry (objectClass pwdPolicy).
struct OpenLdapPolicy {
  PasswordPolicy shown;
  bool must_change = false;  // pwdMustChange: the overlay heeds pwdReset
  bool user_change = true;   // pwdAllowUserChange: anybody but the rootdn may set one
  bool safe_modify = false;  // pwdSafeModify: the old password has to come with the new one
  std::int64_t lockout_duration = 0;  // seconds, 0 = until somebody unlocks
};
// `shown.known` is false when the entry tells nothing of it.
OpenLdapPolicy ReadOpenLdapPolicy(const LdapEntry& entry);

// `now`: Unix seconds. Without the protected fields.
AccountState ReadOpenLdapState(const LdapEntry& entry, const OpenLdapPolicy& policy,
                               std::int64_t now);

// pwdChangedTime, and whether the last write of this entry was the password and by `own_dn`.
PasswordStamp ReadOpenLdapStamp(const LdapEntry& entry, std::string_view own_dn);

// A DN with its spaces and case brought into one form, for comparing; as it is when malformed.
std::string ComparableDn(std::string_view dn);

}  // namespace keyferry::server
