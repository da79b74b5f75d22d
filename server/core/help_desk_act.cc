// What was asked for is carried out.
#include <algorithm>
#include <utility>

#include "server/core/clock.h"
#include "server/core/dispatch.h"
#include "server/core/encoding.h"
#include "server/core/four_eyes.h"
#include "server/core/help_desk_flow.h"
#include "server/core/preflight.h"
#include "server/core/roles.h"

namespace keyferry::server {
namespace {

using State = HelpDeskState;

constexpr char kUnseen[] =
    "The server was interrupted, so nobody has seen the new password; it is on its way to the key. "
    "If the caller needs to hear one, begin a new request.";

const MailTemplate& InstructionsOf(const MailTemplates& templates, HelpDeskProcess process) {
  switch (process) {
    case HelpDeskProcess::kUnlock:
      return templates.help_desk_unlock;
    case HelpDeskProcess::kMustChange:
      return templates.help_desk_must_change;
    case HelpDeskProcess::kReadOut:
      return templates.help_desk_read_out;
    case HelpDeskProcess::kReset:
    case HelpDeskProcess::kNone:
      break;
  }
  return templates.help_desk_reset;
}

}  // namespace

Result<SecureBytes> HelpDeskFlow::Act(const Actor& actor, const HelpDeskId& id,
                                      std::uint64_t version) {
  const auto refuse = [](const Result<void>& refused) { return tl::unexpected(refused.error()); };
  auto row = Load(actor, id);
  if (!row) return tl::unexpected(std::move(row.error()));
  const std::int64_t now = core_.clock.UnixMillis();
  // One that a server left half done is gone on with, whatever the time is.
  const bool resumed = row->state == State::kActing && row->version == version;
  if (resumed) {
    if (const auto reach = StillReached(actor, *row); !reach) return refuse(reach);
  } else {
    auto checked = At(actor, id, version, State::kVerified);
    if (!checked) return tl::unexpected(std::move(checked.error()));
    if (checked->process == HelpDeskProcess::kReadOut) {
      if (const auto may = MayReadOut(*checked); !may) return refuse(may);
    }
    auto only_if = Guard(actor, *checked);
    if (!only_if) return refuse(Await(actor, *checked, only_if.error()));
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
  Done acted;
  const auto done = CarryOut(actor, *row, resumed, acted);
  const bool unknown = !done && done.error().code == ErrorCode::kOutcomeUnknown;
  const bool over = done || (unknown && SetsPassword(row->process));
  HelpDeskStore::Step step = StepOf(*row, over ? State::kActed : State::kVerified);
  if (acted.change != ChangeId{}) step.next.change = acted.change;
  step.next.error = !done          ? done.error().message
                    : acted.unseen ? std::string(kUnseen)
                                   : std::string();
  if (!over) step.next.acted = 0;
  if (!done) step.next.expires = ExpiresAfter(*row, done.error());
  AuditEntry entry =
      Entry(actor, *row, "help_desk.acted", done ? "ok" : OutcomeName(done.error().code),
            done ? WordsOf(row->process) : done.error().message);
  if (done || unknown) AddNotice(*row, actor.address, entry);
  step.audits = {std::move(entry)};
  if (acted.unseen)
    step.audits.push_back(Entry(actor, *row, "help_desk.read_out", "lost", kUnseen));
  if (!acted.read_out.empty()) {
    step.audits.push_back(
        Entry(actor, *row, "help_desk.read_out", "ok", "The agent sees the password, once."));
  }
  if (const auto taken = Take(step); !taken) return refuse(taken);
  if (over) return std::move(acted.read_out);
  return refuse(done);
}

Result<void> HelpDeskFlow::MailInstructions(const Actor& actor, const HelpDeskId& id,
                                            std::uint64_t version) {
  const auto row = At(actor, id, version, State::kActed);
  if (!row) return tl::unexpected(row.error());
  if (row->mailed != 0) return Moved();
  const auto detail = core_.directory.Get(row->account);
  if (!detail) return tl::unexpected(detail.error());
  const Person& person = detail->person;
  if (!ports_.outbox.on()) {
    return Fail(ErrorCode::kUnsupported, "No mail server is configured ([mail]).");
  }
  if (!IsMailAddress(person.mail)) {
    return Fail(ErrorCode::kConflict,
                "The directory has no usable mail address of this person; have it corrected there, "
                "and never take one from the caller.");
  }
  HelpDeskStore::Step step = StepOf(*row, State::kActed);
  step.next.mailed = core_.clock.UnixMillis();
  step.audits = {Entry(actor, *row, "help_desk.instructions", "ok",
                       "What to do goes by mail to " + Presentable(person.mail, 254) + ".")};
  if (auto taken = Take(step); !taken) return taken;

  const std::string name = Presentable(person.display_name, 128),
                    agent = Presentable(
                        actor.display_name.empty() ? actor.login : actor.display_name, 128);
  const MailTemplate& text = InstructionsOf(ports_.templates, row->process);
  const MailValues values = {
      {"name", name}, {"login", row->login}, {"agent", agent}, {"ticket", row->ticket}};
  const SecureBytes body = FillBody(text, values);
  const auto queued = ports_.outbox.Queue("help-desk-instructions/" + id.Hex(), person.mail,
                                          FillSubject(text, values), body.view(), actor.login);
  if (queued) return {};
  // It may be asked for again.
  HelpDeskRequest now_at = *row;
  now_at.version = version + 1;
  HelpDeskStore::Step undone = StepOf(now_at, State::kActed);
  undone.audits = {Entry(actor, *row, "help_desk.instructions", OutcomeName(queued.error().code),
                         queued.error().message)};
  if (auto taken = Take(undone); !taken) Log(core_, "help desk instructions", taken.error());
  return tl::unexpected(queued.error());
}

Result<Precondition> HelpDeskFlow::Guard(const Actor& actor, const HelpDeskRequest& row) {
  if (core_.four_eyes == nullptr || SetsPassword(row.process)) {
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

Result<void> HelpDeskFlow::MayReadOut(const HelpDeskRequest& row) const {
  if (!config_.read_out) {
    return Fail(ErrorCode::kPermissionDenied, "No password is read out here.");
  }
  auto privileged = Result<bool>(row.privileged);
  if (!row.privileged) {
    const auto person = core_.directory.Get(row.account);
    if (!person) return tl::unexpected(person.error());
    privileged = IsPrivileged(core_.directory, *person, config_.privileged_groups);
  }
  if (!privileged) return tl::unexpected(privileged.error());
  if (*privileged) {
    return Fail(ErrorCode::kPermissionDenied,
                "A privileged person's password is never read out; let it go to their key.");
  }
  return {};
}

Result<void> HelpDeskFlow::CarryOut(const Actor& actor, const HelpDeskRequest& row, bool resumed,
                                    Done& done) {
  switch (row.process) {
    case HelpDeskProcess::kReset:
    case HelpDeskProcess::kReadOut:
      return NewPassword(actor, row, resumed, done);
    case HelpDeskProcess::kUnlock:
      return core_.directory.Unlock(row.account, actor.id);
    case HelpDeskProcess::kMustChange:
      return core_.directory.RequireChange(row.account, actor.id, true);
    case HelpDeskProcess::kNone:
      break;
  }
  return Fail(ErrorCode::kInternal, "This request has no process.");
}

Result<void> HelpDeskFlow::NewPassword(const Actor& actor, const HelpDeskRequest& row, bool resumed,
                                       Done& done) {
  const bool read_out = row.process == HelpDeskProcess::kReadOut;
  ChangeRequest request;
  request.account = row.account;
  request.reason = row.ticket + ": " + row.reason;
  request.idempotency_key = "help-desk-" + row.id.Hex() + "-" + std::to_string(row.acts);
  request.must_change = read_out;
  if (read_out) request.read_out = &done.read_out;
  const std::string key = request.idempotency_key;
  if (read_out && resumed) {
    // A password that was made before went with whoever made it, and nobody waits for a new one.
    const auto begun = core_.store.FindRepeated(actor.id, key);
    if (!begun) return tl::unexpected(begun.error());
    if (!*begun) {
      return Fail(ErrorCode::kUnavailable,
                  "The server was interrupted before it changed anything; do it again.");
    }
  }
  auto started = ports_.changes.Start(actor, std::move(request));
  if (started) {
    done.change = started->id;
    done.unseen = read_out && done.read_out.empty();
    return {};
  }
  if (started.error().code == ErrorCode::kOutcomeUnknown) {
    const auto found = core_.store.FindRepeated(actor.id, key);
    if (found && *found) done.change = (*found)->change.id;
  }
  return tl::unexpected(std::move(started.error()));
}

}  // namespace keyferry::server
