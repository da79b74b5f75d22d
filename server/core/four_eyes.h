#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/result.h"
#include "server/core/approval_records.h"
#include "server/core/services.h"

// Four eyes: what one person may not do alone. A new password, a new key, an unlock, "must change",
// the reset of the second factor or the resuming of a key of a privileged person, and a new
// password together with a new key within a day, is first only asked for; a second person looks at
// exactly what is asked and approves it; then who asked asks again, and it is carried out, once, by
// the same road as everything else. A token of the API asks in its maker's name and approves
// nothing. Who is nobody of the directory (rotation, tokens of the server's console) cannot ask,
// and is refused.
namespace keyferry::server {

struct FourEyesConfig {
  bool on = true;
  // DNs. Members, nested ones too, are privileged; a directory that cannot tell who is in a group
  // makes everybody so, unless there is none.
  std::vector<std::string> privileged_groups;
  std::int64_t new_key_seconds = 24 * 3600;  // between a password and a further key; 0 = not asked
  std::int64_t life_seconds = 3600;          // from the asking until it is carried out
  // Passwords, unlocks and must-changes of one person who is no administrator, in a rolling hour; 0
  // = any number.
  std::uint32_t resets_per_hour = 20;
  // What membership in these groups makes of somebody.
  std::function<Roles(const std::vector<std::string>& group_dns)> roles_of;
};

// What somebody is about to do.
struct GuardedAsk {
  GuardedAction action = GuardedAction::kPassword;
  PersonDetail person;   // as the directory has just told of them
  std::string reason;    // one line of printable UTF-8
  ApprovalFacts facts;   // everything else that is asked
  bool complete = true;  // false: there is more, which must not be stored (a typed password)
};

// An approval as somebody sees it.
struct ApprovalView {
  Approval row;
  bool mine = false;
  bool open = false;        // somebody may decide it now
  bool may_decide = false;  // … this actor, as far as that is known without asking the directory
};

// Error::detail of a kConflict: a second person has to approve first; nothing was done. ": " and
// the approval's identifier follow.
inline constexpr char kApprovalDetail[] = "approval required";
std::optional<ApprovalId> ApprovalNeeded(const Error& error);

// The right that somebody needs for the action, and who approves it as well.
Right RightOf(GuardedAction action);
// What the approver's page shows and binds: over who asks, for whom, the action, the reason and the
// facts.
Hash32 HashOf(const Approval& approval);

// Thread-safe; blocks on database and directory. Every refusal of a decision is audited.
class FourEyes {
 public:
  virtual ~FourEyes() = default;

  // What has to stand when it is begun, for the transaction that begins it; empty where nobody else
  // is needed. Errors: kConflict with kApprovalDetail: it is now asked for, or waits; kRateLimited
  // with kAgentLimitDetail; kPermissionDenied: the actor is nobody; those of the ports. Without an
  // approval where one is needed nothing is ever returned: what cannot be told is refused.
  virtual Result<Precondition> Clear(const Actor& actor, const GuardedAsk& ask) = 0;
  // Why a second person is needed, a sentence; empty: nobody is.
  virtual Result<std::string> Why(const Actor& actor, GuardedAction action,
                                  const PersonDetail& person) = 0;
  // Audits that the agent reached the limit, and tells the administrators. Clear does so itself;
  // for who meets kAgentLimitDetail in the transaction.
  virtual void Limited(const Actor& actor, std::string_view target) = 0;
  // Who is told, once in an hour and agent. Set before the first request.
  virtual void OnLimit(std::function<void(const Actor& actor, std::uint32_t resets)> tell) = 0;

  // Open ones and those of the last week that the actor asked for or whose person they may see,
  // open ones first, then newest first; at most 200.
  virtual Result<std::vector<ApprovalView>> List(const Actor& actor) = 0;
  // kNotFound as well for what List would not show.
  virtual Result<ApprovalView> Get(const Actor& actor, const ApprovalId& id) = 0;
  // `hash`: of what the actor looked at. `answer`: 3…300 bytes of printable UTF-8. kConflict:
  // decided meanwhile, out of time, or not what was looked at. kPermissionDenied: their own, about
  // themselves, asked by the same person under another account, or not allowed to do it themselves.
  virtual Result<void> Decide(const Actor& actor, const ApprovalId& id, const Hash32& hash,
                              bool approve, std::string_view answer) = 0;
  // Whether this actor may decide it, as Decide would say now.
  virtual Result<bool> MayApprove(const Actor&, const Approval&) { return false; }
  // By who asked, while it is open or approved.
  virtual Result<void> Withdraw(const Actor& actor, const ApprovalId& id) = 0;
  // Called every minute.
  virtual void CloseOverdue() = 0;
};

std::unique_ptr<FourEyes> MakeFourEyes(const CorePorts& ports, FourEyesConfig config);

}  // namespace keyferry::server
