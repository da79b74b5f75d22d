#pragma once

#include <memory>

#include "protocol/result.h"
#include "server/core/directory.h"
#include "server/directory/ldap_config.h"

namespace keyferry::server {

// OpenLDAP (slapd 2.5 or newer with the ppolicy overlay) over LDAPS. Passwords are set by the
// Password Modify extended operation (RFC 3062), so the server hashes them and holds them to the
// person's policy; the state of accounts is the overlay's. Otherwise as MakeLdapDirectory.
//
// Evidence is pwdChangedTime, which counts whole seconds: within a few seconds after an account's
// last change a new one waits for up to a second more, so that it moves the time. That holds while
// this machine's clock and the server's are at most three seconds apart.
Result<std::unique_ptr<Directory>> MakeOpenLdapDirectory(LdapConfig config);

}  // namespace keyferry::server
