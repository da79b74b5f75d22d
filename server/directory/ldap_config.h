#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "protocol/result.h"
#include "protocol/secure/secure_bytes.h"
#include "server/core/ids.h"

namespace keyferry::server {

enum class DirectoryKind {
  kActiveDirectory,  // Windows or Samba
  kOpenLdap,         // slapd with the ppolicy overlay
};

// What a server of this kind is called: "domain controller", "directory server".
const char* ServerNoun(DirectoryKind kind);

// How to reach the directory. Checked by MakeDirectory.
struct LdapConfig {
  DirectoryKind kind = DirectoryKind::kActiveDirectory;
  std::string section = "directory";  // the table of the configuration, for what has to be mended
  std::vector<std::string> uris;      // "ldaps://host[:port]", tried in this order
  std::string ca_file;                // PEM; the controllers' certificates must chain to it
  std::string base_dn;                // the domain, e.g. "DC=corp,DC=example,DC=test"
  std::string people_dn;              // employees are looked for below it; empty = base_dn
  std::string bind_name;              // service account: UPN, DOMAIN\name or DN; OpenLDAP: DN
  SecureBytes bind_password;          // UTF-8
  bool prefer_pdc = false;     // changes go to the PDC emulator among `uris` while it answers
  std::string default_policy;  // OpenLDAP: DN of the overlay's ppolicy_default; may be empty
  // DNs of security groups whose members, nested ones too, are never changed; beside the ones that
  // Windows protects itself.
  std::vector<std::string> protected_groups;
  std::vector<std::string> shown_attributes;  // that agents may look at (Directory::Attributes)
  std::string mobile_attribute = "mobile";    // with mobile numbers (Directory::MobileNumbers)
  std::chrono::milliseconds timeout{5000};    // a whole call of the port
  std::chrono::milliseconds connect_timeout{2000};  // name, TCP and TLS to one controller
  std::size_t connections = 4;                      // kept service binds per controller, 1…64
  // After a connection attempt that timed out, a controller is left alone this long.
  std::chrono::milliseconds silent_pause{5000};
  // After a refused service bind nobody tries again this long, so that a wrong password in the
  // configuration does not lock the service account out.
  std::chrono::milliseconds refused_pause{30000};
  std::chrono::milliseconds listing_life{10000};  // how long the order of a search is remembered
  std::chrono::milliseconds context_life{60000};  // … and what protection needs of the domain
  // How long what was found of an account when a change was pinned holds for its write; afterwards,
  // and for a second write, it is looked at again.
  std::chrono::milliseconds check_life{500};
  // Called just before a modify of this account leaves; may be empty. For counting.
  std::function<void(const AccountId&)> on_write;
};

// Whether a directory could be made from it. Fills in what is left empty and has a default.
// kInvalidArgument names the configuration key that is wrong.
Result<void> CheckLdapConfig(LdapConfig* config);

}  // namespace keyferry::server
