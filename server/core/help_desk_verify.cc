// What a caller has proven, and by what.
#include <algorithm>
#include <utility>

#include "server/core/alarm.h"
#include "server/core/clock.h"
#include "server/core/dispatch.h"
#include "server/core/encoding.h"
#include "server/core/help_desk_flow.h"
#include "server/core/help_desk_touch.h"

namespace keyferry::server {
namespace {

using State = HelpDeskState;

bool IsStrong(HelpDeskMethod method) {
  return method == HelpDeskMethod::kInPerson || method == HelpDeskMethod::kKeyTouch;
}

// All that one request may send by this method is out.
const char* NoneLeft(HelpDeskMethod method) {
  switch (method) {
    case HelpDeskMethod::kKeyTouch:
      return "The caller is not asked again for this request; verify the caller in another way.";
    case HelpDeskMethod::kPersonalData:
      return "What the directory has is not shown again for this request; verify the caller in "
             "another way.";
    case HelpDeskMethod::kManager:
      return "The manager is not asked again for this request; verify the caller in another way.";
    default:
      return "No more codes are sent for this request; verify the caller in another way.";
  }
}

}  // namespace

std::string HelpDeskFlow::Sending::minutes() const {
  return std::to_string(std::max<std::int64_t>(1, (row.expires - prepared.now) / 60'000));
}

Result<HelpDeskFlow::Sending> HelpDeskFlow::BeginSending(const Actor& actor, const HelpDeskId& id,
                                                         std::uint64_t version,
                                                         HelpDeskMethod method) {
  auto row = At(actor, id, version, State::kVerifying);
  if (!row) return tl::unexpected(std::move(row.error()));
  auto prepared = Prepare(*row, method);
  if (!prepared) return tl::unexpected(std::move(prepared.error()));
  if (SendsLeft(prepared->attempts, method) == 0) {
    return Fail(ErrorCode::kRateLimited, NoneLeft(method));
  }
  return Sending{*std::move(row), *std::move(prepared)};
}

Result<void> HelpDeskFlow::SendCode(const Actor& actor, const HelpDeskId& id,
                                    std::uint64_t version) {
  constexpr auto kMethod = HelpDeskMethod::kMailCode;
  const auto begun = BeginSending(actor, id, version, kMethod);
  if (!begun) return tl::unexpected(begun.error());
  const auto& [row, prepared] = *begun;
  auto made = MakeSentCode(kMethod, core_.random, prepared.now, row.expires);
  if (!made) return tl::unexpected(std::move(made.error()));
  const Person& person = prepared.person.person;
  HelpDeskStore::Step step = StepOf(row, State::kVerifying);
  step.decided = Waiting(prepared.attempts, kMethod);
  step.add = made->attempt;
  step.audits = {Entry(actor, row, "help_desk.code", "ok",
                       "A code goes by mail to " + Presentable(person.mail, 254) + ".")};
  if (auto taken = Take(step); !taken) return taken;

  const std::string name = Presentable(person.display_name, 128),
                    agent = Presentable(
                        actor.display_name.empty() ? actor.login : actor.display_name, 128),
                    minutes = begun->minutes();
  const MailTemplate& text = ports_.templates.help_desk_code;
  auto sent =
      ports_.outbox.SendNow({person.mail, FillSubject(text, {{"name", name}, {"login", row.login}}),
                             FillBody(text, {{"name", name},
                                             {"login", row.login},
                                             {"agent", agent},
                                             {"minutes", minutes},
                                             {"code", made->code.view()}})});
  if (!sent) TakeBack(actor, row, kMethod, "help_desk.code", sent.error());
  return sent;
}

Result<void> HelpDeskFlow::SendSms(const Actor& actor, const HelpDeskId& id,
                                   std::uint64_t version) {
  constexpr auto kMethod = HelpDeskMethod::kSmsCode;
  const auto begun = BeginSending(actor, id, version, kMethod);
  if (!begun) return tl::unexpected(begun.error());
  const auto& [row, prepared] = *begun;
  const auto place = SmsPlaceOf(core_.directory, row.account, config_.sms.phone);
  if (!place) return tl::unexpected(place.error());
  if (!place->problem.empty()) return Fail(ErrorCode::kConflict, place->problem);
  auto made = MakeSentCode(kMethod, core_.random, prepared.now, row.expires);
  if (!made) return tl::unexpected(std::move(made.error()));
  HelpDeskStore::Step step = StepOf(row, State::kVerifying);
  step.decided = Waiting(prepared.attempts, kMethod);
  step.add = made->attempt;
  step.sms = {config_.sms.per_person_day, config_.sms.per_hour, prepared.now - kDaySeconds * 1000,
              prepared.now - 3'600'000};
  step.audits = {Entry(actor, row, "help_desk.code", "ok",
                       "A code goes by SMS to the number " + MaskedPhone(place->number) + ".")};
  const auto stored = Write(step);
  if (!stored) return tl::unexpected(stored.error());
  if (*stored == HelpDeskStore::Stepped::kMoved) return Moved();
  if (*stored != HelpDeskStore::Stepped::kDone) {
    const bool all = *stored == HelpDeskStore::Stepped::kAllQuota;
    Error error{ErrorCode::kRateLimited,
                all ? "The limit of codes by SMS in an hour is reached; verify the caller in "
                      "another way, and tell an administrator."
                    : "This person was sent " + std::to_string(config_.sms.per_person_day) +
                          " codes by SMS within 24 hours; that is the limit. Verify the caller in "
                          "another way.",
                {},
                0};
    if (all) Log(core_, "codes by SMS", error);
    auto audited = core_.store.AppendAudit(
        Entry(actor, row, "help_desk.limit", OutcomeName(error.code), error.message));
    return tl::unexpected(audited ? std::move(error) : std::move(audited.error()));
  }
  Follow(step);
  const std::string agent = Presentable(
                        actor.display_name.empty() ? actor.login : actor.display_name, 64),
                    minutes = begun->minutes();
  const SecureBytes text = FillBody(
      {{}, config_.sms.text},
      {{"code", made->code.view()}, {"agent", agent}, {"login", row.login}, {"minutes", minutes}});
  auto sent = ports_.sms->Send(place->number, text);
  if (!sent) TakeBack(actor, row, kMethod, "help_desk.code", sent.error());
  return sent;
}

void HelpDeskFlow::TakeBack(const Actor& actor, const HelpDeskRequest& row, HelpDeskMethod method,
                            const char* action, const Error& error) {
  const auto attempts = core_.store.HelpDeskAttempts(row.id);
  if (!attempts) return Log(core_, action, attempts.error());
  HelpDeskRequest now_at = row;
  now_at.version = row.version + 1;
  HelpDeskStore::Step undone = StepOf(now_at, State::kVerifying);
  undone.decided = Waiting(*attempts, method);
  undone.audits = {Entry(actor, row, action, OutcomeName(error.code), error.message)};
  if (auto taken = Take(undone); !taken) Log(core_, action, taken.error());
}

Result<void> HelpDeskFlow::AskForTouch(const Actor& actor, const HelpDeskId& id,
                                       std::uint64_t version) {
  constexpr auto kMethod = HelpDeskMethod::kKeyTouch;
  const auto begun = BeginSending(actor, id, version, kMethod);
  if (!begun) return tl::unexpected(begun.error());
  const auto& [row, prepared] = *begun;
  const auto alarm = core_.store.Alarms(1);
  if (!alarm) return tl::unexpected(alarm.error());
  if (!alarm->empty() && alarm->front().stands()) return Fail(ErrorCode::kConflict, kAlarmStands);
  const auto places = TouchPlacesOf(core_, row.account);
  if (!places) return tl::unexpected(places.error());
  if (places->workstations.empty()) return Fail(ErrorCode::kConflict, places->problem);
  const std::string login = Presentable(actor.login, 56);
  auto question = MakeTouchQuestion(core_, row,
                                    actor.display_name.empty()
                                        ? login
                                        : Presentable(actor.display_name, 64) + " (" + login + ")");
  if (!question) return tl::unexpected(std::move(question.error()));
  HelpDeskStore::Step step = StepOf(row, State::kVerifying);
  step.decided = Waiting(prepared.attempts, kMethod);
  step.add = *question;
  std::string names;
  for (const WorkstationRecord& place : places->workstations) {
    names += (names.empty() ? "" : ", ") + Presentable(place.name, 64);
  }
  step.audits = {Entry(actor, row, "help_desk.ask", "ok", "For a touch of the key at " + names)};
  if (auto taken = Take(step); !taken) return taken;
  const WorkstationEvent event = CallerEvent({row, *question}, core_.clock.UnixMillis());
  for (const WorkstationRecord& place : places->workstations) Send(core_, place.id, event);
  return {};
}

Result<ShownPersonalData> HelpDeskFlow::ShowPersonalData(const Actor& actor, const HelpDeskId& id,
                                                         std::uint64_t version) {
  constexpr auto kMethod = HelpDeskMethod::kPersonalData;
  if (!config_.confirm_personal_data) {
    return Fail(ErrorCode::kPermissionDenied,
                "What the directory has is not shown here; type what the caller says.");
  }
  const auto begun = BeginSending(actor, id, version, kMethod);
  if (!begun) return tl::unexpected(begun.error());
  const auto& [row, prepared] = *begun;
  ShownPersonalData out;
  std::string names;
  for (const PersonalField field : config_.personal_data) {
    out.values.emplace_back(field, ValueOf(prepared.person.person, field));
    names += std::string(" ") + Name(field);
  }
  HelpDeskStore::Step step = StepOf(row, State::kVerifying);
  step.decided = Waiting(prepared.attempts, kMethod);
  step.add.emplace();
  step.add->method = kMethod;
  step.add->created = prepared.now;
  step.add->expires = row.expires;
  step.audits = {Entry(actor, row, "help_desk.shown", "ok", "Personal data:" + names + ".")};
  if (auto taken = Take(step); !taken) return tl::unexpected(std::move(taken.error()));
  out.version = row.version + 1;
  return out;
}

Result<KeyTouchVerdict> HelpDeskFlow::AnswerTouch(
    const WorkstationId& from, const HelpDeskId& id,
    const std::optional<std::vector<std::uint8_t>>& assertion) {
  const auto workstation = core_.store.FindWorkstation(from);
  if (!workstation) return tl::unexpected(workstation.error());
  if (!*workstation || (*workstation)->state != WorkstationState::kApproved) {
    return Fail(ErrorCode::kPermissionDenied, "This workstation is not approved.");
  }
  HelpDeskAnswer answer;
  answer.method = HelpDeskMethod::kKeyTouch;
  answer.touch.emplace();
  answer.touch->from = **workstation;
  if (assertion) {
    answer.touch->assertion.emplace();
    if (assertion->size() != answer.touch->assertion->size()) {
      return Fail(ErrorCode::kInvalidArgument, "This is no proof of a security key.");
    }
    std::copy(assertion->begin(), assertion->end(), answer.touch->assertion->begin());
  }
  // The agent may take another step at the same moment, which moves the row.
  for (int round = 0;; ++round) {
    const auto row = core_.store.FindHelpDesk(id);
    if (!row) return tl::unexpected(row.error());
    const bool asked = *row && (*row)->state == State::kVerifying;
    const auto closed = asked ? CloseIfOver(**row) : Result<bool>(true);
    if (!closed) return tl::unexpected(closed.error());
    if (*closed) return Fail(ErrorCode::kConflict, "The help desk does not ask this any more.");
    const auto prepared = Prepare(**row, answer.method, true);
    const auto right =
        prepared
            ? Judge(**row, *prepared, answer,
                    [&](std::string_view action, std::string_view outcome, std::string_view words) {
                      return AuditByWorkstation(core_.clock, **workstation, action, (*row)->login,
                                                outcome, DetailOf(**row, words));
                    })
            : Result<bool>(tl::unexpected(prepared.error()));
    if (!right && right.error().detail == kMovedDetail && round < 3) continue;
    if (!right) return tl::unexpected(right.error());
    TellCallerOver(core_, **row);
    KeyTouchVerdict verdict;
    verdict.passed = *right;
    if (!*right && assertion) {
      verdict.reason =
          "The help desk did not take this proof: the number was another one, or the key is not in "
          "use.";
    }
    return verdict;
  }
}

Result<bool> HelpDeskFlow::Verify(const Actor& actor, const HelpDeskId& id, std::uint64_t version,
                                  HelpDeskAnswer answer) {
  const auto row = At(actor, id, version, State::kVerifying);
  if (!row) return tl::unexpected(row.error());
  answer.touch.reset();  // never by the agent's word
  answer.manager.reset();
  const auto prepared = Prepare(*row, answer.method);
  if (!prepared) return tl::unexpected(prepared.error());
  return Judge(*row, *prepared, answer,
               [&](std::string_view action, std::string_view outcome, std::string_view words) {
                 return Entry(actor, *row, action, outcome, words);
               });
}

Result<bool> HelpDeskFlow::Judge(const HelpDeskRequest& row, const Prepared& prepared,
                                 const HelpDeskAnswer& answer, const EntryOf& entry) {
  const HelpDeskCase about{row, prepared.person, prepared.attempts, prepared.now};
  // Told to nobody before it is stored that this attempt was made.
  const auto verdict = Of(answer.method).Weigh(about, answer);
  if (!verdict) return tl::unexpected(verdict.error());
  HelpDeskStore::Step step = StepOfAnswer(row, prepared, answer, entry, verdict->right);
  step.spends = verdict->spends;
  auto taken = Write(step);
  if (!taken) return tl::unexpected(std::move(taken.error()));
  const bool spent = *taken == HelpDeskStore::Stepped::kSpent;
  if (spent) {
    // The same code was given elsewhere at the same moment.
    step = StepOfAnswer(row, prepared, answer, entry, false);
    taken = Write(step);
    if (!taken) return tl::unexpected(std::move(taken.error()));
  }
  if (*taken != HelpDeskStore::Stepped::kDone) return Moved();
  Follow(step);
  return verdict->right && !spent;
}

HelpDeskStore::Step HelpDeskFlow::StepOfAnswer(const HelpDeskRequest& row, const Prepared& prepared,
                                               const HelpDeskAnswer& answer, const EntryOf& entry,
                                               bool right) const {
  const auto& attempts = prepared.attempts;
  const std::string words =
      Of(answer.method).Words({row, prepared.person, attempts, prepared.now}, answer);
  const bool last =
      Count(attempts, answer.method, HelpDeskAttemptState::kWrong) + 1 >= config_.attempts;
  const bool denied = answer.manager && !answer.manager->knows;
  const Standing standing = StandingOf(row, attempts, right ? &answer.method : nullptr);
  const State to = denied || (!right && last) ? State::kBlocked
                   : standing.enough()        ? State::kVerified
                                              : State::kVerifying;
  HelpDeskStore::Step step = StepOf(row, to);
  step.add.emplace();
  step.add->method = answer.method;
  step.add->state = right ? HelpDeskAttemptState::kPassed : HelpDeskAttemptState::kWrong;
  step.add->denied = denied || (answer.touch && !answer.touch->assertion);
  step.add->created = prepared.now;
  // A code may be tried again; a touch, a manager's word, or a look at what the directory has was
  // for this one answer.
  if (right || answer.touch || answer.manager || answer.method == HelpDeskMethod::kPersonalData)
    step.decided = Waiting(attempts, answer.method);
  step.audits = {
      entry("help_desk.verify", right ? "ok" : "wrong", words.empty() ? "" : "By " + words + ".")};
  if (to == State::kVerified) {
    step.audits.push_back(entry("help_desk.verified", "ok",
                                std::to_string(standing.points) + " points, " +
                                    std::to_string(standing.methods) + " methods."));
  } else if (to == State::kBlocked) {
    step.next.error =
        denied ? "The manager says that they know nothing of this call."
               : "Too many failed attempts of one verification; the caller did not prove who they "
                 "are.";
    step.next.closed = prepared.now;
    step.audits.push_back(entry("help_desk.blocked", "blocked", step.next.error));
  }
  return step;
}

Result<HelpDeskFlow::Prepared> HelpDeskFlow::Prepare(const HelpDeskRequest& row,
                                                     HelpDeskMethod method, bool begun) {
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
  if (begun) return out;
  HelpDeskOffer offer;
  Of(method).Describe({row, out.person, out.attempts, out.now}, offer);
  if (!offer.unavailable.empty()) return Fail(ErrorCode::kConflict, offer.unavailable);
  return out;
}

std::vector<std::uint64_t> HelpDeskFlow::Waiting(const std::vector<HelpDeskAttempt>& attempts,
                                                 HelpDeskMethod method) {
  std::vector<std::uint64_t> numbers;
  for (const HelpDeskAttempt& attempt : attempts) {
    if (attempt.method == method && attempt.state == HelpDeskAttemptState::kWaiting) {
      numbers.push_back(attempt.number);
    }
  }
  return numbers;
}

std::uint32_t HelpDeskFlow::SendsLeft(const std::vector<HelpDeskAttempt>& attempts,
                                      HelpDeskMethod method) const {
  const auto sent = Count(attempts, method, HelpDeskAttemptState::kWaiting) +
                    Count(attempts, method, HelpDeskAttemptState::kVoid);
  return sent >= config_.attempts ? 0 : config_.attempts - static_cast<std::uint32_t>(sent);
}

HelpDeskFlow::Standing HelpDeskFlow::StandingOf(const HelpDeskRequest& row,
                                                const std::vector<HelpDeskAttempt>& attempts,
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

Result<HelpDeskView> HelpDeskFlow::ViewOf(const HelpDeskRequest& row) {
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
  view.can_mail = ports_.outbox.on() && row.state == State::kActed && row.mailed == 0;
  view.processes = {HelpDeskProcess::kReset, HelpDeskProcess::kUnlock,
                    HelpDeskProcess::kMustChange};
  if (config_.read_out && !row.privileged) view.processes.push_back(HelpDeskProcess::kReadOut);
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
    offer.sends_left = SendsLeft(*attempts, offer.method);
    if (row.state == State::kVerifying && view.directory_problem.empty()) {
      Of(offer.method).Describe({row, person, *attempts, core_.clock.UnixMillis()}, offer);
    }
    view.offers.push_back(std::move(offer));
  }
  return view;
}

}  // namespace keyferry::server
