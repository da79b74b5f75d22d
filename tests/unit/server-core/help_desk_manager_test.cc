// The word of a caller's manager: who may be asked, what the link is good for, and what it does.
#include "server/core/help_desk_manager.h"

#include <regex>
#include <thread>

#include "help_desk_rig.h"
#include "notice_rig.h"
#include "server/core/agent_alarm.h"

using namespace keyferry;
using namespace keyferry::server;
using namespace keyferry::server::testing;

using State = HelpDeskState;

namespace {

// The desk, with Maria as Alice's manager.
struct ManagerDesk : Desk {
  explicit ManagerDesk(HelpDeskConfig wanted = {}) : Desk(std::move(wanted)) {
    maria = directory.Add("maria");
    directory.At(maria).detail.person.mail = "maria@corp.example";
    directory.At(maria).detail.person.display_name = "Maria Manager";
    directory.managers[alice] = maria;
    agent.display_name = "Anna Agent";
    service->SetUrl("https://keys.example:8443");
  }
  Result<void> Ask(const HelpDeskId& id) { return service->AskManager(agent, id, At(id)); }
  HelpDeskId Asked() {
    const HelpDeskId id = In(State::kVerifying);
    REQUIRE(Ask(id));
    return id;
  }
  HelpDeskOffer Offer(const HelpDeskId& id) {
    const auto view = service->Get(agent, id);
    REQUIRE(view);
    return view->offers.at(static_cast<std::size_t>(HelpDeskMethod::kManager));
  }
  // The token of the newest mail.
  std::string Token() {
    const std::lock_guard lock(box.mutex);
    std::smatch match;
    REQUIRE(std::regex_search(
        box.texts.back(), match,
        std::regex("https://keys\\.example:8443/caller\\?t=([A-Za-z0-9_-]{64})\n")));
    return match[1];
  }
  Result<ManagerVerdict> Say(const std::string& token, bool knows, const std::string& number = {},
                             const std::string& address = "198.51.100.7") {
    return service->AnswerAsManager(token, knows, number, address);
  }
  void CheckDead(const std::string& token) {
    const auto nothing = service->LookAtManager(std::string(64, 'A'));
    REQUIRE_FALSE(nothing);
    const auto looked = service->LookAtManager(token);
    REQUIRE_FALSE(looked);
    const auto said = Say(token, true, "123456", "203.0.113.1");
    REQUIRE_FALSE(said);
    for (const Error* error : {&looked.error(), &said.error()}) {
      CHECK(error->code == ErrorCode::kNotFound);
      CHECK(error->message == nothing.error().message);
    }
  }
  // Why nobody can be asked, as the page and the step say it.
  std::string WhyNot(const HelpDeskId& id) {
    const auto asked = Ask(id);
    REQUIRE_FALSE(asked);
    CHECK(asked.error().code == ErrorCode::kConflict);
    CHECK(Offer(id).unavailable == asked.error().message);
    CHECK(box.recipients.empty());
    return asked.error().message;
  }

  AccountId maria;
};

}  // namespace

