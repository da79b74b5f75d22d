#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "protocol/result.h"
#include "server/directory/ldap_config.h"

namespace keyferry::server {

// An account of Active Directory in whose name a service takes Kerberos tickets.
struct ServiceAccount {
  std::string login;
  std::uint32_t key_version = 0;  // msDS-KeyVersionNumber, 0 = it cannot be read
  bool aes = false;               // msDS-SupportedEncryptionTypes has an AES
};

// The accounts with this service principal name ("HTTP/keyferry.corp.example"); there should be
// one. Blocks. Errors: those of a read of the directory.
Result<std::vector<ServiceAccount>> FindServiceAccounts(LdapConfig config, const std::string& name);

}  // namespace keyferry::server
