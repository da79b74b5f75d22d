#pragma once

#include <memory>

#include "protocol/result.h"
#include "server/core/directory.h"
#include "server/directory/ldap_config.h"

namespace keyferry::server {

// Active Directory (Windows or Samba) over LDAPS with verified certificates; nothing else is
// spoken. Connects on first use, reconnects by itself, fails over along `uris`. Thread-safe; every
// call blocks at most about `timeout`. libldap and its TLS library do not wipe what they free: the
// program links keyferry_wiping_heap, so that no password outlives its request.
// Errors: kInvalidArgument names the configuration key that is wrong.
Result<std::unique_ptr<Directory>> MakeLdapDirectory(LdapConfig config);

}  // namespace keyferry::server
