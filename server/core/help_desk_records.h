#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "protocol/result.h"
#include "server/core/approval_records.h"
#include "server/core/ids.h"
#include "server/core/records.h"
#include "server/core/webhook_records.h"

// The rows of the help desk flow (help_desk.h). Times are Unix milliseconds, 0 = not yet.
namespace keyferry::server {

using HelpDeskId = Id16<struct HelpDeskTag>;  // one request of a caller

// What a caller asks for.
enum class HelpDeskProcess {
  kNone,        // not chosen yet
  kReset,       // a new password, made by the server, to the caller's key
  kUnlock,      // the account's lock-out ends
  kMustChange,  // the password must be changed at the next sign-in
  // As kReset, and the agent sees it once and reads it to the caller; it must be changed at the
  // next sign-in. Only where the policy allows it, never for privileged people.
  kReadOut,
};
inline constexpr HelpDeskProcess kLastHelpDeskProcess = HelpDeskProcess::kReadOut;
inline bool SetsPassword(HelpDeskProcess process) {
  return process == HelpDeskProcess::kReset || process == HelpDeskProcess::kReadOut;
}

// Identify → Process → Verify → Reset → Confirm. Open: kIdentified … kActed.
enum class HelpDeskState {
  kIdentified,  // person, reason and ticket are known
  kVerifying,   // the process is chosen; proofs are missing
  kVerified,    // the proofs suffice
  kActing,      // being carried out: the directory may be asked at any moment
  kActed,       // carried out; the agent has not confirmed yet
  kDone,
  kCancelled,  // by its agent
  kExpired,    // out of time
  // Too many failed attempts of one verification, or the manager knows nothing of the call.
  kBlocked,
};
inline bool IsOpen(HelpDeskState state) { return state <= HelpDeskState::kActed; }

// The closed list of ways in which a caller proves who they are.
enum class HelpDeskMethod {
  kInPerson,      // stands before the agent, who saw a document
  kCallBack,      // answered at the directory's telephone number
  kMailCode,      // knows a code that went to the directory's mail address
  kPersonalData,  // knows attributes that the directory has
  kKeyTouch,      // touches their key at a workstation, with its PIN and the number read out
  kManager,       // is known to the directory's manager of them, who gives the number read out
  kSmsCode,       // knows a code that went to the directory's mobile number
  kTotp,          // reads the code of their authenticator app
  kQuestions,     // knows the answers that they have set to security questions
};
inline constexpr HelpDeskMethod kLastHelpDeskMethod = HelpDeskMethod::kQuestions;

enum class HelpDeskAttemptState {
  kWaiting,  // something was sent; no right answer yet
  kPassed,
  kWrong,
  kVoid,  // replaced by a newer one, or it could not be sent
};

const char* Name(HelpDeskProcess process);
const char* Name(HelpDeskState state);
const char* Name(HelpDeskMethod method);
const char* Name(HelpDeskAttemptState state);

struct HelpDeskRequest {
  HelpDeskId id;
  AccountId agent;
  std::string agent_login;
  AccountId account;
  std::string login, display_name;
  HelpDeskProcess process = HelpDeskProcess::kNone;
  std::string reason, ticket;
  HelpDeskState state = HelpDeskState::kIdentified;
  std::string error;  // why the last try to carry it out failed, or why it is closed; a sentence
  bool privileged = false;
  ChangeId change;            // of a reset that was begun; zero = none
  std::uint32_t acts = 0;     // how often carrying it out was begun
  std::uint64_t version = 1;  // moves with every step
  std::int64_t opened = 0;
  std::int64_t expires = 0;
  std::int64_t acted = 0;  // carried out, or being carried out, since then
  std::int64_t closed = 0;
  std::int64_t mailed = 0;  // when the person was mailed what to do
};

struct HelpDeskAttempt {
  std::uint64_t number = 0;  // set by the store
  HelpDeskMethod method = HelpDeskMethod::kInPerson;
  HelpDeskAttemptState state = HelpDeskAttemptState::kWaiting;
  std::string salt, hash;  // of a code that is out, hex; else empty
  // Of a touch or a manager's word that is waited for, else empty: what the key has to sign, or
  // what the link is made of (32 bytes in hex); the digits that the agent reads out; and who asks,
  // as the workstation or the link's page shows it.
  std::string challenge, read_out, asked_by;
  AccountId approver;   // whose word is waited for: the manager's; else zero
  bool denied = false;  // kWrong: the person said that it is not them, or their manager did
  std::int64_t created = 0;
  std::int64_t expires = 0;  // of a code, a touch or a link
};

// A question that waits for the touch of a caller's key.
struct KeyTouchQuestion {
  HelpDeskRequest request;
  HelpDeskAttempt attempt;
};

class HelpDeskStore {
 public:
  struct Opened {
    bool fresh = true;
    HelpDeskRequest row;  // else the one that the account has open
  };
  // A code of the person's authenticator app, by its step (totp.h).
  struct SpentCode {
    AccountId account;
    std::int64_t step = 0;
  };
  // Everything that one step changes: stored only if the row is still at `version` of `next` and in
  // state `from`; it gets the next version.
  struct Step {
    HelpDeskRequest next;
    HelpDeskState from = HelpDeskState::kIdentified;
    std::optional<HelpDeskAttempt> add;
    // Attempts of this request with these numbers get this state; their codes are erased.
    std::vector<std::uint64_t> decided;
    HelpDeskAttemptState decided_as = HelpDeskAttemptState::kVoid;
    // At most `most` requests of the account and process may have been carried out or blocked
    // since; this one does not count.
    struct Quota {
      std::uint32_t most = 0;
      std::int64_t since = 0;
    };
    std::optional<Quota> quota;
    // `add` is a code by SMS: of those there may be at most so many, whatever became of them, of
    // the account and of everybody, since these times; this one does not count.
    struct SmsQuota {
      std::uint32_t of_account = 0, of_all = 0;
      std::int64_t account_since = 0, all_since = 0;
    };
    std::optional<SmsQuota> sms;
    std::optional<SpentCode> spends;  // it and older ones work nowhere any more
    Precondition only_if;
    std::vector<WebhookRecord> webhooks;  // queued
    std::vector<AuditEntry> audits;
  };
  // kQuota: Step::quota, or of_account of Step::sms; kAllQuota: its of_all.
  enum class Stepped {
    kDone,
    kMoved,
    kQuota,
    kAllQuota,
    kSpent,  // `spends` was used before, or its app is gone
  };

