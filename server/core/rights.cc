#include "server/core/rights.h"

#include <iterator>

namespace keyferry::server {
namespace {

constexpr Roles kAdmin = Role::kAdministrator;
constexpr Roles kEach = Role::kAdministrator | Role::kHelpDesk | Role::kKeyOfficer | Role::kAuditor;
constexpr Roles kReader = Role::kAdministrator | Role::kAuditor;
constexpr Roles kDesk = Role::kAdministrator | Role::kHelpDesk;
constexpr Roles kKeys = Role::kAdministrator | Role::kKeyOfficer;
constexpr Roles kKeysSeen = kKeys | Role::kAuditor;

// The matrix. A right that no role is named at is nobody's.
constexpr RightInfo kRights[] = {
    {Right::kSession, "session", "", kEach, "See one's own sessions and end them."},
    {Right::kSelf, "self", "", kEach | Role::kEmployee,
     "See one's own account, prove that one is its person, and sign out."},
    {Right::kPeopleRead, "people:read", "people:read", kEach,
     "Search employees and read their accounts."},
    {Right::kChangesRead, "changes:read", "changes:read", kEach,
     "Read password changes and where they are on their way."},
    {Right::kChangesWrite, "changes:write", "changes:write", kDesk, "Set new passwords."},
    {Right::kAccountsWrite, "accounts:write", "changes:write", kAdmin,
     "Unlock accounts, and have passwords changed at the next sign-in, without a verified caller."},
    {Right::kKeysRead, "keys:read", "keys:read", kEach, "Read keys and where they are seen."},
    {Right::kKeysSuspend, "keys:suspend", "keys:write", kKeys | Role::kHelpDesk, "Suspend keys."},
    {Right::kKeysWrite, "keys:write", "keys:write", kKeys,
     "Enrol and resume keys and take them out of use."},
    {Right::kEnrolmentsRead, "enrolments:read", "keys:read", kKeysSeen,
     "Read enrolments, and keys that belong to nobody yet."},
    {Right::kWorkstationsRead, "workstations:read", "workstations:read", kKeysSeen,
     "Read workstations."},
    {Right::kWorkstationsWrite, "workstations:write", "workstations:write", kKeys,
     "Approve and revoke workstations."},
    {Right::kPoliciesRead, "policies:read", "policies:read", kReader,
     "Read rotation policies and whom they would reach."},
    {Right::kPoliciesWrite, "policies:write", "policies:write", kAdmin,
     "Change rotation policies, which set passwords."},
    {Right::kAuditRead, "audit:read", "audit:read", kReader, "Read and verify the audit log."},
    {Right::kAuditExport, "audit:export", "audit:read", kReader, "Export the audit log."},
    {Right::kCheckUpRead, "check_up:read", "check_up:read", kReader,
     "Read what the check-up found."},
    {Right::kCheckUpWrite, "check_up:write", "check_up:write", kAdmin,
     "Let the check-up look again."},
    {Right::kTokensRead, "tokens:read", "", kReader, "Read which tokens there are."},
    {Right::kTokensWrite, "tokens:write", "", kAdmin, "Make tokens and revoke them."},
    {Right::kSignInsWrite, "sign_ins:write", "", kAdmin,
     "See and end other people's sessions and reset their second factors."},
    {Right::kScopesRead, "scopes:read", "people:read", kReader,
     "Read whom each role reaches, and what an employee may."},
    {Right::kReportsRead, "reports:read", "audit:read", kReader,
     "Read the reports: what waits, keys and workstations by state, what the help desk did."},
    {Right::kWarningsWrite, "warnings:write", "", kAdmin,
     "Acknowledge the warning that many people were blocked."},
    {Right::kApprovalsRead, "approvals:read", "changes:read", kEach,
     "Read what waits for a second person, and what became of it."},
    {Right::kApprovalsWrite, "approvals:write", "", kDesk | kKeys,
     "Approve and refuse what others ask for and one may do oneself; withdraw one's own."},
    {Right::kAlarmRead, "alarm:read", "alarm:read", kEach, "See whether the alarm stands."},
    {Right::kAlarmRaise, "alarm:raise", "alarm:raise", kKeys,
     "Raise the alarm, which stops all deliveries and releases."},
    {Right::kAlarmEnd, "alarm:end", "", kKeys, "Agree to the alarm's end."},
    {Right::kAttributesRead, "attributes:read", "", kDesk,
     "See the configured attributes of an employee; each look is audited."},
    {Right::kOwnPassword, "self:password", "", Role::kEmployee,
     "Change one's own password, where that is allowed."},
};

constexpr bool InOrder() {
  for (std::size_t i = 0; i < std::size(kRights); ++i) {
    if (kRights[i].right != static_cast<Right>(i)) return false;
  }
  return true;
}
static_assert(InOrder() && std::size(kRights) == static_cast<std::size_t>(Right::kOwnPassword) + 1);

}  // namespace

const char* Name(Role role) {
  switch (role) {
    case Role::kHelpDesk:
      return "help_desk";
    case Role::kAdministrator:
      return "administrator";
    case Role::kAuditor:
      return "auditor";
    case Role::kKeyOfficer:
      return "key_officer";
    case Role::kEmployee:
      return "employee";
    case Role::kNone:
      break;
  }
  return "none";
}

std::string Names(Roles roles) {
  std::string out;
  for (const Role role : kAllRoles) {
    if (roles.Has(role)) out += (out.empty() ? "" : ", ") + std::string(Name(role));
  }
  if (out.empty()) return Name(roles.Has(Role::kEmployee) ? Role::kEmployee : Role::kNone);
  return out;
}

bool Roles::FromBits(long long bits, Roles* roles) {
  Roles known = Role::kEmployee;
  for (const Role role : kAllRoles) known |= role;
  if (bits < 0 || (bits & ~static_cast<long long>(known.bits_)) != 0) return false;
  roles->bits_ = static_cast<std::uint8_t>(bits);
  return true;
}

std::span<const RightInfo> AllRights() { return kRights; }

bool WantsProof(Right right) {
  switch (right) {
    case Right::kChangesWrite:
    case Right::kAccountsWrite:
    case Right::kKeysSuspend:
    case Right::kKeysWrite:
    case Right::kAuditExport:
    case Right::kTokensWrite:
    case Right::kApprovalsWrite:
    case Right::kAlarmEnd:
    case Right::kOwnPassword:
      return true;
    default:
      return false;
  }
}

const RightInfo& InfoOf(Right right) { return kRights[static_cast<std::size_t>(right)]; }

}  // namespace keyferry::server
