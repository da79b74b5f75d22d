#include <algorithm>
#include <utility>

#include "server/core/audit_entry.h"
#include "server/core/clock.h"
#include "server/core/dispatch.h"
#include "server/core/encoding.h"
#include "server/core/four_eyes.h"
#include "server/core/help_desk.h"
#include "server/core/preflight.h"
#include "server/core/roles.h"

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

bool IsStrong(HelpDeskMethod method) { return method == HelpDeskMethod::kInPerson; }

std::size_t Count(const std::vector<HelpDeskAttempt>& attempts, HelpDeskMethod method,
                  HelpDeskAttemptState state) {
  return static_cast<std::size_t>(
      std::count_if(attempts.begin(), attempts.end(), [&](const HelpDeskAttempt& attempt) {
        return attempt.method == method && attempt.state == state;
      }));
}

const char* WordsOf(HelpDeskProcess process) {
  switch (process) {
    case HelpDeskProcess::kReset:
      return "new password to the key";
    case HelpDeskProcess::kUnlock:
      return "unlock";
    case HelpDeskProcess::kMustChange:
      return "must change at next sign-in";
    case HelpDeskProcess::kNone:
      break;
  }
  return "not chosen";
}

tl::unexpected<Error> Moved() {
  return Fail(ErrorCode::kConflict,
              "This request has gone on meanwhile, by a second click or in another tab; below is "
              "where it stands.",
              kMovedDetail);
}

class DefaultHelpDesk final : public HelpDeskService {
 public:
  DefaultHelpDesk(const HelpDeskPorts& ports, HelpDeskConfig config)
      : ports_(ports), config_(std::move(config)) {
    for (int i = 0; i <= static_cast<int>(kLastHelpDeskMethod); ++i) {
      methods_[static_cast<std::size_t>(i)] =
          MakeVerification(static_cast<HelpDeskMethod>(i), config_, ports_.outbox.on());
    }
  }

