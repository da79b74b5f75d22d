#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

#include "protocol/result.h"
#include "server/core/services.h"

namespace keyferry::server {

// What is done to an account without a new password.
enum class AccountStep {
  kUnlock,      // the lock-out ends
  kMustChange,  // the password must be changed at the next sign-in
};
inline constexpr AccountStep kLastAccountStep = AccountStep::kMustChange;
const char* Name(AccountStep step);  // "must_change"

inline constexpr std::size_t kMostStepReason = 200;  // bytes

// For administrators, who need no verified caller (help_desk.h); everybody else does it at the help
// desk. Thread-safe; blocks on database and directory.
class AccountSteps {
 public:
  virtual ~AccountSteps() = default;
  // `reason`: 1…kMostStepReason bytes of printable UTF-8. It stands in the audit log before the
  // directory is asked, and how it ended afterwards, with which the person is told (notices.h).
  // Errors: kPermissionDenied (the role, one's own account, a protected one), kNotFound,
  // kInvalidArgument; kConflict: there is nothing to do, the account is frozen, or a second person
  // has to approve it first (ApprovalNeeded); kOutcomeUnknown: it may have been done, or was and
  // could not be written down; those of the ports.
  virtual Result<void> Do(const Actor& actor, const AccountId& account, AccountStep step,
                          std::string_view reason) = 0;
};
// What a second person is told beside the reason (four_eyes.h): there is no verified caller.
inline const ApprovalFacts kOnEmployeePage = {{"place", "employee_page"}};
std::unique_ptr<AccountSteps> MakeAccountSteps(const CorePorts& ports);

}  // namespace keyferry::server