TEST_CASE("a manager who spoke with the caller gives their word by the link and the number") {
  HelpDeskConfig config;
  ManagerDesk desk(config);
  const std::uint64_t before = desk.AuditHead();
  const HelpDeskId id = desk.In(State::kVerifying);
  CHECK(desk.Offer(id).shown == "Maria Manager (maria)");
  REQUIRE(desk.Ask(id));
  CHECK(desk.box.recipients == std::vector<std::string>{"maria@corp.example"});
  const HelpDeskOffer offer = desk.Offer(id);
  CHECK(offer.sent != 0);
  CHECK(offer.sent_until == desk.Row(id).expires);
  CHECK(offer.shown == "Maria Manager (maria)");
  REQUIRE(offer.read_out.size() == kManagerDigits);
  for (const char* part : {"Maria Manager", "Anna Agent (agent)", "alice", "INC-1",
                           "forgot it on holiday", "new password to the key"}) {
    INFO(part);
    CHECK(desk.box.texts.back().find(part) != std::string::npos);
  }
  // The number goes by the agent's voice alone.
  CHECK(desk.box.texts.back().find(offer.read_out) == std::string::npos);
  const std::string token = desk.Token();
  for (int i = 0; i < 3; ++i) {
    const auto seen = desk.service->LookAtManager(token);
    REQUIRE(seen);
    CHECK(seen->request.id == id);
    CHECK(seen->asked_by == "Anna Agent (agent)");
    CHECK(seen->until == desk.Row(id).expires);
  }
  CHECK(desk.Offer(id).passed == false);
  const auto said =
      desk.Say(token, true, offer.read_out.substr(0, 3) + " " + offer.read_out.substr(3));
  REQUIRE(said);
  CHECK(*said == ManagerVerdict::kTaken);
  CHECK(desk.Offer(id).passed);
  CHECK(desk.Row(id).state == State::kVerifying);  // one point of two
  desk.CheckDead(token);
  REQUIRE(desk.Verify(id, Desk::Told("E 4711")).value());
  CHECK(desk.Row(id).state == State::kVerified);
  const auto rows = desk.store->AuditAfter(before, 100);
  REQUIRE(rows);
  bool found = false;
  for (const auto& row : *rows) {
    CHECK(row.entry.detail.find(offer.read_out) == std::string::npos);
    CHECK(row.entry.detail.find(token) == std::string::npos);
    if (row.entry.action != "help_desk.verify" || row.entry.actor != "maria") continue;
    found = true;
    CHECK(row.entry.outcome == "ok");
    CHECK(row.entry.address == "198.51.100.7");
    CHECK(row.entry.detail.find("By the word of the manager maria") != std::string::npos);
  }
  CHECK(found);
  desk.StopStore();
  CHECK(desk.database.Text("SELECT MAX(challenge) FROM help_desk_attempts").empty());
  CHECK(desk.database.Text("SELECT MAX(read_out) FROM help_desk_attempts").empty());
}

TEST_CASE("a manager who knows nothing of the call ends it, and the administrators are told") {
  ManagerDesk desk;
  desk.templates.manager_denied = *MailTemplate::Parse(
      "Subject: {{person}}\n\n{{name}} {{login}} {{manager}} {{agent}} {{ticket}} {{reason}}\n",
      {"name", "person", "login", "manager", "agent", "ticket", "reason"});
  Officers officers;
  desk.denied =
      MakeDeniedAlarm({officers, *desk.outbox, desk.templates, desk.clock, [](std::string_view) {}},
                      {"CN=Administrators"}, {"security@corp.example"});
  const std::uint64_t before = desk.AuditHead();
  const HelpDeskId id = desk.Asked();
  const std::string token = desk.Token();
  REQUIRE(desk.Verify(id, Desk::Told("E 4711")).value());
  const auto said = desk.Say(token, false);
  REQUIRE(said);
  CHECK(*said == ManagerVerdict::kDenied);
  CHECK(desk.Row(id).state == State::kBlocked);
  CHECK(desk.Row(id).error == "The manager says that they know nothing of this call.");
  CHECK(IsMoved(desk.Verify(id, Desk::Seen()).error()));
  const std::vector<std::string> audited = desk.Audited(before);
  REQUIRE(audited.size() >= 3);
  CHECK(audited.at(audited.size() - 2) == "verify wrong");
  CHECK(audited.back() == "blocked blocked");
  desk.CheckDead(token);
  desk.outbox->Tick();
  std::vector<std::string> told(desk.box.recipients.begin() + 1, desk.box.recipients.end());
  std::sort(told.begin(), told.end());
  CHECK(told == std::vector<std::string>{"boss@corp.example", "security@corp.example"});
  CHECK(desk.box.texts.back().find("alice maria agent INC-1 forgot it on holiday") !=
        std::string::npos);
  CHECK(desk.directory.writes == 0);
}

TEST_CASE("another number is a failed attempt and uses the link up; the third ends the request") {
  ManagerDesk desk;
  const HelpDeskId id = desk.Asked();
  for (std::uint32_t i = 1; i <= 3; ++i) {
    const std::string token = desk.Token(), number = desk.Offer(id).read_out;
    // What is no number is no attempt.
    for (const char* bad : {"", "12345", "1234567", "12345a", "１２３４５６"}) {
      CHECK(desk.Say(token, true, bad).error().code == ErrorCode::kInvalidArgument);
    }
    CHECK(desk.service->LookAtManager(token));
    const auto said = desk.Say(token, true, number == "123456" ? "654321" : "123456");
    REQUIRE(said);
    CHECK(*said == ManagerVerdict::kWrongNumber);
    CHECK(desk.Row(id).state == (i == 3 ? State::kBlocked : State::kVerifying));
    CHECK_FALSE(desk.service->LookAtManager(token));
    if (i == 3) break;
    CHECK(desk.Offer(id).wrong == i);
    REQUIRE(desk.Ask(id));
  }
}

