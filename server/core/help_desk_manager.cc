#include "server/core/help_desk_manager.h"

#include <algorithm>
#include <array>
#include <utility>

#include "protocol/bytes.h"
#include "protocol/crypto.h"
#include "server/core/clock.h"
#include "server/core/dispatch.h"
#include "server/core/encoding.h"
#include "server/core/help_desk_flow.h"
#include "server/core/mail.h"
#include "server/core/same_person.h"

namespace keyferry::server {
namespace {

constexpr std::size_t kManagerTokenSize = 16 + protocol::kHashSize;
constexpr std::size_t kManagerTokenText = 64;
constexpr int kMostLevels = 16;  // of managers that are looked at
constexpr std::uint32_t kMostNumbers = 1'000'000;
// Links of one address that are none in a quarter of an hour, then they are not looked at any more.
constexpr std::uint32_t kWrongManagerLinks = 20;
constexpr std::int64_t kManagerWindow = 15 * 60 * 1000;

constexpr const char* kNoManagerLink =
    "This link is not good, or not any more: it works once, and only while the help desk serves "
    "the caller. If you doubt who called, tell your security team.";

tl::unexpected<Error> NoManagerLink() { return Fail(ErrorCode::kNotFound, kNoManagerLink); }

// The question that is out and may still be answered.
const HelpDeskAttempt* ManagerAsked(const std::vector<HelpDeskAttempt>& attempts,
                                    std::int64_t now) {
  for (const HelpDeskAttempt& attempt : attempts) {
    if (attempt.method == HelpDeskMethod::kManager &&
        attempt.state == HelpDeskAttemptState::kWaiting && now < attempt.expires) {
      return &attempt;
    }
  }
  return nullptr;
}

std::string NameAndLogin(const Person& person) {
  const std::string login = Presentable(person.login, 64);
  return person.display_name.empty() ? login
                                     : Presentable(person.display_name, 128) + " (" + login + ")";
}

// Whether the caller is a manager of the one who would be asked.
Result<bool> ReportsTo(Directory& directory, const AccountId& manager, const AccountId& caller) {
  AccountId at = manager;
  for (int level = 0; level < kMostLevels; ++level) {
    const auto next = directory.ManagerOf(at);
    if (!next && next.error().code == ErrorCode::kNotFound) return false;
    if (!next) return tl::unexpected(next.error());
    if (!*next || (*next)->id == at) return false;
    if ((*next)->id == caller || (*next)->id == manager) return true;
    at = (*next)->id;
  }
  return false;
}

class ManagerWord final : public HelpDeskVerification {
 public:
  explicit ManagerWord(const HelpDeskPorts& ports) : ports_(ports) {}

  void Describe(const HelpDeskCase& about, HelpDeskOffer& offer) const override {
    if (offer.passed) return;
    if (const HelpDeskAttempt* const out = ManagerAsked(about.attempts, about.now)) {
      offer.sent = out->created;
      offer.sent_until = out->expires;
      offer.read_out = out->read_out;
      const auto manager = ports_.core.directory.Get(out->approver);
      if (manager) offer.shown = NameAndLogin(manager->person);
      return;
    }
    if (!ports_.outbox.on()) {
      offer.unavailable =
          "No mail server is configured here; an administrator sets one up ([mail]).";
      return;
    }
    const auto manager = ManagerToAskOf(ports_.core, about.request);
    offer.unavailable = manager ? manager->problem : manager.error().message;
    if (offer.unavailable.empty()) offer.shown = NameAndLogin(manager->person);
  }

  Result<bool> Check(const HelpDeskCase& about, const HelpDeskAnswer& answer) const override {
    if (!answer.manager) {
      return Fail(ErrorCode::kInvalidArgument,
                  "The manager answers this, by the link that was mailed to them.");
    }
    const HelpDeskAttempt* const out = ManagerAsked(about.attempts, about.now);
    if (out == nullptr) return NoManagerLink();
    return answer.manager->knows &&
           SameDigest(Sha256(answer.manager->number), Sha256(out->read_out));
  }

