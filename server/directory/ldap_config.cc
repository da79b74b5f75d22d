#include "server/directory/ldap_config.h"

#include <ldap.h>

#include <string_view>

#include "server/directory/connection.h"

namespace keyferry::server {
namespace {

Result<void> CheckUri(const std::string& section, const std::string& uri) {
  LDAPURLDesc* parsed = nullptr;
  const bool single = uri.find_first_of(" ,\t\r\n") == std::string::npos;
  bool good = single && ldap_url_parse(uri.c_str(), &parsed) == LDAP_URL_SUCCESS;
  if (good) {
    good = std::string_view(parsed->lud_scheme) == "ldaps" && parsed->lud_host != nullptr &&
           *parsed->lud_host != '\0' && (parsed->lud_dn == nullptr || *parsed->lud_dn == '\0') &&
           parsed->lud_attrs == nullptr && parsed->lud_filter == nullptr;
    ldap_free_urldesc(parsed);
  }
  if (good) return {};
  return Fail(ErrorCode::kInvalidArgument,
              section + ".uris: \"" + uri +
                  "\" is not of the form ldaps://host or ldaps://host:port; passwords never travel "
                  "over plain LDAP.");
}

Result<void> CheckDn(const std::string& key, const std::string& dn) {
  LDAPDN parsed = nullptr;
  const bool good =
      !dn.empty() && ldap_str2dn(dn.c_str(), &parsed, LDAP_DN_FORMAT_LDAPV3) == LDAP_SUCCESS;
  ldap_dnfree(parsed);
  if (good) return {};
  return Fail(
      ErrorCode::kInvalidArgument,
      key + ": \"" + dn + "\" is not a distinguished name such as OU=People,DC=example,DC=com.");
}

}  // namespace

const char* ServerNoun(DirectoryKind kind) {
  return kind == DirectoryKind::kOpenLdap ? "directory server" : "domain controller";
}

Result<void> CheckLdapConfig(LdapConfig* config) {
  const auto invalid = [](const std::string& message) {
    return Fail(ErrorCode::kInvalidArgument, message);
  };
  if (config->uris.empty()) return invalid(config->section + ".uris names no server.");
  for (const std::string& uri : config->uris) {
    if (auto good = CheckUri(config->section, uri); !good) return good;
  }
  if (auto good = CheckDn(config->section + ".base_dn", config->base_dn); !good) return good;
  if (config->people_dn.empty()) config->people_dn = config->base_dn;
  if (auto good = CheckDn(config->section + ".people_dn", config->people_dn); !good) return good;
  if (config->ca_file.empty())
    return invalid(config->section +
                   ".ca_file is empty; name the PEM file of the certificate authority.");
  if (config->bind_name.empty())
    return invalid(config->section + ".bind_name is empty; name the service account.");
  if (config->bind_password.empty()) return invalid("The service account's password is empty.");
  if (config->connections < 1 || config->connections > 64)
    return invalid(config->section + ".connections must be 1 to 64.");
  if (config->kind == DirectoryKind::kOpenLdap) {
    if (auto good = CheckDn(config->section + ".bind_name", config->bind_name); !good) return good;
    if (config->prefer_pdc)
      return invalid(config->section + ".prefer_pdc has no meaning for OpenLDAP; remove it.");
    if (!config->default_policy.empty()) {
      if (auto good = CheckDn(config->section + ".default_policy", config->default_policy); !good)
        return good;
    }
  } else if (!config->default_policy.empty()) {
    return invalid(config->section + ".default_policy is only for OpenLDAP; remove it.");
  }
  if (config->timeout.count() < 1 || config->connect_timeout.count() < 1)
    return invalid(config->section + " timeouts must be longer than nothing.");
  for (const std::string& dn : config->protected_groups) {
    if (auto good = CheckDn(config->section + ".protected_groups", dn); !good) {
      return good;
    }
  }
  if (auto probe = LdapConnection::Create(
          {config->uris.front(), config->ca_file, config->kind, config->section});
      !probe) {
    return tl::unexpected<Error>(probe.error());
  }
  return {};
}

}  // namespace keyferry::server
