#include <algorithm>
#include <utility>

#include "server/core/clock.h"
#include "server/core/dispatch.h"
#include "server/core/encoding.h"
#include "server/core/help_desk_flow.h"
#include "server/core/help_desk_touch.h"
#include "server/core/preflight.h"
#include "server/core/roles.h"
#include "server/core/webhook.h"

namespace keyferry::server {
namespace {

// A wall clock that was put back this far behind a request's beginning ends it.
constexpr std::int64_t kClockSlack = 60'000;
// So long after its end a request that is still being carried out belongs to a server that died.
constexpr std::int64_t kActingLost = 5 * 60'000;
constexpr std::size_t kLeastReason = 3, kMostReason = 300, kMostTicket = 40;

using State = HelpDeskState;

bool IsTicket(std::string_view text) {
  return !text.empty() && text.size() <= kMostTicket &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '_' || c == '.' || c == '/' || c == '#';
         });
}

bool IsOver(const HelpDeskRequest& request, std::int64_t now) {
  return now >= request.expires || now + kClockSlack < request.opened;
}

}  // namespace

std::size_t HelpDeskFlow::Count(const std::vector<HelpDeskAttempt>& attempts, HelpDeskMethod method,
                                HelpDeskAttemptState state) {
  return static_cast<std::size_t>(
      std::count_if(attempts.begin(), attempts.end(), [&](const HelpDeskAttempt& attempt) {
        return attempt.method == method && attempt.state == state;
      }));
}

const char* HelpDeskFlow::WordsOf(HelpDeskProcess process) {
  switch (process) {
    case HelpDeskProcess::kReset:
      return "new password to the key";
    case HelpDeskProcess::kUnlock:
      return "unlock";
    case HelpDeskProcess::kReadOut:
      return "new password, read out";
    case HelpDeskProcess::kMustChange:
      return "must change at next sign-in";
    case HelpDeskProcess::kNone:
      break;
  }
  return "not chosen";
}

tl::unexpected<Error> HelpDeskFlow::Moved() {
  return Fail(ErrorCode::kConflict,
              "This request has gone on meanwhile, by a second click or in another tab; below is "
              "where it stands.",
              kMovedDetail);
}

HelpDeskFlow::HelpDeskFlow(const HelpDeskPorts& ports, HelpDeskConfig config)
    : ports_(ports), config_(std::move(config)) {
  for (int i = 0; i <= static_cast<int>(kLastHelpDeskMethod); ++i) {
    methods_[static_cast<std::size_t>(i)] =
        MakeVerification(static_cast<HelpDeskMethod>(i), config_, ports_);
  }
}

