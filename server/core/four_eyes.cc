#include "server/core/four_eyes.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <utility>

#include "server/core/audit_entry.h"
#include "server/core/clock.h"
#include "server/core/dispatch.h"
#include "server/core/dn.h"
#include "server/core/encoding.h"
#include "server/core/roles.h"
#include "server/core/same_person.h"

namespace keyferry::server {
namespace {

constexpr std::int64_t kHour = 3'600'000, kWeek = 7 * 24 * kHour;
// A wall clock that was put back this far behind the asking ends it.
constexpr std::int64_t kPutBack = 60'000;
constexpr std::size_t kMostShown = 200;
constexpr std::size_t kLeastAnswer = 3, kMostAnswer = 300;

constexpr const char* kNoApproval = "There is no such approval.";

// Whether it counts among an agent's resets.
bool IsReset(GuardedAction action) {
  return action == GuardedAction::kPassword || action == GuardedAction::kUnlock ||
         action == GuardedAction::kMustChange;
}

// Rotation, and tokens that were made on the server's console: nobody could be told from nobody.
bool IsNobody(const Actor& actor) { return actor.id == AccountId{}; }

const char* WordsOf(GuardedAction action) {
  switch (action) {
    case GuardedAction::kPassword:
      return "a new password";
    case GuardedAction::kKey:
      return "a new key";
    case GuardedAction::kUnlock:
      return "an unlock";
    case GuardedAction::kFactorReset:
      return "a reset of the second factor";
    case GuardedAction::kKeyResume:
      return "the resuming of a suspended key";
    case GuardedAction::kMustChange:
      break;
  }
  return "a change of the password at the next sign-in";
}

// Everything that is bound, in one line of the audit log.
std::string Told(const Approval& row) {
  std::string out = std::string(WordsOf(row.action)) + " for " + row.login + " (";
  for (const auto& [name, value] : row.facts) out += name + "=" + value + ", ";
  return out + "reason: " + (row.reason.empty() ? "none" : row.reason) + "), asked by " +
         row.asker_login + ", approval " + row.id.Hex();
}

bool IsOver(const Approval& row, std::int64_t now) {
  return now >= row.expires || now + kPutBack < row.created;
}

class DefaultFourEyes final : public FourEyes {
 public:
  DefaultFourEyes(const CorePorts& ports, FourEyesConfig config)
      : ports_(ports), config_(std::move(config)) {}

  Result<Precondition> Clear(const Actor& actor, const GuardedAsk& ask) override {
    Precondition out;
    // Who sets their own is no agent, and has a limit of their own.
    const bool own = actor.id == ask.person.person.id;
    if (!own && IsReset(ask.action) && config_.resets_per_hour != 0 &&
        !actor.roles.Has(Role::kAdministrator)) {
      out.quota = {actor.id, config_.resets_per_hour, ports_.clock.UnixMillis() - kHour};
      const auto so_far = ports_.store.CountResets(actor.id, out.quota->since);
      if (!so_far) return tl::unexpected(so_far.error());
      if (*so_far >= config_.resets_per_hour) {
        Limited(actor, ask.person.person.login);
        return Fail(ErrorCode::kRateLimited, kAgentLimit, kAgentLimitDetail);
      }
    }
    auto why = Why(actor, ask.action, ask.person);
    if (!why) return tl::unexpected(std::move(why.error()));
    if (why->empty()) return out;
    if (IsNobody(actor)) {
      return Fail(ErrorCode::kPermissionDenied,
                  *why +
                      " Two people have to do this, so neither a rotation policy nor a token of "
                      "the server's console does it; let somebody ask for it on the pages. "
                      "Nothing was changed.");
    }
    if (!ask.complete) {
      return Fail(ErrorCode::kConflict,
                  "A second person has to approve this, and nobody can approve a typed password; "
                  "let the server make one. Nothing was changed.");
    }
    auto approved = Approved(actor, ask, *std::move(why));
    if (!approved) return tl::unexpected(std::move(approved.error()));
    out.approval = *std::move(approved);
    return out;
  }