  std::string Words(const HelpDeskCase&, const HelpDeskAnswer& answer) const override {
    if (!answer.manager) return {};
    return std::string("the word of the manager ") + Presentable(answer.manager->manager, 64) +
           ", by the link that was mailed to them" +
           (answer.manager->knows ? "" : ", who knows nothing of this call");
  }

 private:
  const HelpDeskPorts& ports_;
};

}  // namespace

std::unique_ptr<HelpDeskVerification> MakeManagerWord(const HelpDeskPorts& ports) {
  return std::make_unique<ManagerWord>(ports);
}

Result<ManagerToAsk> ManagerToAskOf(const CorePorts& ports, const HelpDeskRequest& request) {
  const auto problem = [](const char* why) { return ManagerToAsk{{}, why}; };
  const auto named = ports.directory.ManagerOf(request.account);
  if (!named && named.error().code == ErrorCode::kUnsupported) {
    return problem("This directory does not tell managers; verify the caller in another way.");
  }
  if (!named) return tl::unexpected(named.error());
  if (!*named)
    return problem(
        "The directory names no manager of this person; have one entered there, or verify the "
        "caller in another way.");
  const AccountId& id = (*named)->id;
  const auto detail = ports.directory.Get(id);
  if (!detail && detail.error().code == ErrorCode::kNotFound) {
    return problem(
        "The directory's manager of this person is not there any more; have it corrected there.");
  }
  if (!detail) return tl::unexpected(detail.error());
  if (detail->state.disabled || detail->state.account_expired) {
    return problem(
        "The account of this person's manager is disabled or past its end; verify the caller in "
        "another way.");
  }
  const auto frozen = ports.store.IsFrozen(id);
  if (!frozen) return tl::unexpected(frozen.error());
  if (*frozen) {
    return problem(
        "The manager has said of a change of their own: this was not me. Verify the caller in "
        "another way.");
  }
  if (!IsMailAddress(detail->person.mail)) {
    return problem(
        "The directory has no usable mail address of this person's manager; have it corrected "
        "there.");
  }
  const auto own = SamePerson(ports, id, request.account);
  if (!own) return tl::unexpected(own.error());
  if (*own)
    return problem(
        "The directory's manager of this person is the person themselves; have it corrected "
        "there.");
  const auto agent = SamePerson(ports, id, request.agent);
  if (!agent) return tl::unexpected(agent.error());
  if (*agent) {
    return problem("You are this person's manager yourself; a colleague has to serve them so.");
  }
  const auto reports = ReportsTo(ports.directory, id, request.account);
  if (!reports) return tl::unexpected(reports.error());
  if (*reports) {
    return problem("The managers of this person lead in a circle; correct them in the directory.");
  }
  return ManagerToAsk{detail->person, {}};
}

Result<HelpDeskAttempt> MakeManagerQuestion(const CorePorts& ports, const HelpDeskRequest& request,
                                            const AccountId& manager, const std::string& asked_by) {
  HelpDeskAttempt out;
  out.method = HelpDeskMethod::kManager;
  Hash32 nonce{};
  std::uint32_t number = 0;
  do {
    std::array<std::uint8_t, 4> bytes{};
    if (!ports.random.Fill(nonce) || !ports.random.Fill(bytes)) {
      return Fail(ErrorCode::kInternal, "The system gave no random numbers.");
    }
    number = static_cast<std::uint32_t>(bytes[0]) << 24 |
             static_cast<std::uint32_t>(bytes[1]) << 16 |
             static_cast<std::uint32_t>(bytes[2]) << 8 | bytes[3];
  } while (number >= 4'294 * kMostNumbers);  // more would make some numbers likelier than others
  const std::string digits = std::to_string(number % kMostNumbers);
  out.challenge = ToHex(nonce);
  out.read_out = std::string(kManagerDigits - digits.size(), '0') + digits;
  out.asked_by = asked_by;
  out.approver = manager;
  out.created = ports.clock.UnixMillis();
  out.expires = request.expires;
  return out;
}

Result<std::string> ManagerToken(const Issuer& issuer, const HelpDeskRequest& request,
                                 const HelpDeskAttempt& asked) {
  protocol::Secret<32> key;
  if (auto made = issuer.ManagerKey(key); !made) return tl::unexpected(made.error());
  const auto nonce = FromHex(asked.challenge);
  if (!nonce || nonce->size() != protocol::kHashSize) {
    return Fail(ErrorCode::kInternal, "The stored question is damaged; ask once more.");
  }
  std::array<std::uint8_t, 16 + 16 + 16 + 8> about{};
  protocol::Writer(about)
      .Put(request.id.bytes)
      .Put(request.account.bytes)
      .Put(asked.approver.bytes)
      .U64(static_cast<std::uint64_t>(asked.expires));
  protocol::Bytes<protocol::kHashSize> mac{};
  protocol::Hmac(key.view()).Update(about).Update(*nonce).Final(mac);
  std::array<std::uint8_t, kManagerTokenSize> token{};
  protocol::Writer(token).Put(request.id.bytes).Put(mac);
  return ToBase64Url(token);
}

std::optional<HelpDeskId> ClaimedByManager(std::string_view token) {
  if (token.size() != kManagerTokenText) return std::nullopt;
  const auto bytes = FromBase64Url(token);
  if (!bytes || bytes->size() != kManagerTokenSize) return std::nullopt;
  HelpDeskId id;
  std::copy_n(bytes->begin(), id.bytes.size(), id.bytes.begin());
  return id;
}

Result<void> HelpDeskFlow::AskManager(const Actor& actor, const HelpDeskId& id,
                                      std::uint64_t version) {
  constexpr auto kMethod = HelpDeskMethod::kManager;
  const auto begun = BeginSending(actor, id, version, kMethod);
  if (!begun) return tl::unexpected(begun.error());
  const auto& [row, prepared] = *begun;
  const auto manager = ManagerToAskOf(core_, row);
  if (!manager) return tl::unexpected(manager.error());
  if (!manager->problem.empty()) return Fail(ErrorCode::kConflict, manager->problem);
  Person agent;
  agent.login = actor.login;
  agent.display_name = actor.display_name;
  const auto question = MakeManagerQuestion(core_, row, manager->person.id, NameAndLogin(agent));
  if (!question) return tl::unexpected(question.error());
  const auto token = ManagerToken(core_.issuer, row, *question);
  if (!token) return tl::unexpected(token.error());
  HelpDeskStore::Step step = StepOf(row, HelpDeskState::kVerifying);
  step.decided = Waiting(prepared.attempts, kMethod);
  step.add = *question;
  step.audits = {Entry(actor, row, "help_desk.ask", "ok",
                       "The manager " + Presentable(manager->person.login, 64) +
                           " is asked by mail to " + Presentable(manager->person.mail, 254) + ".")};
  if (auto taken = Take(step); !taken) return taken;

  const std::string link = url_ + "/caller?t=" + *token,
                    name = Presentable(manager->person.display_name, 128),
                    person = Presentable(prepared.person.person.display_name, 128),
                    minutes = begun->minutes();
  const MailTemplate& text = ports_.templates.manager_asked;
  const auto& processes = ports_.templates.processes;
  const auto named = processes.find(Name(row.process));
  const std::string process = named == processes.end() ? WordsOf(row.process) : named->second;
  const MailValues values = {{"name", name},         {"person", person},
                             {"login", row.login},   {"agent", question->asked_by},
                             {"ticket", row.ticket}, {"reason", row.reason},
                             {"process", process},   {"minutes", minutes},
                             {"link", link}};
  auto sent = ports_.outbox.SendNow(
      {manager->person.mail, FillSubject(text, values), FillBody(text, values)});
  if (!sent) TakeBack(actor, row, kMethod, "help_desk.ask", sent.error());
  return sent;
}

Result<HelpDeskFlow::Asked> HelpDeskFlow::FindAsked(std::string_view token) {
  const auto id = ClaimedByManager(token);
  if (!id) return NoManagerLink();
  auto row = core_.store.FindHelpDesk(*id);
  if (!row) return tl::unexpected(std::move(row.error()));
  const std::int64_t now = core_.clock.UnixMillis();
  if (!*row || (*row)->state != HelpDeskState::kVerifying || now >= (*row)->expires) {
    return NoManagerLink();
  }
  const auto attempts = core_.store.HelpDeskAttempts(*id);
  if (!attempts) return tl::unexpected(attempts.error());
  const HelpDeskAttempt* const out = ManagerAsked(*attempts, now);
  if (out == nullptr) return NoManagerLink();
  const auto right = ManagerToken(core_.issuer, **row, *out);
  if (!right) return tl::unexpected(right.error());
  if (!protocol::ConstantTimeEquals(protocol::AsBytes(*right), protocol::AsBytes(token))) {
    return NoManagerLink();
  }
  // Who is asked may have left, or be another one by now.
  const auto manager = ManagerToAskOf(core_, **row);
  if (!manager) return tl::unexpected(manager.error());
  if (!manager->problem.empty() || manager->person.id != out->approver) return NoManagerLink();
  return Asked{**row, *out, manager->person};
}

Result<ManagerQuestion> HelpDeskFlow::LookAtManager(std::string_view token) {
  auto asked = FindAsked(token);
  if (!asked) return tl::unexpected(std::move(asked.error()));
  return ManagerQuestion{std::move(asked->request), asked->attempt.asked_by,
                         asked->attempt.expires};
}

Result<ManagerVerdict> HelpDeskFlow::AnswerAsManager(std::string_view token, bool knows,
                                                     std::string_view number,
                                                     std::string_view address) {
  const std::string counter = "manager/" + Presentable(address, 64);
  const auto count = core_.store.FindFailures(counter);
  if (!count) return tl::unexpected(count.error());
  if (count->blocked_until > core_.clock.UnixMillis()) {
    return Fail(ErrorCode::kRateLimited,
                "Too many wrong links came from this address; try again in a quarter of an hour, "
                "or call your help desk.");
  }
  Actor actor;
  actor.address = std::string(address);
  HelpDeskAnswer answer;
  answer.method = HelpDeskMethod::kManager;
  answer.manager.emplace();
  answer.manager->knows = knows;
  for (const char c : number) {
    if (c == ' ' || c == '-') continue;
    answer.manager->number += c;
  }
  // The agent may take another step at the same moment, which moves the row.
  for (int round = 0;; ++round) {
    const auto asked = FindAsked(token);
    if (!asked && asked.error().code == ErrorCode::kNotFound) {
      const SessionStore::FailureRule rule = {counter, kWrongManagerLinks, kManagerWindow,
                                              kManagerWindow};
      auto noted = core_.store.AddFailure({rule}, core_.clock.UnixMillis(),
                                          AuditOf(core_.clock, actor, "help_desk.manager", "",
                                                  "not_found", "A link that is not good."));
      if (!noted) return tl::unexpected(std::move(noted.error()));
    }
    if (!asked) return tl::unexpected(asked.error());
    const std::string& digits = answer.manager->number;
    if (knows &&
        (digits.size() != kManagerDigits ||
         !std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; }))) {
      return Fail(ErrorCode::kInvalidArgument,
                  "The number has six digits; the person who called the help desk knows it.");
    }
    const HelpDeskRequest& row = asked->request;
    actor.id = asked->manager.id;
    actor.login = asked->manager.login;
    answer.manager->manager = asked->manager.login;
    const auto prepared = Prepare(row, answer.method, true);
    const auto right =
        prepared
            ? Judge(row, *prepared, answer,
                    [&](std::string_view action, std::string_view outcome, std::string_view words) {
                      return Entry(actor, row, action, outcome, words);
                    })
            : Result<bool>(tl::unexpected(prepared.error()));
    if (!right && right.error().detail == kMovedDetail && round < 3) continue;
    if (!right) return tl::unexpected(right.error());
    if (!knows && ports_.denied) ports_.denied(row, actor.login);
    return *right  ? ManagerVerdict::kTaken
           : knows ? ManagerVerdict::kWrongNumber
                   : ManagerVerdict::kDenied;
  }
}

}  // namespace keyferry::server
