// What was asked for is carried out.
#include <algorithm>
#include <utility>

#include "server/core/clock.h"
#include "server/core/dispatch.h"
#include "server/core/four_eyes.h"
#include "server/core/help_desk_flow.h"
#include "server/core/preflight.h"

namespace keyferry::server {
namespace {

using State = HelpDeskState;

}  // namespace

Result<void> HelpDeskFlow::Act(const Actor& actor, const HelpDeskId& id, std::uint64_t version) {
  auto row = Load(actor, id);
  if (!row) return tl::unexpected(std::move(row.error()));
  const std::int64_t now = core_.clock.UnixMillis();
  // One that a server left half done is gone on with, whatever the time is.
  const bool resumed = row->state == State::kActing && row->version == version;
  if (resumed) {
    if (auto reach = StillReached(actor, *row); !reach) return reach;
  } else {
    auto checked = At(actor, id, version, State::kVerified);
    if (!checked) return tl::unexpected(std::move(checked.error()));
    auto only_if = Guard(actor, *checked);
    if (!only_if) return Await(actor, *checked, only_if.error());
    HelpDeskStore::Step step = StepOf(*checked, State::kActing);
    step.only_if = *std::move(only_if);
    ++step.next.acts;
    step.next.acted = now;
    step.next.error.clear();
    step.quota = {{config_.resets_per_day, now - kDaySeconds * 1000}};
    step.audits = {Entry(actor, *checked, "help_desk.act", "ok", WordsOf(checked->process))};
    auto taken = core_.store.StepHelpDesk(step);
    if (!taken && taken.error().detail == kAgentLimitDetail) {
      core_.four_eyes->Limited(actor, checked->login);
    }
    if (!taken) return tl::unexpected(std::move(taken.error()));
    if (*taken == HelpDeskStore::Stepped::kMoved) return Moved();
    if (*taken == HelpDeskStore::Stepped::kQuota) return Quota(actor, *checked);
    *row = step.next;
    ++row->version;
    AnnounceAccount(core_, row->account);
  }
  ChangeId change{};
  const auto done = CarryOut(actor, *row, change);
  const bool unknown = !done && done.error().code == ErrorCode::kOutcomeUnknown;
  const bool over = done || (unknown && row->process == HelpDeskProcess::kReset);
  HelpDeskStore::Step step = StepOf(*row, over ? State::kActed : State::kVerified);
  if (change != ChangeId{}) step.next.change = change;
  step.next.error = done ? std::string() : done.error().message;
  if (!over) step.next.acted = 0;
  if (!done) step.next.expires = ExpiresAfter(*row, done.error());
  step.audits = {Entry(actor, *row, "help_desk.acted", done ? "ok" : OutcomeName(done.error().code),
                       done ? WordsOf(row->process) : done.error().message)};
  if (auto taken = Take(step); !taken) return taken;
  if (over) return {};
  return done;
}

Result<Precondition> HelpDeskFlow::Guard(const Actor& actor, const HelpDeskRequest& row) {
  if (core_.four_eyes == nullptr || row.process == HelpDeskProcess::kReset) {
    return Precondition();
  }
  auto person = core_.directory.Get(row.account);
  if (!person) return tl::unexpected(std::move(person.error()));
  GuardedAsk ask;
  ask.action =
      row.process == HelpDeskProcess::kUnlock ? GuardedAction::kUnlock : GuardedAction::kMustChange;
  ask.person = *std::move(person);
  ask.reason = row.ticket + ": " + row.reason;
  return core_.four_eyes->Clear(actor, ask);
}

std::int64_t HelpDeskFlow::ExpiresAfter(const HelpDeskRequest& row, const Error& error) {
  const auto id = ApprovalNeeded(error);
  if (!id) return row.expires;
  const auto approval = core_.store.FindApproval(*id);
  if (!approval || !*approval) return row.expires;
  return std::max(row.expires, (*approval)->expires);
}

Result<void> HelpDeskFlow::Await(const Actor& actor, const HelpDeskRequest& row,
                                 const Error& error) {
  if (!ApprovalNeeded(error)) return tl::unexpected(error);
  HelpDeskStore::Step step = StepOf(row, State::kVerified);
  step.next.error = error.message;
  step.next.expires = ExpiresAfter(row, error);
  step.audits = {Entry(actor, row, "help_desk.act", OutcomeName(error.code), error.message)};
  if (auto taken = Take(step); !taken) return taken;
  return tl::unexpected(error);
}

Result<void> HelpDeskFlow::CarryOut(const Actor& actor, const HelpDeskRequest& row,
                                    ChangeId& change) {
  switch (row.process) {
    case HelpDeskProcess::kReset: {
      ChangeRequest request;
      request.account = row.account;
      request.reason = row.ticket + ": " + row.reason;
      request.idempotency_key = "help-desk-" + row.id.Hex() + "-" + std::to_string(row.acts);
      const std::string key = request.idempotency_key;
      auto started = ports_.changes.Start(actor, std::move(request));
      if (started) {
        change = started->id;
        return {};
      }
      if (started.error().code == ErrorCode::kOutcomeUnknown) {
        const auto found = core_.store.FindRepeated(actor.id, key);
        if (found && *found) change = (*found)->change.id;
      }
      return tl::unexpected(std::move(started.error()));
    }
    case HelpDeskProcess::kUnlock:
      return core_.directory.Unlock(row.account, actor.id);
    case HelpDeskProcess::kMustChange:
      return core_.directory.RequireChange(row.account, actor.id, true);
    case HelpDeskProcess::kNone:
      break;
  }
  return Fail(ErrorCode::kInternal, "This request has no process.");
}

}  // namespace keyferry::server