  Result<std::string> Why(const Actor&, GuardedAction action, const PersonDetail& person) override {
    if (!config_.on) return std::string();
    const AccountId& account = person.person.id;
    const auto privileged = IsPrivileged(ports_.directory, person, config_.privileged_groups);
    if (!privileged) return tl::unexpected(privileged.error());
    if (*privileged) return std::string("This is a privileged person.");
    const std::int64_t since = ports_.clock.UnixMillis() - config_.new_key_seconds * 1000;
    if (config_.new_key_seconds == 0) return std::string();
    if (action == GuardedAction::kPassword) {
      const auto key = ports_.store.GotNewKey(account, since);
      if (!key) return tl::unexpected(key.error());
      if (*key) return std::string("This person was given a further key a short while ago.");
    }
    if (action == GuardedAction::kKey) {
      const auto password = ports_.store.GotPassword(account, since);
      if (!password) return tl::unexpected(password.error());
      if (*password) return std::string("This person got a new password a short while ago.");
    }
    return std::string();
  }

  void Limited(const Actor& actor, std::string_view target) override {
    const std::string words = "More than " + std::to_string(config_.resets_per_hour) +
                              " passwords, unlocks and must-changes within an hour.";
    const auto audited = ports_.store.AppendAudit(
        AuditOf(ports_.clock, actor, "agent.limit", target, "rate_limited", words));
    if (!audited) Log(ports_, "limit of " + actor.login, audited.error());
    {
      const std::lock_guard lock(mutex_);
      const auto now = ports_.clock.Now();
      const auto told = told_.find(actor.id);
      if (told != told_.end() && now - told->second < std::chrono::milliseconds(kHour)) return;
      told_[actor.id] = now;
    }
    Log(ports_, "agent limit", Error{ErrorCode::kRateLimited, actor.login + ": " + words, {}, 0});
    if (tell_) tell_(actor, config_.resets_per_hour);
  }

  void OnLimit(std::function<void(const Actor&, std::uint32_t)> tell) override {
    tell_ = std::move(tell);
  }

  Result<std::vector<ApprovalView>> List(const Actor& actor) override {
    if (!May(actor.roles, Right::kApprovalsRead)) return NotAllowed();
    const std::int64_t now = ports_.clock.UnixMillis();
    auto rows = ports_.store.Approvals(now - kWeek, kMostShown);
    if (!rows) return tl::unexpected(std::move(rows.error()));
    std::vector<ApprovalView> out;
    for (Approval& row : *rows) {
      const auto seen = Sees(actor, row);
      if (!seen) return tl::unexpected(seen.error());
      if (*seen) out.push_back(ViewOf(actor, std::move(row), now));
    }
    return out;
  }

  Result<ApprovalView> Get(const Actor& actor, const ApprovalId& id) override {
    auto row = Load(actor, id);
    if (!row) return tl::unexpected(std::move(row.error()));
    return ViewOf(actor, *std::move(row), ports_.clock.UnixMillis());
  }

  Result<void> Decide(const Actor& actor, const ApprovalId& id, const Hash32& hash, bool approve,
                      std::string_view answer) override {
    if (!May(actor.roles, Right::kApprovalsWrite)) return NotAllowed();
    if (answer.size() < kLeastAnswer || answer.size() > kMostAnswer || !IsPrintableUtf8(answer)) {
      return Fail(ErrorCode::kInvalidArgument, "The reason must be one line of 3 to 300 bytes.");
    }
    const auto row = Load(actor, id);
    if (!row) return tl::unexpected(row.error());
    const char* const action = approve ? "approval.approve" : "approval.refuse";
    const auto refused = [&](const Error& error) -> Result<void> {
      auto audited = ports_.store.AppendAudit(
          AuditOf(ports_.clock, actor, action, row->login, OutcomeName(error.code), error.message));
      return tl::unexpected(audited ? error : audited.error());
    };
    const std::int64_t now = ports_.clock.UnixMillis();
    if (row->state != ApprovalState::kOpen || IsOver(*row, now)) return refused(Moved());
    if (hash != row->hash || HashOf(*row) != row->hash) {
      return refused({ErrorCode::kConflict,
                      "What is asked is not what you looked at; look at it again.",
                      {},
                      0});
    }
    if (auto may = MayDecide(actor, *row); !may) {
      if (may.error().code == ErrorCode::kPermissionDenied) return refused(may.error());
      return may;
    }
    ApprovalStore::ApprovalStep step;
    step.id = id;
    step.version = row->version;
    step.from = ApprovalState::kOpen;
    step.to = approve ? ApprovalState::kApproved : ApprovalState::kRefused;
    step.approver = actor.id;
    step.approver_login = actor.login;
    step.answer = std::string(answer);
    step.now = now;
    step.live = true;
    step.audit = AuditOf(ports_.clock, actor, action, row->login, "ok",
                         step.answer + ": " + Told(*row) + ".");
    const auto stepped = ports_.store.StepApproval(step);
    if (!stepped) return tl::unexpected(stepped.error());
    if (!*stepped) return refused(Moved());
    Announce(*row);
    return {};
  }