Result<HelpDeskRequest> HelpDeskFlow::Open(const Actor& actor, const HelpDeskOpening& opening) {
  if (opening.reason.size() < kLeastReason || opening.reason.size() > kMostReason ||
      !IsPrintableUtf8(opening.reason)) {
    return Fail(ErrorCode::kInvalidArgument, "The reason must be one line of 3 to 300 bytes.");
  }
  if (!IsTicket(opening.ticket)) {
    return Fail(ErrorCode::kInvalidArgument,
                "The ticket number must have 1 to 40 letters, digits or - _ . / #.");
  }
  if (!May(actor.roles, Right::kChangesWrite)) {
    return Fail(ErrorCode::kPermissionDenied, "You may not work at the help desk.");
  }
  const auto reach = CheckReach(core_, actor, Right::kChangesWrite, opening.account);
  if (!reach && reach.error().code != ErrorCode::kPermissionDenied) {
    return tl::unexpected(reach.error());
  }
  const auto detail = core_.directory.Get(opening.account);
  if (!detail) return tl::unexpected(detail.error());
  HelpDeskRequest request;
  request.agent = actor.id;
  request.agent_login = actor.login;
  request.account = opening.account;
  request.login = detail->person.login;
  request.display_name = detail->person.display_name;
  request.reason = opening.reason;
  request.ticket = opening.ticket;
  if (actor.id == opening.account || !reach) {
    const Error error = actor.id == opening.account
                            ? Error{ErrorCode::kPermissionDenied,
                                    "Nobody serves themselves at the help desk; ask a colleague.",
                                    {},
                                    0}
                            : reach.error();
    auto audited = core_.store.AppendAudit(
        Entry(actor, request, "help_desk.open", OutcomeName(error.code), error.message));
    return tl::unexpected(audited ? error : audited.error());
  }
  if (const auto good = CheckState(detail->state); !good) return tl::unexpected(good.error());
  const auto privileged = IsPrivileged(core_.directory, *detail, config_.privileged_groups);
  if (!privileged) return tl::unexpected(privileged.error());
  request.privileged = *privileged;
  if (!core_.random.Fill(request.id.bytes)) {
    return Fail(ErrorCode::kInternal, "The system gave no random numbers.");
  }
  for (int round = 0;; ++round) {
    request.opened = core_.clock.UnixMillis();
    request.expires = request.opened + config_.request_seconds * 1000;
    auto opened =
        core_.store.OpenHelpDesk(request, Entry(actor, request, "help_desk.open", "ok",
                                                request.privileged ? "A privileged person." : ""));
    if (!opened) return tl::unexpected(std::move(opened.error()));
    if (opened->fresh) {
      AnnounceAccount(core_, request.account);
      return request;
    }
    const auto closed = round < 2 ? CloseIfOver(opened->row) : Result<bool>(false);
    if (!closed) return tl::unexpected(closed.error());
    if (*closed) continue;
    if (opened->row.agent == actor.id) return std::move(opened->row);
    return Fail(ErrorCode::kConflict,
                Presentable(opened->row.agent_login, 64) +
                    " is serving this person at this moment; wait until that request is closed or "
                    "out of time.");
  }
}

Result<HelpDeskView> HelpDeskFlow::Get(const Actor& actor, const HelpDeskId& id) {
  auto row = Load(actor, id);
  if (!row) return tl::unexpected(std::move(row.error()));
  const auto closed = CloseIfOver(*row);
  if (!closed) return tl::unexpected(closed.error());
  if (*closed) {
    row = Load(actor, id);
    if (!row) return tl::unexpected(std::move(row.error()));
  }
  return ViewOf(*row);
}

Result<std::vector<HelpDeskRequest>> HelpDeskFlow::Mine(const Actor& actor) {
  auto rows = core_.store.OpenHelpDeskBy(actor.id);
  if (!rows) return rows;
  const std::int64_t now = core_.clock.UnixMillis();
  rows->erase(std::remove_if(rows->begin(), rows->end(),
                             [now](const HelpDeskRequest& row) {
                               return row.state < State::kActing && IsOver(row, now);
                             }),
              rows->end());
  return rows;
}

Result<void> HelpDeskFlow::Choose(const Actor& actor, const HelpDeskId& id, std::uint64_t version,
                                  HelpDeskProcess process) {
  if (process == HelpDeskProcess::kNone) {
    return Fail(ErrorCode::kInvalidArgument, "Choose what the caller needs.");
  }
  const auto row = At(actor, id, version, State::kIdentified);
  if (!row) return tl::unexpected(row.error());
  const auto so_far = core_.store.CountHelpDesk(row->account, process,
                                                core_.clock.UnixMillis() - kDaySeconds * 1000);
  if (!so_far) return tl::unexpected(so_far.error());
  if (*so_far >= config_.resets_per_day) return Quota(actor, *row);
  if (process == HelpDeskProcess::kReadOut) {
    if (const auto may = MayReadOut(*row); !may) return may;
  }
  if (SetsPassword(process)) {
    const auto check = ports_.changes.Check(actor, row->account);
    if (!check) return tl::unexpected(check.error());
    if (!check->allowed) return Fail(ErrorCode::kConflict, check->reason);
  }
  HelpDeskStore::Step step = StepOf(*row, State::kVerifying);
  step.next.process = process;
  step.next.error.clear();
  step.audits = {Entry(actor, step.next, "help_desk.process", "ok", WordsOf(process))};
  return Take(step);
}

