#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

// Who may do what. The table in rights.cc is the only source: routes name a right, services ask for
// it again, tokens of the API cover rights by their scopes, and the tests and the table in
// docs/security.md are held to it.
namespace keyferry::server {

// What a person is here, by groups of the directory. The values are stored with sessions.
enum class Role : std::uint8_t {
  kNone = 0,
  kHelpDesk = 1,
  kAdministrator = 2,
  kAuditor = 4,     // reads everything, changes nothing
  kKeyOfficer = 8,  // keys and workstations; no passwords
  kEmployee = 16,   // has none of the others: one's own place, where employees may sign in
};
// Those that groups give. Nobody who has one of them is kEmployee too.
inline constexpr Role kAllRoles[] = {Role::kAdministrator, Role::kHelpDesk, Role::kKeyOfficer,
                                     Role::kAuditor};
const char* Name(Role role);  // "help_desk"

// The roles of one person: what any of them may, the person may.
class Roles {
 public:
  constexpr Roles() = default;
  constexpr Roles(Role role) : bits_(static_cast<std::uint8_t>(role)) {}

  constexpr bool Has(Role role) const { return (bits_ & static_cast<std::uint8_t>(role)) != 0; }
  constexpr bool Meets(Roles other) const { return (bits_ & other.bits_) != 0; }
  constexpr bool empty() const { return bits_ == 0; }
  constexpr Roles operator|(Roles other) const {
    Roles both;
    both.bits_ = bits_ | other.bits_;
    return both;
  }
  Roles& operator|=(Roles other) { return *this = *this | other; }
  constexpr bool operator==(const Roles& other) const { return bits_ == other.bits_; }
  constexpr bool operator!=(const Roles& other) const { return bits_ != other.bits_; }

  // As stored. False for bits that are no role.
  constexpr std::uint8_t bits() const { return bits_; }
  static bool FromBits(long long bits, Roles* roles);

 private:
  std::uint8_t bits_ = 0;
};
constexpr Roles operator|(Role a, Role b) { return Roles(a) | Roles(b); }
std::string Names(Roles roles);  // "help_desk, auditor"; "none"

// One kind of action.
enum class Right : std::uint8_t {
  kSession,
  kSelf,
  kPeopleRead,
  kChangesRead,
  kChangesWrite,
  kAccountsWrite,
  kKeysRead,
  kKeysSuspend,
  kKeysWrite,
  kEnrolmentsRead,
  kWorkstationsRead,
  kWorkstationsWrite,
  kPoliciesRead,
  kPoliciesWrite,
  kAuditRead,
  kAuditExport,
  kCheckUpRead,
  kCheckUpWrite,
  kTokensRead,
  kTokensWrite,
  kSignInsWrite,
  kScopesRead,
  kReportsRead,
  kWarningsWrite,
  kApprovalsRead,
  kApprovalsWrite,
  kAlarmRead,
  kAlarmRaise,
  kAlarmEnd,
  kAttributesRead,
  kOwnPassword,
};

struct RightInfo {
  Right right;
  const char* name;   // "keys:suspend"
  const char* scope;  // of tokens (core/tokens.h), which covers it; empty: for people only
  Roles roles;        // each of them may
  const char* what;   // a sentence
};
std::span<const RightInfo> AllRights();  // in the order of the enum
const RightInfo& InfoOf(Right right);
// Whether a person who uses it, in more than reading, proves the second factor anew first where the
// last proof is old; for kAuditExport reading too.
bool WantsProof(Right right);
inline const char* Name(Right right) { return InfoOf(right).name; }
inline bool May(Roles roles, Right right) { return roles.Meets(InfoOf(right).roles); }

}  // namespace keyferry::server
