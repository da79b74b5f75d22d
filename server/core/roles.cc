#include "server/core/roles.h"

#include <string_view>

namespace keyferry::server {
namespace {

std::string LowerCase(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

// Attribute names and values of a DN compare without regard to case and to blanks around
// separators.
std::string NormalisedDn(std::string_view dn) {
  std::string out;
  for (const char c : LowerCase(dn)) {
    const bool after_separator = !out.empty() && (out.back() == ',' || out.back() == '=');
    if (c == ' ' && (out.empty() || after_separator)) continue;
    if (c == ',' || c == '=') {
      while (!out.empty() && out.back() == ' ') out.pop_back();
    }
    out += c;
  }
  return out;
}

}  // namespace

bool MemberOf(const std::vector<std::string>& groups, const std::vector<std::string>& wanted) {
  for (const std::string& want : wanted) {
    for (const std::string& group : groups) {
      if (NormalisedDn(group) == NormalisedDn(want)) return true;
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