  virtual ~HelpDeskStore() = default;
  virtual Result<Opened> OpenHelpDesk(const HelpDeskRequest& request, const AuditEntry& audit) = 0;
  virtual Result<std::optional<HelpDeskRequest>> FindHelpDesk(const HelpDeskId& id) = 0;
  virtual Result<std::optional<HelpDeskRequest>> OpenHelpDeskOf(const AccountId& account) = 0;
  // Open ones of one agent, oldest first.
  virtual Result<std::vector<HelpDeskRequest>> OpenHelpDeskBy(const AccountId& agent) = 0;
  // Open ones whose time was over at `now`, oldest first, some of them.
  virtual Result<std::vector<HelpDeskRequest>> OverdueHelpDesk(std::int64_t now) = 0;
  virtual Result<std::vector<HelpDeskAttempt>> HelpDeskAttempts(const HelpDeskId& id) = 0;
  // The one that waits for a key of this account at `now`, if there is one.
  virtual Result<std::optional<KeyTouchQuestion>> KeyTouchOf(const AccountId& account,
                                                             std::int64_t now) = 0;
  virtual Result<Stepped> StepHelpDesk(const Step& step) = 0;
  // Requests of the account and process that were carried out or blocked since.
  virtual Result<std::uint32_t> CountHelpDesk(const AccountId& account, HelpDeskProcess process,
                                              std::int64_t since) = 0;
};

}  // namespace keyferry::server