  Result<HelpDeskRequest> Open(const Actor& actor, const HelpDeskOpening& opening) override {
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
    const auto privileged = IsPrivileged(opening.account);
    if (!privileged) return tl::unexpected(privileged.error());
    request.privileged = *privileged;
    if (!core_.random.Fill(request.id.bytes)) {
      return Fail(ErrorCode::kInternal, "The system gave no random numbers.");
    }
    for (int round = 0;; ++round) {
      request.opened = core_.clock.UnixMillis();
      request.expires = request.opened + config_.request_seconds * 1000;
      auto opened = core_.store.OpenHelpDesk(
          request, Entry(actor, request, "help_desk.open", "ok",
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
      return Fail(
          ErrorCode::kConflict,
          Presentable(opened->row.agent_login, 64) +
              " is serving this person at this moment; wait until that request is closed or "
              "out of time.");
    }
  }

  Result<HelpDeskView> Get(const Actor& actor, const HelpDeskId& id) override {
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

  Result<std::vector<HelpDeskRequest>> Mine(const Actor& actor) override {
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

  Result<void> Choose(const Actor& actor, const HelpDeskId& id, std::uint64_t version,
                      HelpDeskProcess process) override {
    if (process == HelpDeskProcess::kNone) {
      return Fail(ErrorCode::kInvalidArgument, "Choose what the caller needs.");
    }
    const auto row = At(actor, id, version, State::kIdentified);
    if (!row) return tl::unexpected(row.error());
    const auto so_far = core_.store.CountHelpDesk(row->account, process,
                                                  core_.clock.UnixMillis() - kDaySeconds * 1000);
    if (!so_far) return tl::unexpected(so_far.error());
    if (*so_far >= config_.resets_per_day) return Quota(actor, *row);
    if (process == HelpDeskProcess::kReset) {
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

  Result<void> SendCode(const Actor& actor, const HelpDeskId& id, std::uint64_t version) override {
    constexpr auto kMethod = HelpDeskMethod::kMailCode;
    const auto row = At(actor, id, version, State::kVerifying);
    if (!row) return tl::unexpected(row.error());
    const auto prepared = Prepare(*row, kMethod);
    if (!prepared) return tl::unexpected(prepared.error());
    if (SendsLeft(prepared->attempts) == 0) {
      return Fail(ErrorCode::kRateLimited,
                  "No more codes are sent for this request; verify the caller in another way.");
    }
    auto made = MakeMailCode(core_.random, prepared->now, row->expires);
    if (!made) return tl::unexpected(std::move(made.error()));
    const Person& person = prepared->person.person;
    HelpDeskStore::Step step = StepOf(*row, State::kVerifying);
    step.decided = Waiting(prepared->attempts);
    step.add = made->attempt;
    step.audits = {Entry(actor, *row, "help_desk.code", "ok",
                         "A code goes by mail to " + Presentable(person.mail, 254) + ".")};
    if (auto taken = Take(step); !taken) return taken;

    const std::string name = Presentable(person.display_name, 128),
                      agent = Presentable(
                          actor.display_name.empty() ? actor.login : actor.display_name, 128),
                      minutes = std::to_string(
                          std::max<std::int64_t>(1, (row->expires - prepared->now) / 60'000));
    const MailTemplate& text = ports_.templates.help_desk_code;
    auto sent = ports_.outbox.SendNow({person.mail,
                                       FillSubject(text, {{"name", name}, {"login", row->login}}),
                                       FillBody(text, {{"name", name},
                                                       {"login", row->login},
                                                       {"agent", agent},
                                                       {"minutes", minutes},
                                                       {"code", made->code.view()}})});
    if (sent) return {};
    const auto attempts = core_.store.HelpDeskAttempts(id);
    if (!attempts) return tl::unexpected(attempts.error());
    HelpDeskRequest now_at = *row;
    now_at.version = version + 1;
    HelpDeskStore::Step undone = StepOf(now_at, State::kVerifying);
    undone.decided = Waiting(*attempts);
    undone.audits = {
        Entry(actor, *row, "help_desk.code", OutcomeName(sent.error().code), sent.error().message)};
    if (auto taken = Take(undone); !taken) Log(core_, "help desk code", taken.error());
    return sent;
  }

  Result<bool> Verify(const Actor& actor, const HelpDeskId& id, std::uint64_t version,
                      HelpDeskAnswer answer) override {
    const auto row = At(actor, id, version, State::kVerifying);
    if (!row) return tl::unexpected(row.error());
    const auto prepared = Prepare(*row, answer.method);
    if (!prepared) return tl::unexpected(prepared.error());
    const auto& attempts = prepared->attempts;
    const HelpDeskCase about{*row, prepared->person, attempts, prepared->now};
    const HelpDeskVerification& method = Of(answer.method);
    // Told to nobody before it is stored that this attempt was made.
    const auto right = method.Check(about, answer);
    if (!right) return tl::unexpected(right.error());

    const std::string words = method.Words(about, answer);
    const bool last =
        Count(attempts, answer.method, HelpDeskAttemptState::kWrong) + 1 >= config_.attempts;
    const Standing standing = StandingOf(*row, attempts, *right ? &answer.method : nullptr);
    const State to = !*right && last     ? State::kBlocked
                     : standing.enough() ? State::kVerified
                                         : State::kVerifying;
    HelpDeskStore::Step step = StepOf(*row, to);
    step.add.emplace();
    step.add->method = answer.method;
    step.add->state = *right ? HelpDeskAttemptState::kPassed : HelpDeskAttemptState::kWrong;
    step.add->created = prepared->now;
    if (*right && answer.method == HelpDeskMethod::kMailCode) step.decided = Waiting(attempts);
    step.audits = {Entry(actor, *row, "help_desk.verify", *right ? "ok" : "wrong",
                         words.empty() ? "" : "By " + words + ".")};
    if (to == State::kVerified) {
      step.audits.push_back(Entry(actor, *row, "help_desk.verified", "ok",
                                  std::to_string(standing.points) + " points, " +
                                      std::to_string(standing.methods) + " methods."));
    } else if (to == State::kBlocked) {
      step.next.error =
          "Too many failed attempts of one verification; the caller did not prove who they are.";
      step.next.closed = prepared->now;
      step.audits.push_back(Entry(actor, *row, "help_desk.blocked", "blocked", step.next.error));
    }
    if (auto taken = Take(step); !taken) return tl::unexpected(std::move(taken.error()));
    return *right;
  }

  Result<void> Act(const Actor& actor, const HelpDeskId& id, std::uint64_t version) override {
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
    step.audits = {Entry(actor, *row, "help_desk.acted",
                         done ? "ok" : OutcomeName(done.error().code),
                         done ? WordsOf(row->process) : done.error().message)};
    if (auto taken = Take(step); !taken) return taken;
    if (over) return {};
    return done;
  }

  Result<void> Confirm(const Actor& actor, const HelpDeskId& id, std::uint64_t version) override {
    const auto row = At(actor, id, version, State::kActed);
    if (!row) return tl::unexpected(row.error());
    HelpDeskStore::Step step = StepOf(*row, State::kDone);
    step.next.closed = core_.clock.UnixMillis();
    step.audits = {Entry(actor, *row, "help_desk.done", "ok", WordsOf(row->process))};
    return Take(step);
  }

  Result<void> Cancel(const Actor& actor, const HelpDeskId& id, std::uint64_t version) override {
    const auto row = Load(actor, id);
    if (!row) return tl::unexpected(row.error());
    if (row->version != version || row->state >= State::kActing) return Moved();
    HelpDeskStore::Step step = StepOf(*row, State::kCancelled);
    step.next.closed = core_.clock.UnixMillis();
    step.audits = {Entry(actor, *row, "help_desk.cancel", "ok", "")};
    return Take(step);
  }

  void CloseOverdue() override {
    const auto rows = core_.store.OverdueHelpDesk(core_.clock.UnixMillis());
    if (!rows) return Log(core_, "help desk", rows.error());
    for (const HelpDeskRequest& row : *rows) {
      if (auto closed = CloseIfOver(row); !closed) Log(core_, "help desk", closed.error());
    }
  }

 private:
  struct Standing {
    std::uint32_t points = 0, methods = 0;
    bool strong_missing = false;
    bool reached = false;
    bool enough() const { return reached && !strong_missing; }
  };
  struct Prepared {
    PersonDetail person;
    std::vector<HelpDeskAttempt> attempts;
    std::int64_t now = 0;
  };

  const HelpDeskVerification& Of(HelpDeskMethod method) const {
    return *methods_[static_cast<std::size_t>(method)];
  }
  std::uint32_t PointsOf(HelpDeskMethod method) const {
    return config_.points[static_cast<std::size_t>(method)];
  }

  AuditEntry Entry(const Actor& actor, const HelpDeskRequest& request, std::string_view action,
                   std::string_view outcome, std::string_view words) const {
    std::string detail(words);
    if (!detail.empty() && detail.back() != '.') detail += '.';
    if (!detail.empty()) detail += ' ';
    detail += "Ticket " + request.ticket + ": " + request.reason;
    return AuditOf(core_.clock, actor, action, request.login, outcome, detail);
  }

  Result<bool> IsPrivileged(const AccountId& account) const {
    if (config_.privileged_groups.empty()) return false;
    const auto groups = core_.directory.GroupsOf(account);
    // A directory that cannot tell leaves the stricter rule.
    if (!groups && groups.error().code == ErrorCode::kUnsupported) return true;
    if (!groups) return tl::unexpected(groups.error());
    return MemberOf(*groups, config_.privileged_groups);
  }

  // The agent's own request.
  Result<HelpDeskRequest> Load(const Actor& actor, const HelpDeskId& id) {
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

  // … that is where a step begins.
  Result<HelpDeskRequest> At(const Actor& actor, const HelpDeskId& id, std::uint64_t version,
                             State state) {
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

  // What has to stand when it is carried out; of a new password the change itself sees to that.
  Result<Precondition> Guard(const Actor& actor, const HelpDeskRequest& row) {
    if (core_.four_eyes == nullptr || row.process == HelpDeskProcess::kReset) {
      return Precondition();
    }
    GuardedAsk ask;
    ask.action = row.process == HelpDeskProcess::kUnlock ? GuardedAction::kUnlock
                                                         : GuardedAction::kMustChange;
    ask.account = row.account;
    ask.login = row.login;
    ask.display_name = row.display_name;
    ask.reason = row.ticket + ": " + row.reason;
    return core_.four_eyes->Clear(actor, ask);
  }

  // A request that waits for a second person has as long as that one has.
  std::int64_t ExpiresAfter(const HelpDeskRequest& row, const Error& error) {
    const auto id = ApprovalNeeded(error);
    if (!id) return row.expires;
    const auto approval = core_.store.FindApproval(*id);
    if (!approval || !*approval) return row.expires;
    return std::max(row.expires, (*approval)->expires);
  }

  // It was not begun; the request says why.
  Result<void> Await(const Actor& actor, const HelpDeskRequest& row, const Error& error) {
    if (!ApprovalNeeded(error)) return tl::unexpected(error);
    HelpDeskStore::Step step = StepOf(row, State::kVerified);
    step.next.error = error.message;
    step.next.expires = ExpiresAfter(row, error);
    step.audits = {Entry(actor, row, "help_desk.act", OutcomeName(error.code), error.message)};
    if (auto taken = Take(step); !taken) return taken;
    return tl::unexpected(error);
  }

  // Whom the agent reaches may have changed since the request was opened.
  Result<void> StillReached(const Actor& actor, const HelpDeskRequest& row) {
    auto reach = CheckReach(core_, actor, Right::kChangesWrite, row.account);
    if (reach || reach.error().code == ErrorCode::kUnavailable) return reach;
    auto audited = core_.store.AppendAudit(Entry(
        actor, row, "help_desk.reach", OutcomeName(reach.error().code), reach.error().message));
    return audited ? reach : audited;
  }

  // Closes what has run out of time. True: it is closed now, by this call or another.
  Result<bool> CloseIfOver(const HelpDeskRequest& row) {
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
    step.audits = {std::move(entry)};
    const auto taken = core_.store.StepHelpDesk(step);
    if (!taken) return tl::unexpected(taken.error());
    AnnounceAccount(core_, row.account);
    return true;
  }

  static HelpDeskStore::Step StepOf(const HelpDeskRequest& row, State to) {
    HelpDeskStore::Step step;
    step.next = row;
    step.next.state = to;
    step.from = row.state;
    return step;
  }

  Result<void> Take(const HelpDeskStore::Step& step) {
    auto taken = core_.store.StepHelpDesk(step);
    if (!taken) return tl::unexpected(std::move(taken.error()));
    if (*taken != HelpDeskStore::Stepped::kDone) return Moved();
    AnnounceAccount(core_, step.next.account);
    return {};
  }

  tl::unexpected<Error> Quota(const Actor& actor, const HelpDeskRequest& row) {
    Error error{ErrorCode::kRateLimited,
                "This person was served " + std::to_string(config_.resets_per_day) +
                    " times with this within 24 hours; that is the limit. Ask an administrator.",
                {},
                0};
    auto audited = core_.store.AppendAudit(
        Entry(actor, row, "help_desk.limit", OutcomeName(error.code), WordsOf(row.process)));
    return tl::unexpected(audited ? std::move(error) : std::move(audited.error()));
  }

  // What a method may be used with now.
  Result<Prepared> Prepare(const HelpDeskRequest& row, HelpDeskMethod method) {
    if (PointsOf(method) == 0) {
      return Fail(ErrorCode::kPermissionDenied, "This verification is not allowed here.");
    }
    Prepared out;
    out.now = core_.clock.UnixMillis();
    auto attempts = core_.store.HelpDeskAttempts(row.id);
    if (!attempts) return tl::unexpected(std::move(attempts.error()));
    out.attempts = *std::move(attempts);
    // They belong to the row as it was read only if nobody has gone on since.
    const auto still = core_.store.FindHelpDesk(row.id);
    if (!still) return tl::unexpected(still.error());
    if (!*still || (*still)->version != row.version) return Moved();
    if (Count(out.attempts, method, HelpDeskAttemptState::kPassed) != 0) {
      return Fail(ErrorCode::kConflict, "The caller has passed this verification already.");
    }
    auto person = core_.directory.Get(row.account);
    if (!person) return tl::unexpected(std::move(person.error()));
    out.person = *std::move(person);
    HelpDeskOffer offer;
    Of(method).Describe({row, out.person, out.attempts, out.now}, offer);
    if (!offer.unavailable.empty()) return Fail(ErrorCode::kConflict, offer.unavailable);
    return out;
  }

  static std::vector<std::uint64_t> Waiting(const std::vector<HelpDeskAttempt>& attempts) {
    std::vector<std::uint64_t> numbers;
    for (const HelpDeskAttempt& attempt : attempts) {
      if (attempt.state == HelpDeskAttemptState::kWaiting) numbers.push_back(attempt.number);
    }
    return numbers;
  }

  std::uint32_t SendsLeft(const std::vector<HelpDeskAttempt>& attempts) const {
    const auto sent = Count(attempts, HelpDeskMethod::kMailCode, HelpDeskAttemptState::kWaiting) +
                      Count(attempts, HelpDeskMethod::kMailCode, HelpDeskAttemptState::kVoid);
    return sent >= config_.attempts ? 0 : config_.attempts - static_cast<std::uint32_t>(sent);
  }

  // `also` counts as passed.
  Standing StandingOf(const HelpDeskRequest& row, const std::vector<HelpDeskAttempt>& attempts,
                      const HelpDeskMethod* also) const {
    Standing standing;
    bool strong = false;
    for (int i = 0; i <= static_cast<int>(kLastHelpDeskMethod); ++i) {
      const auto method = static_cast<HelpDeskMethod>(i);
      if (Count(attempts, method, HelpDeskAttemptState::kPassed) == 0 &&
          (also == nullptr || *also != method)) {
        continue;
      }
      standing.points += PointsOf(method);
      ++standing.methods;
      strong = strong || IsStrong(method);
    }
    standing.strong_missing = row.privileged && !strong;
    standing.reached =
        standing.points >= config_.needed_points && standing.methods >= config_.needed_methods;
    return standing;
  }

  Result<HelpDeskView> ViewOf(const HelpDeskRequest& row) {
    HelpDeskView view;
    view.request = row;
    view.needed_points = config_.needed_points;
    view.needed_methods = config_.needed_methods;
    const auto attempts = core_.store.HelpDeskAttempts(row.id);
    if (!attempts) return tl::unexpected(attempts.error());
    const Standing standing = StandingOf(row, *attempts, nullptr);
    view.points = standing.points;
    view.methods = standing.methods;
    view.needs_strong = standing.strong_missing;
    PersonDetail person;
    if (row.state == State::kVerifying) {
      auto detail = core_.directory.Get(row.account);
      if (detail) {
        person = *std::move(detail);
      } else {
        view.directory_problem = detail.error().message;
      }
    }
    for (int i = 0; i <= static_cast<int>(kLastHelpDeskMethod); ++i) {
      HelpDeskOffer offer;
      offer.method = static_cast<HelpDeskMethod>(i);
      offer.points = PointsOf(offer.method);
      if (offer.points == 0) continue;
      offer.passed = Count(*attempts, offer.method, HelpDeskAttemptState::kPassed) != 0;
      offer.wrong =
          static_cast<std::uint32_t>(Count(*attempts, offer.method, HelpDeskAttemptState::kWrong));
      offer.left = offer.wrong >= config_.attempts ? 0 : config_.attempts - offer.wrong;
      offer.sends_left = SendsLeft(*attempts);
      if (row.state == State::kVerifying && view.directory_problem.empty()) {
        Of(offer.method).Describe({row, person, *attempts, core_.clock.UnixMillis()}, offer);
      }
      view.offers.push_back(std::move(offer));
    }
    return view;
  }

  Result<void> CarryOut(const Actor& actor, const HelpDeskRequest& row, ChangeId& change) {
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

  const HelpDeskPorts ports_;
  const CorePorts& core_ = ports_.core;
  const HelpDeskConfig config_;
  std::array<std::unique_ptr<HelpDeskVerification>,
             static_cast<std::size_t>(kLastHelpDeskMethod) + 1>
      methods_;
};

}  // namespace

std::unique_ptr<HelpDeskService> MakeHelpDeskService(const HelpDeskPorts& ports,
                                                     HelpDeskConfig config) {
  return std::make_unique<DefaultHelpDesk>(ports, std::move(config));
}

}  // namespace keyferry::server