Result<void> HelpDeskFlow::Confirm(const Actor& actor, const HelpDeskId& id,
                                   std::uint64_t version) {
  const auto row = At(actor, id, version, State::kActed);
  if (!row) return tl::unexpected(row.error());
  HelpDeskStore::Step step = StepOf(*row, State::kDone);
  step.next.closed = core_.clock.UnixMillis();
  step.audits = {Entry(actor, *row, "help_desk.done", "ok", WordsOf(row->process))};
  return Take(step);
}

Result<void> HelpDeskFlow::Cancel(const Actor& actor, const HelpDeskId& id, std::uint64_t version) {
  const auto row = Load(actor, id);
  if (!row) return tl::unexpected(row.error());
  if (row->version != version || row->state >= State::kActing) return Moved();
  HelpDeskStore::Step step = StepOf(*row, State::kCancelled);
  step.next.closed = core_.clock.UnixMillis();
  step.audits = {Entry(actor, *row, "help_desk.cancel", "ok", "")};
  return Take(step);
}

void HelpDeskFlow::CloseOverdue() {
  const auto rows = core_.store.OverdueHelpDesk(core_.clock.UnixMillis());
  if (!rows) return Log(core_, "help desk", rows.error());
  for (const HelpDeskRequest& row : *rows) {
    if (auto closed = CloseIfOver(row); !closed) Log(core_, "help desk", closed.error());
  }
}

std::string HelpDeskFlow::DetailOf(const HelpDeskRequest& request, std::string_view words) {
  std::string detail(words);
  if (!detail.empty() && detail.back() != '.') detail += '.';
  if (!detail.empty()) detail += ' ';
  return detail + "Ticket " + request.ticket + ": " + request.reason;
}

AuditEntry HelpDeskFlow::Entry(const Actor& actor, const HelpDeskRequest& request,
                               std::string_view action, std::string_view outcome,
                               std::string_view words) const {
  return AuditOf(core_.clock, actor, action, request.login, outcome, DetailOf(request, words));
}

Result<HelpDeskRequest> HelpDeskFlow::Load(const Actor& actor, const HelpDeskId& id) {
  auto row = core_.store.FindHelpDesk(id);
  if (!row) return tl::unexpected(std::move(row.error()));
  if (!*row) return Fail(ErrorCode::kNotFound, "There is no such request.");
  if ((*row)->agent != actor.id) {
    return Fail(ErrorCode::kPermissionDenied, "This request belongs to " +
                                                  Presentable((*row)->agent_login, 64) +
                                                  "; nobody else can go on with it.");
  }
  return **std::move(row);
}

Result<HelpDeskRequest> HelpDeskFlow::At(const Actor& actor, const HelpDeskId& id,
                                         std::uint64_t version, State state) {
  auto row = Load(actor, id);
  if (!row) return row;
  // What was carried out may be confirmed late, and by whom it is no longer due to.
  if (state == State::kActed) {
    if (row->version != version || row->state != state) return Moved();
    return row;
  }
  const auto closed = CloseIfOver(*row);
  if (!closed) return tl::unexpected(closed.error());
  if (*closed || row->version != version || row->state != state) return Moved();
  if (auto reach = StillReached(actor, *row); !reach) {
    return tl::unexpected(std::move(reach.error()));
  }
  return row;
}

Result<void> HelpDeskFlow::StillReached(const Actor& actor, const HelpDeskRequest& row) {
  auto reach = CheckReach(core_, actor, Right::kChangesWrite, row.account);
  if (reach) {
    const auto frozen = core_.store.IsFrozen(row.account);
    if (!frozen) return tl::unexpected(frozen.error());
    if (*frozen) reach = Fail(ErrorCode::kConflict, kFrozenAccount);
  }
  if (reach || reach.error().code == ErrorCode::kUnavailable) return reach;
  auto audited = core_.store.AppendAudit(
      Entry(actor, row, "help_desk.reach", OutcomeName(reach.error().code), reach.error().message));
  return audited ? reach : audited;
}

