#pragma once

#include <memory>

#include "server/core/group_reader.h"
#include "server/directory/ldap_config.h"

namespace keyferry::server {

// Active Directory: by LDAP_MATCHING_RULE_IN_CHAIN, so nested groups count; a primary group (Domain
// Users) has no members of this kind. OpenLDAP: by the memberof overlay's attribute, direct members
// only.
Result<std::unique_ptr<GroupReader>> MakeGroupReader(LdapConfig config);

}  // namespace keyferry::server
