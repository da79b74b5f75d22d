#include "server/core/account_steps.h"

#include <string>
#include <utility>

#include "server/core/audit_entry.h"
#include "server/core/dispatch.h"
#include "server/core/encoding.h"
#include "server/core/four_eyes.h"
#include "server/core/preflight.h"

namespace keyferry::server {
namespace {

struct StepRule {
  const char* action;  // of the audit log
  GuardedAction guarded;
  NoticeKind notice;
};

StepRule RuleOfStep(AccountStep step) {
  if (step == AccountStep::kUnlock) {
    return {"account.unlock", GuardedAction::kUnlock, NoticeKind::kUnlocked};
  }
  return {"account.must_change", GuardedAction::kMustChange, NoticeKind::kMustChange};
}

// Nothing, or why there is nothing to do.
Result<void> CheckWorth(const AccountState& state, AccountStep step) {
  if (step == AccountStep::kUnlock && !state.locked) {
    return Fail(ErrorCode::kConflict, "This account is not locked.");
  }
  if (step == AccountStep::kMustChange && state.must_change) {
    return Fail(ErrorCode::kConflict,
                "The password of this account must be changed at the next sign-in already.");
  }
  return {};
}

class DefaultAccountSteps final : public AccountSteps {
 public:
  explicit DefaultAccountSteps(const CorePorts& ports) : ports_(ports) {}

  Result<void> Do(const Actor& actor, const AccountId& account, AccountStep step,
                  std::string_view reason) override {
    if (!May(actor.roles, Right::kAccountsWrite)) {
      return Fail(ErrorCode::kPermissionDenied,
                  "You are not allowed to do this here; begin a help desk request.");
    }
    if (reason.empty() || reason.size() > kMostStepReason || !IsPrintableUtf8(reason)) {
      return Fail(ErrorCode::kInvalidArgument, "Give a reason of at most 200 bytes on one line.");
    }
    if (auto reach = CheckReach(ports_, actor, Right::kAccountsWrite, account); !reach) {
      return reach;
    }
    const auto person = ports_.directory.Get(account);
    if (!person) return tl::unexpected(person.error());
    const StepRule rule = RuleOfStep(step);
    const std::string& login = person->person.login;
    const auto entry = [&](const Error* error) {
      return AuditOf(ports_.clock, actor, rule.action, login,
                     error == nullptr ? "ok" : OutcomeName(error->code),
                     error == nullptr ? std::string(reason) : error->message);
    };
    const auto refused = [&](const Error& error) -> Result<void> {
      auto audited = ports_.store.AppendAudit(entry(&error));
      return tl::unexpected(audited ? error : std::move(audited.error()));
    };
    AccountState state = person->state;
    // Of use to who logs on with a smart card as well.
    if (step == AccountStep::kUnlock) state.smartcard_required = false;
    if (const auto good = CheckState(state); !good) return refused(good.error());
    if (const auto worth = CheckWorth(person->state, step); !worth) return refused(worth.error());
    const auto frozen = ports_.store.IsFrozen(account);
    if (!frozen) return tl::unexpected(frozen.error());
    if (*frozen) return refused({ErrorCode::kConflict, kFrozenAccount, {}, 0});

    Precondition only_if;
    if (ports_.four_eyes != nullptr) {
      GuardedAsk ask{rule.guarded, *person, std::string(reason), kOnEmployeePage};
      auto cleared = ports_.four_eyes->Clear(actor, ask);
      if (!cleared && ApprovalNeeded(cleared.error())) return tl::unexpected(cleared.error());
      if (!cleared) return refused(cleared.error());
      only_if = *std::move(cleared);
    }
    AuditEntry begun = entry(nullptr);
    begun.outcome = "begun";
    if (auto stored = ports_.store.BeginGuarded(only_if, begun); !stored) return stored;

    auto done = step == AccountStep::kUnlock
                    ? ports_.directory.Unlock(account, actor.id)
                    : ports_.directory.RequireChange(account, actor.id, true);
    AuditEntry ended = entry(done ? nullptr : &done.error());
    if (done || done.error().code == ErrorCode::kOutcomeUnknown) {
      ended.notice = NoticeDraft{rule.notice, account,       login, actor.id,
                                 actor.login, actor.address, {},    std::string(reason)};
    }
    const auto audited = ports_.store.AppendAudit(ended);
    AnnounceAccount(ports_, account);
    if (!done || audited) return done;
    Log(ports_, rule.action, audited.error());
    return Fail(ErrorCode::kOutcomeUnknown,
                "The directory did it, but the server could not write down that it did, and the "
                "person was not told; look at the database.",
                audited.error().detail);
  }

 private:
  const CorePorts ports_;
};

}  // namespace

const char* Name(AccountStep step) {
  return step == AccountStep::kUnlock ? "unlock" : "must_change";
}

std::unique_ptr<AccountSteps> MakeAccountSteps(const CorePorts& ports) {
  return std::make_unique<DefaultAccountSteps>(ports);
}

}  // namespace keyferry::server
