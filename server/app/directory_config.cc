#include "server/app/directory_config.h"

#include <string_view>
#include <utility>

#include "server/core/attributes.h"
#include "server/core/dn.h"
#include "server/core/encoding.h"

namespace keyferry::server {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxNames = 200;      // in one list of a scope
constexpr std::size_t kMaxSourceName = 64;  // bytes

// The keys that every directory has, from [directory] or one [[source]].
void ReadLdap(ConfigReader& reader, const fs::path& folder, const std::string& table,
              ServerConfig::Ldap& ldap) {
  const auto key = [&table](const char* name) { return table + "." + name; };
  ldap.kind = reader.OneOf(key("kind").c_str(), ldap.kind, {"active-directory", "openldap"});
  ldap.uris = reader.Texts(key("uris").c_str(), true);
  for (const std::string& uri : ldap.uris) {
    if (uri.compare(0, 8, "ldaps://") == 0 && uri.size() > 8) continue;
    reader.Complain(key("uris").c_str(), "holds \"" + uri +
                                             "\"; only ldaps:// is spoken, with a verified "
                                             "certificate.");
  }
  const auto path = [&](const char* name) {
    const std::string text = reader.Text(key(name).c_str(), true);
    return text.empty() ? fs::path() : folder / text;
  };
  ldap.ca_file = path("ca_file");
  ldap.base_dn = reader.Text(key("base_dn").c_str(), true);
  ldap.people_dn = reader.Text(key("people_dn").c_str(), false);
  ldap.bind_name = reader.Text(key("bind_name").c_str(), true);
  ldap.password_file = path("password_file");
  ldap.timeout_ms = reader.Number(key("timeout_ms").c_str(), ldap.timeout_ms, 500, 60000);
  ldap.connections = reader.Number(key("connections").c_str(), ldap.connections, 1, 64);
  ldap.protected_groups = reader.Texts(key("protected_groups").c_str(), false);
  ldap.prefer_pdc = reader.Flag(key("prefer_pdc").c_str(), ldap.prefer_pdc);
  ldap.default_policy = reader.Text(key("default_policy").c_str(), false);
  if (ldap.kind == "openldap" && ldap.prefer_pdc) {
    reader.Complain(key("prefer_pdc").c_str(), "has no meaning for OpenLDAP; remove it.");
  }
  if (ldap.kind != "openldap" && !ldap.default_policy.empty()) {
    reader.Complain(key("default_policy").c_str(),
                    "is only for " + table + ".kind = \"openldap\".");
  }
}

PeopleList ReadList(ConfigReader& reader, const std::string& which, const std::string& base_dn) {
  PeopleList list;
  const auto names = [&](const char* kind, bool is_dn, const std::vector<std::string>& base) {
    const std::string key = "scope." + which + "_" + kind;
    std::vector<std::string> texts = reader.Texts(key.c_str(), false);
    if (texts.size() > kMaxNames) {
      reader.Complain(key.c_str(),
                      "names more than " + std::to_string(kMaxNames) + "; use a group instead.");
    }
    for (const std::string& text : texts) {
      const std::vector<std::string> parts = PartsOfDn(text);
      if (text.empty() || text.size() > 1024 || !IsPrintableUtf8(text) ||
          (is_dn && parts.empty())) {
        reader.Complain(key.c_str(),
                        is_dn ? "must hold distinguished names." : "must hold sign-in names.");
      } else if (!base.empty() && !IsBelow(parts, base) && parts != base) {
        reader.Complain(key.c_str(), "names \"" + text + "\", which is not below " +
                                         "directory.base_dn, so nobody could be in it.");
      }
    }
    return texts;
  };
  const std::vector<std::string> base = PartsOfDn(base_dn);
  list.users = names("users", false, {});
  list.groups = names("groups", true, base);
  list.ous = names("ous", true, base);
  return list;
}

}  // namespace

