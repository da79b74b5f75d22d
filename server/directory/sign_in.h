#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/result.h"
#include "protocol/secure/secure_bytes.h"
#include "server/core/directory.h"
#include "server/directory/connection.h"
#include "server/directory/ldap_config.h"
#include "server/directory/server_group.h"

namespace keyferry::server {

// What the kinds of directory differ in when somebody signs in.
struct SignInSteps {
  // The entry that a name means; nothing = nobody, or nobody in particular. The name is fit for a
  // filter once it is escaped.
  std::function<Result<std::optional<LdapEntry>>(const Session&, std::string_view name)> find;
  std::function<std::optional<Person>(const LdapEntry&)> read;
  // DNs, nested ones too.
  std::function<Result<std::vector<std::string>>(const Session&, const LdapEntry&)> groups;
  std::string nobody;      // DN of an entry that is not there
  std::string identifier;  // the attribute
};

// Directory::SignIn on one server.
Result<SignInFacts> SignInOn(const Session& session, const LdapConfig& config,
                             const SignInSteps& steps, std::string_view name,
                             const SecureBytes& password);

// One bind as this entry, on a connection of its own.
Result<BindOutcome> BindAs(const Session& session, const LdapConfig& config, const std::string& dn,
                           const SecureBytes& password);

// Whether the server answers on this connection.
Result<void> Probe(const Session& session);

}  // namespace keyferry::server
