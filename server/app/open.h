#pragma once

#include <memory>
#include <string>

#include "protocol/result.h"
#include "server/app/config.h"
#include "server/core/directory.h"
#include "server/core/services.h"
#include "server/core/store.h"
#include "server/directory/ldap_config.h"

namespace keyferry::server {

class Catalog;

// The adapters as the configuration wants them, for whoever puts a program together.
// Reads the password file. `section`: the table in which the settings are.
Result<LdapConfig> LdapConfigOf(const ServerConfig::Ldap& settings, std::string section);
Result<std::unique_ptr<Directory>> OpenDirectory(const ServerConfig::Ldap& settings,
                                                 std::string section);
inline constexpr const char* kFirstSection = "directory";
inline constexpr const char* kLinkedSection = "source";
// What the directory of `source` is linked as.
LinkedSource LinkOf(const ServerConfig::Source& source, Directory& directory);
// kIo when the state folder is not initialised.
// `node`: NodeLink::Self::id of a server that changes passwords; tools have none.
Result<std::unique_ptr<Store>> OpenStore(const ServerConfig& config, const std::string& node = {});
// For reading alone; with SQLite a server may be running.
Result<std::unique_ptr<Store>> ReadStore(const ServerConfig& config);
// The same, but makes the database when it is new.
Result<std::unique_ptr<Store>> MakeStore(const ServerConfig& config, const std::string& node = {});
// What pages and mails say.
Result<std::unique_ptr<Catalog>> LoadCatalog(const ServerConfig& config);

}  // namespace keyferry::server