  Result<bool> MayApprove(const Actor& actor, const Approval& row) override {
    if (!May(actor.roles, Right::kApprovalsWrite)) return false;
    const auto may = MayDecide(actor, row);
    if (may) return true;
    if (may.error().code == ErrorCode::kPermissionDenied ||
        may.error().code == ErrorCode::kNotFound) {
      return false;
    }
    return tl::unexpected(may.error());
  }

  Result<void> Withdraw(const Actor& actor, const ApprovalId& id) override {
    const auto row = Load(actor, id);
    if (!row) return tl::unexpected(row.error());
    if (row->asker != actor.id) {
      return Fail(ErrorCode::kPermissionDenied, "Only who asked for it can withdraw it.");
    }
    if (row->state != ApprovalState::kOpen && row->state != ApprovalState::kApproved) {
      return tl::unexpected(Moved());
    }
    return Close(*row, ApprovalState::kWithdrawn,
                 AuditOf(ports_.clock, actor, "approval.withdraw", row->login, "ok",
                         "Withdrawn: " + Told(*row) + "."));
  }

  void CloseOverdue() override {
    const auto rows = ports_.store.OverdueApprovals(ports_.clock.UnixMillis());
    if (!rows) return Log(ports_, "approvals", rows.error());
    for (const Approval& row : *rows) {
      const auto closed = Close(row, ApprovalState::kExpired,
                                AuditBySystem(ports_.clock, "approval.expire", row.login, "expired",
                                              std::string(row.state == ApprovalState::kOpen
                                                              ? "Nobody decided in time: "
                                                              : "Not carried out in time: ") +
                                                  Told(row) + "."));
      if (!closed && closed.error().code != ErrorCode::kConflict) {
        Log(ports_, "approvals", closed.error());
      }
    }
  }

 private:
  static tl::unexpected<Error> NotAllowed() {
    return Fail(ErrorCode::kPermissionDenied, "You may not look at approvals.");
  }
  static Error Moved() {
    return {ErrorCode::kConflict,
            "This was decided, withdrawn or out of time meanwhile; below is where it stands.",
            {},
            0};
  }
  static tl::unexpected<Error> Needed(const Approval& row, std::string message) {
    return Fail(ErrorCode::kConflict, std::move(message),
                std::string(kApprovalDetail) + ": " + row.id.Hex());
  }

  // The approval for exactly this, or kApprovalDetail.
  Result<ApprovalUse> Approved(const Actor& actor, const GuardedAsk& ask, std::string why) {
    Approval wanted;
    if (!ports_.random.Fill(wanted.id.bytes)) {
      return Fail(ErrorCode::kInternal, "The system gave no random numbers.");
    }
    wanted.action = ask.action;
    wanted.account = ask.person.person.id;
    wanted.login = ask.person.person.login;
    wanted.display_name = ask.person.person.display_name;
    wanted.asker = actor.id;
    wanted.asker_login = actor.login;
    wanted.reason = ask.reason;
    wanted.facts = ask.facts;
    wanted.why = std::move(why);
    wanted.hash = HashOf(wanted);
    wanted.created = ports_.clock.UnixMillis();
    wanted.expires = wanted.created + config_.life_seconds * 1000;
    const auto asked = ports_.store.AskApproval(
        wanted, AuditOf(ports_.clock, actor, "approval.ask", wanted.login, "ok",
                        wanted.why + " Asked for: " + Told(wanted) + "."));
    if (!asked) return tl::unexpected(asked.error());
    const Approval& row = asked->row;
    if (asked->fresh) {
      Announce(row);
      return Needed(row,
                    "A second person has to approve this first. It is on the page Approvals now; "
                    "nothing was changed.");
    }
    if (row.state == ApprovalState::kOpen) {
      return Needed(row,
                    "A second person has not approved this yet; it is on the page Approvals. "
                    "Nothing was changed.");
    }
    if (auto stands = Stands(actor, row); !stands) {
      return tl::unexpected(std::move(stands.error()));
    }
    return ApprovalUse{row.id, row.version, wanted.created,
                       AuditOf(ports_.clock, actor, "approval.use", row.login, "ok",
                               "Approved by " + row.approver_login + ": " + Told(row) + ".")};
  }