TEST_CASE("a link that is made up, altered, replaced, late or of another request is dead") {
  ManagerDesk desk;
  const HelpDeskId id = desk.Asked();
  const std::string token = desk.Token();
  SECTION("made up or altered") {
    for (const std::string& bad : {std::string(), std::string("x"), std::string(64, '-'),
                                   token + "A", token.substr(1), std::string(63, 'A') + "="}) {
      INFO(bad);
      CHECK_FALSE(desk.service->LookAtManager(bad));
    }
    for (std::size_t i = 0; i < token.size(); ++i) {
      std::string altered = token;
      altered[i] = altered[i] == 'x' ? 'y' : 'x';
      INFO(altered);
      CHECK_FALSE(desk.service->LookAtManager(altered));
    }
    CHECK(desk.service->LookAtManager(token));
  }
  SECTION("replaced by another") {
    REQUIRE(desk.Ask(id));
    CHECK(desk.Token() != token);
    desk.CheckDead(token);
    CHECK(desk.service->LookAtManager(desk.Token()));
  }
  SECTION("after the request's time") {
    desk.clock.Advance(std::chrono::milliseconds(desk.config.request_seconds * 1000 - 1));
    CHECK(desk.service->LookAtManager(token));
    desk.clock.Advance(std::chrono::milliseconds(1));
    desk.CheckDead(token);
  }
  SECTION("after the agent cancelled") {
    REQUIRE(desk.service->Cancel(desk.agent, id, desk.At(id)));
    desk.CheckDead(token);
  }
  SECTION("after other verifications sufficed") {
    REQUIRE(desk.Verify(id, Desk::Seen()).value());
    CHECK(desk.Row(id).state == State::kVerified);
    desk.CheckDead(token);
  }
  SECTION("another person is the manager by now") {
    const AccountId other = desk.directory.Add("oscar");
    desk.directory.At(other).detail.person.mail = "oscar@corp.example";
    desk.directory.managers[desk.alice] = other;
    desk.CheckDead(token);
  }
  SECTION("the manager's account was disabled") {
    desk.directory.At(desk.maria).detail.state.disabled = true;
    desk.CheckDead(token);
  }
  SECTION("a server with another issuer made it") {
    HelpDeskAttempt asked = desk.store->HelpDeskAttempts(id)->back();
    const HelpDeskRequest row = desk.Row(id);
    CHECK(*ManagerToken(*desk.issuer, row, asked) == token);
    asked.approver = desk.alice;
    CHECK(*ManagerToken(*desk.issuer, row, asked) != token);
  }
}

TEST_CASE("who is no manager of the caller's own is not asked") {
  ManagerDesk desk;
  const HelpDeskId id = desk.In(State::kVerifying);
  Person& maria = desk.directory.At(desk.maria).detail.person;
  AccountState& state = desk.directory.At(desk.maria).detail.state;
  SECTION("nobody") {
    desk.directory.managers.clear();
    CHECK_THAT(desk.WhyNot(id), Catch::Contains("names no manager"));
  }
  SECTION("without a mail address") {
    maria.mail = "maria at corp";
    CHECK_THAT(desk.WhyNot(id), Catch::Contains("mail address"));
  }
  SECTION("disabled") {
    state.disabled = true;
    CHECK_THAT(desk.WhyNot(id), Catch::Contains("disabled"));
  }
  SECTION("past its end") {
    state.account_expired = true;
    CHECK_THAT(desk.WhyNot(id), Catch::Contains("disabled"));
  }
  SECTION("the caller") {
    desk.directory.managers[desk.alice] = desk.alice;
    CHECK_THAT(desk.WhyNot(id), Catch::Contains("the person themselves"));
  }
  SECTION("the caller under another account") {
    maria.employee_id = "e 4711";
    CHECK_THAT(desk.WhyNot(id), Catch::Contains("the person themselves"));
  }
  SECTION("the caller's mailbox") {
    maria.mail = "Alice@corp.example";
    CHECK_THAT(desk.WhyNot(id), Catch::Contains("the person themselves"));
  }
  SECTION("the agent") {
    desk.directory.At(desk.agent.id).detail.person.mail = "agent@corp.example";
    desk.directory.managers[desk.alice] = desk.agent.id;
    CHECK_THAT(desk.WhyNot(id), Catch::Contains("yourself"));
  }
  SECTION("the agent under another account") {
    maria.employee_id = "E 9";
    desk.directory.At(desk.agent.id).detail.person.employee_id = "E 9";
    CHECK_THAT(desk.WhyNot(id), Catch::Contains("yourself"));
  }
  SECTION("one whose manager is the caller") {
    desk.directory.managers[desk.maria] = desk.alice;
    CHECK_THAT(desk.WhyNot(id), Catch::Contains("circle"));
  }
  SECTION("one above whom the caller stands, or who stands above themselves") {
    const AccountId chief = desk.directory.Add("chief");
    desk.directory.managers[desk.maria] = chief;
    desk.directory.managers[chief] = GENERATE(true, false) ? desk.alice : desk.maria;
    CHECK_THAT(desk.WhyNot(id), Catch::Contains("circle"));
  }
  SECTION("one who is their own manager stands at the top") {
    desk.directory.managers[desk.maria] = desk.maria;
    CHECK(desk.Ask(id));
  }
}

