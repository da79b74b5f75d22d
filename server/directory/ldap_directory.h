#pragma once

#include <memory>

#include "protocol/result.h"
#include "server/core/directory.h"
#include "server/directory/ldap_config.h"

namespace keyferry::server {

// Active Directory (Windows or Samba) over LDAPS with verified certificates; nothing else is
// spoken. Connects on first use, reconnects by itself, fails over along `uris`. Thread-safe; every
// call blocks at most about `timeout`. Passwords are not kept by libldap: its memory is wiped when
// freed (process-wide, from the first call on).
// Errors: kInvalidArgument names the configuration key that is wrong.
Result<std::unique_ptr<Directory>> MakeLdapDirectory(LdapConfig config);

}  // namespace keyferry::server