  // Whether an approval still is one: not altered, and by somebody who could approve it today.
  Result<void> Stands(const Actor& actor, const Approval& row) {
    const char* wrong = nullptr;
    if (HashOf(row) != row.hash || row.approver == row.asker || row.approver == AccountId{}) {
      wrong =
          "The approval was altered in the database, so it is void. Ask for another one; nothing "
          "was changed.";
    } else if (config_.roles_of) {
      const auto groups = ports_.directory.GroupsOf(row.approver);
      if (!groups && groups.error().code != ErrorCode::kNotFound) {
        return tl::unexpected(groups.error());
      }
      const Roles roles = groups ? config_.roles_of(*groups) : Roles();
      if (!May(roles, Right::kApprovalsWrite) || !May(roles, RightOf(row.action))) {
        wrong =
            "Who approved this may not do so any more, so the approval is void. Ask for another "
            "one; nothing was changed.";
      }
    }
    if (wrong == nullptr) return {};
    auto closed = Close(row, ApprovalState::kWithdrawn,
                        AuditOf(ports_.clock, actor, "approval.use", row.login, "denied",
                                std::string(wrong) + " It was: " + Told(row) + "."));
    if (!closed) return closed;
    return Fail(ErrorCode::kConflict, wrong);
  }

  Result<void> Close(const Approval& row, ApprovalState to, AuditEntry audit) {
    ApprovalStore::ApprovalStep step;
    step.id = row.id;
    step.version = row.version;
    step.from = row.state;
    step.to = to;
    step.approver = row.approver;
    step.approver_login = row.approver_login;
    step.answer = row.answer;
    step.now = ports_.clock.UnixMillis();
    step.audit = std::move(audit);
    const auto stepped = ports_.store.StepApproval(step);
    if (!stepped) return tl::unexpected(stepped.error());
    if (!*stepped) return tl::unexpected(Moved());
    Announce(row);
    return {};
  }

  Result<void> MayDecide(const Actor& actor, const Approval& row) {
    const auto deny = [](const char* why) { return Fail(ErrorCode::kPermissionDenied, why); };
    if (actor.id == row.asker) return deny("You asked for this yourself; somebody else decides.");
    if (actor.id == row.account) return deny("This is about your own account.");
    if (IsNobody(actor)) return deny("Approving is for people.");
    if (auto reach = CheckReach(ports_, actor, RightOf(row.action), row.account); !reach) {
      return reach;
    }
    if (!May(actor.roles, RightOf(row.action))) {
      return deny("You may not do this yourself, so you cannot approve it.");
    }
    for (const AccountId& other : {row.asker, row.account}) {
      const auto same = SamePerson(ports_, actor.id, other);
      if (!same) return tl::unexpected(same.error());
      if (*same) {
        return deny(other == row.asker
                        ? "Who asked for this is you, under another account; somebody else decides."
                        : "This is about you, under another account; somebody else decides.");
      }
    }
    return {};
  }

  Result<bool> Sees(const Actor& actor, const Approval& row) {
    if (row.asker == actor.id) return true;
    const auto reach = CheckReach(ports_, actor, Right::kPeopleRead, row.account);
    if (reach) return true;
    if (reach.error().code == ErrorCode::kNotFound ||
        reach.error().code == ErrorCode::kPermissionDenied) {
      return false;
    }
    return tl::unexpected(reach.error());
  }