const std::vector<std::string>& SourceKeys() {
  static const std::vector<std::string> keys = {
      "source.name",
      "source.kind",
      "source.uris",
      "source.ca_file",
      "source.base_dn",
      "source.people_dn",
      "source.bind_name",
      "source.password_file",
      "source.match",
      "source.default",
      "source.timeout_ms",
      "source.connections",
      "source.protected_groups",
      "source.prefer_pdc",
      "source.default_policy",
  };
  return keys;
}

const std::vector<std::string>& ScopeKeys() {
  static const std::vector<std::string> keys = {
      "scope.role",          "scope.include_users",  "scope.include_groups", "scope.include_ous",
      "scope.exclude_users", "scope.exclude_groups", "scope.exclude_ous",
  };
  return keys;
}

void ReadDirectory(ConfigReader& reader, const fs::path& folder, ServerConfig& config) {
  auto& directory = config.directory;
  ReadLdap(reader, folder, "directory", directory);
  auto& shown = directory.shown_attributes;
  shown = reader.Texts("directory.shown_attributes", false);
  if (shown.size() > 30) reader.Complain("directory.shown_attributes", "holds more than 30.");
  for (const std::string& name : shown) {
    if (MayBeShown(name)) continue;
    reader.Complain("directory.shown_attributes",
                    "holds \"" + name + "\", which is no name of an attribute that may be shown.");
  }
  directory.settle_seconds =
      reader.Number("directory.settle_seconds", directory.settle_seconds, 2, 3600);
  directory.administrator_groups = reader.Texts("directory.administrator_groups", true);
  directory.help_desk_groups = reader.Texts("directory.help_desk_groups", false);
  directory.key_officer_groups = reader.Texts("directory.key_officer_groups", false);
  directory.auditor_groups = reader.Texts("directory.auditor_groups", false);
}

Result<void> ReadSource(ConfigReader& reader, const fs::path& folder, ServerConfig& config) {
  ServerConfig::Source source;
  source.name = reader.Text("source.name", true);
  if (source.name.size() > kMaxSourceName || !IsPrintableUtf8(source.name)) {
    reader.Complain("source.name", "must have at most 64 bytes of text on one line.");
  }
  for (const ServerConfig::Source& other : config.sources) {
    if (other.name != source.name) continue;
    reader.Complain("source.name", "\"" + source.name + "\" is the name of another [[source]].");
  }
  ReadLdap(reader, folder, "source", source);
  const auto people = [](const ServerConfig::Ldap& ldap) {
    return ldap.people_dn.empty() ? ldap.base_dn : ldap.people_dn;
  };
  if (source.uris == config.directory.uris && people(source) == people(config.directory)) {
    reader.Complain("source.uris",
                    "and its people are those of [directory]: that is the first source already.");
  }
  source.match = reader.OneOf("source.match", source.match, {"login", "mail", "employee_id"});
  source.preset = reader.Flag("source.default", source.preset);
  config.sources.push_back(std::move(source));
  return reader.Finish(SourceKeys());
}

Result<void> ReadScope(ConfigReader& reader, const fs::path&, ServerConfig& config) {
  PeopleScope scope;
  std::vector<std::string> roles;
  for (const Role role : kAllRoles) roles.emplace_back(Name(role));
  const std::string name = reader.Text("scope.role", true);
  for (const Role role : kAllRoles) {
    if (name == Name(role)) scope.role = role;
  }
  if (scope.role == Role::kNone) {
    std::string all;
    for (const std::string& role : roles) all += (all.empty() ? "" : ", ") + role;
    reader.Complain("scope.role", "must be one of " + all + ".");
  }
  scope.include = ReadList(reader, "include", config.directory.base_dn);
  scope.exclude = ReadList(reader, "exclude", config.directory.base_dn);
  if (scope.include.empty() && scope.exclude.empty()) {
    reader.Complain("scope.role", "stands alone: name whom to include or to exclude.");
  }
  config.scopes.push_back(std::move(scope));
  return reader.Finish(ScopeKeys());
}

}  // namespace keyferry::server