TEST_CASE("for a privileged person the manager's word does not suffice") {
  HelpDeskConfig config;
  config.privileged_groups = {"CN=Bosses,DC=corp,DC=example"};
  config.points.fill(10);
  ManagerDesk desk(config);
  desk.directory.At(desk.alice).groups = {"cn=bosses, dc=corp,dc=example"};
  const HelpDeskId id = desk.Asked();
  CHECK(desk.Say(desk.Token(), true, desk.Offer(id).read_out).value() == ManagerVerdict::kTaken);
  CHECK(desk.Row(id).state == State::kVerifying);
  CHECK(desk.service->Get(desk.agent, id)->needs_strong);
}

TEST_CASE("the agent cannot answer for the manager") {
  ManagerDesk desk;
  const HelpDeskId id = desk.Asked();
  HelpDeskAnswer answer;
  answer.method = HelpDeskMethod::kManager;
  answer.manager = ManagerAnswer{"maria", true, desk.Offer(id).read_out};
  CHECK(desk.Verify(id, std::move(answer)).error().code == ErrorCode::kInvalidArgument);
  CHECK_FALSE(desk.Offer(id).passed);
  CHECK(desk.Offer(id).wrong == 0);
}

TEST_CASE("the manager's mail cannot be sent: nobody is asked, and no attempt is lost") {
  ManagerDesk desk;
  const HelpDeskId id = desk.In(State::kVerifying);
  desk.box.down = true;
  CHECK(desk.Ask(id).error().code == ErrorCode::kUnavailable);
  CHECK(desk.Offer(id).sent == 0);
  CHECK(desk.Offer(id).read_out.empty());
  CHECK(desk.Offer(id).left == 3);
  desk.box.down = false;
  REQUIRE(desk.Ask(id));
  REQUIRE(desk.Ask(id));
  CHECK(desk.Ask(id).error().code == ErrorCode::kRateLimited);
  CHECK(desk.Say(desk.Token(), true, desk.Offer(id).read_out).value() == ManagerVerdict::kTaken);
}

TEST_CASE("wrong links of an address are counted, across a restart, and keep nobody else waiting") {
  ManagerDesk desk;
  const HelpDeskId id = desk.Asked();
  const std::string token = desk.Token(), number = desk.Offer(id).read_out;
  for (int i = 0; i < 20; ++i) {
    CHECK(desk.Say(std::string(64, 'A'), false).error().code == ErrorCode::kNotFound);
  }
  desk.StartAgain();
  CHECK(desk.Say(token, true, number).error().code == ErrorCode::kRateLimited);
  CHECK(desk.Say(std::string(64, 'A'), false).error().code == ErrorCode::kRateLimited);
  CHECK(desk.Say(token, true, number, "203.0.113.9").value() == ManagerVerdict::kTaken);
}

TEST_CASE("twenty answers at once are one") {
  ManagerDesk desk;
  const HelpDeskId id = desk.Asked();
  const std::string token = desk.Token(), number = desk.Offer(id).read_out;
  std::atomic<int> taken{0}, dead{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 20; ++i) {
    threads.emplace_back([&, i] {
      const auto said =
          desk.service->AnswerAsManager(token, true, number, "198.51.100." + std::to_string(i));
      if (said && *said == ManagerVerdict::kTaken) ++taken;
      if (!said && said.error().code == ErrorCode::kNotFound) ++dead;
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(taken == 1);
  CHECK(dead == 19);
  const auto attempts = desk.store->HelpDeskAttempts(id);
  CHECK(std::count_if(attempts->begin(), attempts->end(), [](const HelpDeskAttempt& one) {
          return one.state == HelpDeskAttemptState::kPassed;
        }) == 1);
}