  Result<Approval> Load(const Actor& actor, const ApprovalId& id) {
    if (!May(actor.roles, Right::kApprovalsRead)) return NotAllowed();
    auto row = ports_.store.FindApproval(id);
    if (!row) return tl::unexpected(std::move(row.error()));
    if (!*row) return Fail(ErrorCode::kNotFound, kNoApproval);
    const auto seen = Sees(actor, **row);
    if (!seen) return tl::unexpected(seen.error());
    if (!*seen) return Fail(ErrorCode::kNotFound, kNoApproval);
    return **std::move(row);
  }

  ApprovalView ViewOf(const Actor& actor, Approval row, std::int64_t now) {
    ApprovalView view;
    // What nobody has closed yet.
    if ((row.state == ApprovalState::kOpen || row.state == ApprovalState::kApproved) &&
        IsOver(row, now)) {
      row.state = ApprovalState::kExpired;
    }
    view.mine = row.asker == actor.id;
    view.open = row.state == ApprovalState::kOpen;
    view.may_decide = view.open && !view.mine && row.account != actor.id &&
                      May(actor.roles, Right::kApprovalsWrite) &&
                      May(actor.roles, RightOf(row.action)) &&
                      CheckReach(ports_, actor, RightOf(row.action), row.account).has_value();
    view.row = std::move(row);
    return view;
  }

  void Announce(const Approval& row) {
    ports_.bus.Publish("approvals", {"change", "{}"});
    AnnounceAccount(ports_, row.account);
  }

  const CorePorts ports_;
  const FourEyesConfig config_;
  std::function<void(const Actor&, std::uint32_t)> tell_;
  std::mutex mutex_;
  std::map<AccountId, std::chrono::steady_clock::time_point> told_;  // as many as there are agents
};

}  // namespace

const char* Name(GuardedAction action) {
  switch (action) {
    case GuardedAction::kPassword:
      return "password";
    case GuardedAction::kKey:
      return "key";
    case GuardedAction::kUnlock:
      return "unlock";
    case GuardedAction::kMustChange:
      return "must_change";
    case GuardedAction::kFactorReset:
      return "factor_reset";
    case GuardedAction::kKeyResume:
      return "key_resume";
  }
  return "invalid";
}

const char* Name(ApprovalState state) {
  switch (state) {
    case ApprovalState::kOpen:
      return "open";
    case ApprovalState::kApproved:
      return "approved";
    case ApprovalState::kRefused:
      return "refused";
    case ApprovalState::kWithdrawn:
      return "withdrawn";
    case ApprovalState::kExpired:
      return "expired";
    case ApprovalState::kUsed:
      return "used";
  }
  return "invalid";
}

std::optional<ApprovalId> ApprovalNeeded(const Error& error) {
  const std::string_view detail = error.detail, head = kApprovalDetail;
  if (error.code != ErrorCode::kConflict || detail.substr(0, head.size()) != head ||
      detail.size() < head.size() + 2) {
    return std::nullopt;
  }
  return ApprovalId::Parse(detail.substr(head.size() + 2));
}

Right RightOf(GuardedAction action) {
  switch (action) {
    case GuardedAction::kKey:
    case GuardedAction::kKeyResume:
      return Right::kKeysWrite;
    case GuardedAction::kFactorReset:
      return Right::kSignInsWrite;
    default:
      return Right::kChangesWrite;
  }
}

Hash32 HashOf(const Approval& approval) {
  // No part has a line break.
  std::string text = std::string(Name(approval.action)) + "\n" + approval.reason + "\n";
  for (const auto& [name, value] : approval.facts) text += name + "=" + value + "\n";
  return protocol::Sha256Of(protocol::Label("keyferry/approval/v1"), approval.asker.bytes,
                            approval.account.bytes, protocol::AsBytes(text));
}

std::unique_ptr<FourEyes> MakeFourEyes(const CorePorts& ports, FourEyesConfig config) {
  return std::make_unique<DefaultFourEyes>(ports, std::move(config));
}

}  // namespace keyferry::server
