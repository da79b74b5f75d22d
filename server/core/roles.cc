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

Result<bool> IsIn(Directory& directory, const PersonDetail& person,
                  const std::vector<std::string>& groups) {
  if (groups.empty()) return false;
  const auto told = directory.TokenHolds(person, groups);
  if (!told) return tl::unexpected(told.error());
  if (*told) return **told;
  const auto all = directory.GroupsOf(person.person.id);
  if (!all) return tl::unexpected(all.error());
  return MemberOf(*all, groups);
}

Result<bool> IsPrivileged(Directory& directory, const PersonDetail& person,
                          const std::vector<std::string>& groups) {
  if (groups.empty()) return false;
  if (person.state.disabled || person.state.account_expired) return true;
  auto in = IsIn(directory, person, groups);
  if (!in &&
      (in.error().code == ErrorCode::kUnsupported || in.error().code == ErrorCode::kNotFound)) {
    return true;
  }
  return in;
}

Roles RolesOf(const std::vector<std::string>& group_dns, const SessionConfig& config) {
  Roles roles;
  if (MemberOf(group_dns, config.administrator_groups)) roles |= Role::kAdministrator;
  if (MemberOf(group_dns, config.help_desk_groups)) roles |= Role::kHelpDesk;
  if (MemberOf(group_dns, config.key_officer_groups)) roles |= Role::kKeyOfficer;
  if (MemberOf(group_dns, config.auditor_groups)) roles |= Role::kAuditor;
  return roles;
}

Roles SessionRolesOf(const std::vector<std::string>& group_dns, const SessionConfig& config) {
  const Roles roles = RolesOf(group_dns, config);
  return roles.empty() && config.employees ? Roles(Role::kEmployee) : roles;
}

}  // namespace keyferry::server