Result<bool> HelpDeskFlow::CloseIfOver(const HelpDeskRequest& row) {
  const std::int64_t now = core_.clock.UnixMillis();
  if (!IsOpen(row.state) || !IsOver(row, now)) return false;
  const bool lost = row.state == State::kActing && now >= row.expires + kActingLost;
  if (row.state == State::kActing && !lost) return false;
  HelpDeskStore::Step step =
      StepOf(row, row.state == State::kActed ? State::kDone : State::kExpired);
  step.next.closed = now;
  std::string words = "Its time was over.";
  if (row.state == State::kActed) words = "Carried out; its agent did not confirm it.";
  if (lost) {
    words =
        "The server was interrupted while it was carried out; the employee's page shows "
        "whether it was.";
  }
  if (row.state != State::kActed) step.next.error = words;
  AuditEntry entry =
      Entry(Actor{}, row, row.state == State::kActed ? "help_desk.done" : "help_desk.expired",
            row.state == State::kActed ? "ok" : "expired", words);
  entry.actor = "system";
  if (lost) AddNotice(row, {}, entry);  // it may have been done
  step.audits = {std::move(entry)};
  const auto taken = Write(step);
  if (!taken) return tl::unexpected(taken.error());
  Follow(step);
  return true;
}

void HelpDeskFlow::AddNotice(const HelpDeskRequest& row, const std::string& address,
                             AuditEntry& entry) {
  if (row.process != HelpDeskProcess::kUnlock && row.process != HelpDeskProcess::kMustChange) {
    return;
  }
  entry.notice = NoticeDraft{
      row.process == HelpDeskProcess::kUnlock ? NoticeKind::kUnlocked : NoticeKind::kMustChange,
      row.account,
      row.login,
      row.agent,
      row.agent_login,
      address,
      {},
      row.ticket + ": " + row.reason};
}

HelpDeskStore::Step HelpDeskFlow::StepOf(const HelpDeskRequest& row, State to) {
  HelpDeskStore::Step step;
  step.next = row;
  step.next.state = to;
  step.from = row.state;
  return step;
}

Result<HelpDeskStore::Stepped> HelpDeskFlow::Write(HelpDeskStore::Step step) {
  if (!IsOpen(step.next.state) && !config_.webhooks.empty()) {
    // Those of the row that the step is for: where others have come since, the step is not taken.
    const auto attempts = core_.store.HelpDeskAttempts(step.next.id);
    if (!attempts) return tl::unexpected(attempts.error());
    auto webhooks = WebhooksOf(step.next, *attempts, config_.webhooks, core_.random);
    if (!webhooks) return tl::unexpected(std::move(webhooks.error()));
    step.webhooks = *std::move(webhooks);
  }
  return core_.store.StepHelpDesk(step);
}

Result<void> HelpDeskFlow::Take(const HelpDeskStore::Step& step) {
  auto taken = Write(step);
  if (!taken) return tl::unexpected(std::move(taken.error()));
  if (*taken != HelpDeskStore::Stepped::kDone) return Moved();
  Follow(step);
  return {};
}

void HelpDeskFlow::Follow(const HelpDeskStore::Step& step) {
  AnnounceAccount(core_, step.next.account);
  if (step.from == State::kVerifying && step.next.state != State::kVerifying &&
      PointsOf(HelpDeskMethod::kKeyTouch) != 0) {
    TellCallerOver(core_, step.next);
  }
}

tl::unexpected<Error> HelpDeskFlow::Quota(const Actor& actor, const HelpDeskRequest& row) {
  Error error{ErrorCode::kRateLimited,
              "This person was served " + std::to_string(config_.resets_per_day) +
                  " times with this within 24 hours; that is the limit. Ask an administrator.",
              {},
              0};
  auto audited = core_.store.AppendAudit(
      Entry(actor, row, "help_desk.limit", OutcomeName(error.code), WordsOf(row.process)));
  return tl::unexpected(audited ? std::move(error) : std::move(audited.error()));
}

std::unique_ptr<HelpDeskService> MakeHelpDeskService(const HelpDeskPorts& ports,
                                                     HelpDeskConfig config) {
  return std::make_unique<HelpDeskFlow>(ports, std::move(config));
}

}  // namespace keyferry::server
