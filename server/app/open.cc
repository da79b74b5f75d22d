#include "server/app/open.h"

#include <utility>

#include "server/app/files.h"
#include "server/app/state.h"
#include "server/core/roles.h"
#include "server/directory/ldap_directory.h"
#include "server/directory/openldap_directory.h"
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

SessionConfig SessionsOf(const ServerConfig& config) {
  SessionConfig out;
  out.administrator_groups = config.directory.administrator_groups;
  out.help_desk_groups = config.directory.help_desk_groups;
  out.key_officer_groups = config.directory.key_officer_groups;
  out.auditor_groups = config.directory.auditor_groups;
  out.idle_seconds = config.sessions.idle_minutes * 60;
  out.absolute_seconds = config.sessions.absolute_hours * 3600;
  out.failures_per_account = static_cast<std::uint32_t>(config.sessions.failures_per_account);
  out.failures_per_address = static_cast<std::uint32_t>(config.sessions.failures_per_address);
  out.employees = config.self_service.enabled;
  out.grace_seconds = config.sessions.grace_minutes * 60;
  out.step_up_seconds = config.sign_in.step_up_minutes * 60;
  out.second_factor = config.sign_in.second_factor == "off"        ? FactorPolicy::kOff
                      : config.sign_in.second_factor == "optional" ? FactorPolicy::kOptional
                                                                   : FactorPolicy::kRequired;
  out.failure_window_seconds = out.block_seconds = config.sessions.block_minutes * 60;
  return out;
}

PeopleConfig PeopleOf(const ServerConfig& config) {
  PeopleConfig out;
  out.scopes = config.scopes;
  const auto& directory = config.directory;
  for (const auto* groups : {&directory.administrator_groups, &directory.help_desk_groups,
                             &directory.key_officer_groups, &directory.auditor_groups}) {
    out.role_groups.insert(out.role_groups.end(), groups->begin(), groups->end());
  }
  out.roles_of = [sessions = SessionsOf(config)](const std::vector<std::string>& groups) {
    return RolesOf(groups, sessions);
  };
  return out;
}

TokenConfig TokensOf(const ServerConfig& config) {
  TokenConfig out;
  out.max_days = config.api.max_token_days;
  out.requests_per_minute = static_cast<std::uint32_t>(config.api.requests_per_minute);
  return out;
}

}  // namespace keyferry::server
