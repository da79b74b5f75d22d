#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "protocol/result.h"
#include "server/core/finding.h"
#include "server/directory/ldap_config.h"

namespace keyferry::server {

// What `keyferry-server doctor` finds out about the directory, with the service account's own eyes:
// nothing is written. Blocks for some round trips a controller and an OU.
struct Diagnosis {
  Findings findings;
  // Of each controller that answered: its URI and its certificate (DER), for who judges dates.
  std::vector<std::pair<std::string, std::string>> certificates;
};

// `config` as for MakeLdapDirectory, checked by it before. `now`: Unix seconds of this machine.
Diagnosis Diagnose(const LdapConfig& config, std::int64_t now);

// The two commands that give the service account one right on the accounts of an OU.
struct RightCommands {
  std::string dsacls;      // on Windows
  std::string samba_tool;  // on Samba
};
// `right`: "Reset Password", "pwdLastSet", "lockoutTime" or "tokenGroups". `account`:
// "DOMAIN\\name".
RightCommands CommandsFor(std::string_view right, const std::string& ou, const std::string& account,
                          const std::string& sid);

}  // namespace keyferry::server
