#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "protocol/result.h"
#include "server/core/ids.h"
#include "server/core/records.h"

// The rows of four eyes (four_eyes.h). Times are Unix milliseconds, 0 = not yet.
namespace keyferry::server {

using ApprovalId = Id16<struct ApprovalTag>;

// What needs a second person where the target or its recent past asks for one.
enum class GuardedAction {
  kPassword,     // a new password
  kKey,          // a new key
  kUnlock,       // the account's lock-out ends
  kMustChange,   // the password must be changed at the next sign-in
  kFactorReset,  // the second factor for signing in to Keyferry is taken away
  kKeyResume,    // a suspended key may be used again
};
inline constexpr GuardedAction kLastGuardedAction = GuardedAction::kKeyResume;

// Open: kOpen. What is approved waits to be carried out, once, by who asked for it.
enum class ApprovalState {
  kOpen,
  kApproved,
  kRefused,
  kWithdrawn,  // by who asked, or because they asked for something else instead
  kExpired,
  kUsed,  // carried out, or begun to be
};

const char* Name(GuardedAction action);
const char* Name(ApprovalState state);

// Exactly what is asked, in order: names as in the API's requests, values as text. No name or value
// has a line break.
using ApprovalFacts = std::vector<std::pair<std::string, std::string>>;

struct Approval {
  ApprovalId id;
  GuardedAction action = GuardedAction::kPassword;
  AccountId account;
  std::string login, display_name;
  AccountId asker;
  std::string asker_login;
  std::string reason;
  ApprovalFacts facts;
  std::string why;  // why a second person is needed, a sentence
  Hash32 hash{};    // over everything above but id, names and `why`: HashOf
  ApprovalState state = ApprovalState::kOpen;
  AccountId approver;  // who approved or refused it
  std::string approver_login;
  std::string answer;         // their reason
  std::uint64_t version = 1;  // moves with every step
  std::int64_t created = 0;
  std::int64_t expires = 0;  // neither approved nor carried out from here on
  std::int64_t decided = 0;
  std::int64_t used = 0;
};

// One approved row that is used up by the transaction that it goes with; in the same one stands the
// entry in the audit log.
struct ApprovalUse {
  ApprovalId id;
  std::uint64_t version = 0;
  std::int64_t now = 0;
  AuditEntry audit;
};

// At most so many of one agent's resets since then, this one among them.
struct AgentQuota {
  AccountId agent;
  std::uint32_t most = 0;
  std::int64_t since = 0;
};

// What must stand before something is begun; checked in the transaction that begins it. When it
// does not, nothing is written: kConflict for the approval, kRateLimited for the quota.
struct Precondition {
  std::optional<ApprovalUse> approval;
  std::optional<AgentQuota> quota;
};

// The refusal by an AgentQuota.
inline constexpr char kAgentLimit[] =
    "You have reached the number of resets that one person may make in an hour, and the "
    "administrators are told. Try again later, or ask a colleague. Nothing was changed.";
inline constexpr char kAgentLimitDetail[] = "agent limit";

class ApprovalStore {
 public:
  // One step of one row: stored only if the row is still at `version` and in `from`, and with
  // `live` only before its time is over.
  struct ApprovalStep {
    ApprovalId id;
    std::uint64_t version = 0;
    ApprovalState from = ApprovalState::kOpen, to = ApprovalState::kOpen;
    AccountId approver;
    std::string approver_login, answer;
    std::int64_t now = 0;
    bool live = false;
    AuditEntry audit;
  };
  struct Asked {
    bool fresh = true;
    Approval row;
  };

  virtual ~ApprovalStore() = default;
  // Stores what is asked, unless the same (asker, account, action, hash) is open or approved: then
  // that one. What the asker had open or approved of the same account and action is withdrawn.
  virtual Result<Asked> AskApproval(const Approval& approval, const AuditEntry& audit) = 0;
  virtual Result<std::optional<Approval>> FindApproval(const ApprovalId& id) = 0;
  // Open ones, and those that were decided or closed since, newest first, at most `limit`.
  virtual Result<std::vector<Approval>> Approvals(std::int64_t since, std::size_t limit) = 0;
  // False: somebody was faster, or its time is over. Nothing was written.
  virtual Result<bool> StepApproval(const ApprovalStep& step) = 0;
  // Open or approved ones whose time was over at `now`, some of them.
  virtual Result<std::vector<Approval>> OverdueApprovals(std::int64_t now) = 0;

  // Uses up what must stand, and writes the entry of what begins now, in one transaction: for what
  // has no row of its own. The errors are those of a Precondition that does not stand.
  virtual Result<void> BeginGuarded(const Precondition& only_if, const AuditEntry& audit) = 0;

  // Whether the person has a key that began after `since` and is not their first one.
  virtual Result<bool> GotNewKey(const AccountId& account, std::int64_t since) = 0;
  // Whether a password of the person was set after `since`, or one is under way, since whenever.
  virtual Result<bool> GotPassword(const AccountId& account, std::int64_t since) = 0;
  // Passwords, unlocks and must-changes of one agent since then.
  virtual Result<std::uint32_t> CountResets(const AccountId& agent, std::int64_t since) = 0;
};

}  // namespace keyferry::server
