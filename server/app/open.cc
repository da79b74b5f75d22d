#include "server/app/open.h"

#include <utility>

#include "server/app/files.h"
#include "server/app/state.h"
#include "server/app/web_folder.h"
#include "server/directory/ldap_directory.h"
#include "server/directory/openldap_directory.h"
#include "server/pages/catalog.h"
#include "server/storage/postgres_store.h"
#include "server/storage/sqlite_store.h"

namespace keyferry::server {

Result<LdapConfig> LdapConfigOf(const ServerConfig::Ldap& settings, std::string section) {
  LdapConfig ldap;
  ldap.section = std::move(section);
  ldap.kind =
      settings.kind == "openldap" ? DirectoryKind::kOpenLdap : DirectoryKind::kActiveDirectory;
  ldap.default_policy = settings.default_policy;
  ldap.uris = settings.uris;
  ldap.ca_file = settings.ca_file.string();
  ldap.base_dn = settings.base_dn;
  ldap.people_dn = settings.people_dn;
  ldap.bind_name = settings.bind_name;
  auto password = ReadSecretLine(settings.password_file);
  if (!password) return tl::unexpected(password.error());
  ldap.bind_password = std::move(*password);
  ldap.prefer_pdc = settings.prefer_pdc;
  ldap.protected_groups = settings.protected_groups;
  ldap.shown_attributes = settings.shown_attributes;
  ldap.mobile_attribute = settings.mobile_attribute;
  ldap.timeout = std::chrono::milliseconds(settings.timeout_ms);
  ldap.connections = static_cast<std::size_t>(settings.connections);
  return ldap;
}

Result<std::unique_ptr<Directory>> OpenDirectory(const ServerConfig::Ldap& settings,
                                                 std::string section) {
  auto ldap = LdapConfigOf(settings, std::move(section));
  if (!ldap) return tl::unexpected(ldap.error());
  return ldap->kind == DirectoryKind::kOpenLdap ? MakeOpenLdapDirectory(std::move(*ldap))
                                                : MakeLdapDirectory(std::move(*ldap));
}

LinkedSource LinkOf(const ServerConfig::Source& source, Directory& directory) {
  LinkedSource linked;
  linked.name = source.name;
  linked.kind = source.kind;
  linked.match = source.match == "mail"          ? PersonKey::kMail
                 : source.match == "employee_id" ? PersonKey::kEmployeeId
                                                 : PersonKey::kLogin;
  linked.preset = source.preset;
  linked.directory = &directory;
  return linked;
}

Result<std::unique_ptr<Store>> OpenStore(const ServerConfig& config, const std::string& node) {
  if (auto done = CheckPrivateFolder(config.state_dir); !done) return tl::unexpected(done.error());
  const StateFiles files(config.state_dir);
  std::error_code ec;
  if (!std::filesystem::exists(files.Last(config), ec)) {
    return Fail(ErrorCode::kIo,
                config.state_dir.string() + " is not initialised. Run: keyferry-server init");
  }
  return MakeStore(config, node);
}

Result<std::unique_ptr<Store>> ReadStore(const ServerConfig& config) {
  if (config.postgres) return OpenStore(config);
  if (auto done = CheckPrivateFolder(config.state_dir); !done) return tl::unexpected(done.error());
  return ReadSqliteStore(StateFiles(config.state_dir).database);
}

Result<std::unique_ptr<Store>> MakeStore(const ServerConfig& config, const std::string& node) {
  if (!config.postgres) return OpenSqliteStore(StateFiles(config.state_dir).database);
  if (const std::string& file = config.postgres->password_file(); !file.empty()) {
    // libpq would leave out, silently, a file that others may read.
    if (const auto secret = ReadSecretFile(file); !secret) return tl::unexpected(secret.error());
  }
  return OpenPostgresStore(*config.postgres, node);
}

Result<std::unique_ptr<Catalog>> LoadCatalog(const ServerConfig& config) {
  const bool open_ldap = config.directory.kind == "openldap";
  return Catalog::Load(WebFolder(config), open_ldap ? "OpenLDAP" : "Active Directory",
                       config.own_web_dir);
}

}  // namespace keyferry::server
