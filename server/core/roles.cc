#include "server/core/roles.h"

#include "server/core/dn.h"

namespace keyferry::server {
bool MemberOf(const std::vector<std::string>& groups, const std::vector<std::string>& wanted) {
  for (const std::string& want : wanted) {
    const std::vector<std::string> parts = PartsOfDn(want);
    for (const std::string& group : groups) {
      if (!parts.empty() && PartsOfDn(group) == parts) return true;
    }
  }
  return false;
}

Roles RolesOf(const std::vector<std::string>& group_dns, const SessionConfig& config) {
  Roles roles;
  if (MemberOf(group_dns, config.administrator_groups)) roles |= Role::kAdministrator;
  if (MemberOf(group_dns, config.help_desk_groups)) roles |= Role::kHelpDesk;
  if (MemberOf(group_dns, config.key_officer_groups)) roles |= Role::kKeyOfficer;
  if (MemberOf(group_dns, config.auditor_groups)) roles |= Role::kAuditor;
  return roles;
}

}  // namespace keyferry::server
