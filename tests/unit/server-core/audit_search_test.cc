// Looking for rows of the audit log, filters that people keep, and the warning about blocked
// people, over a real database.
#include <catch2/catch.hpp>
#include <set>

#include "company.h"
#include "server/core/audit_filters.h"
#include "server/core/help_desk.h"
#include "server/core/warnings.h"

using namespace keyferry;
using namespace keyferry::server;
using namespace keyferry::server::testing;

namespace {

struct Archive : Company {
  Archive() { head = store->AuditHead()->number; }
  void Add(const char* actor, const char* action, const char* target, const char* outcome,
           const char* detail = "") {
    REQUIRE(store->AppendAudit(
        {clock.UnixMillis(), actor, action, target, outcome, detail, "192.0.2.1"}));
  }
  // Numbers of what the filter finds, counted from the rows that the test has added.
  std::vector<int> Found(const AuditFilter& filter, std::size_t limit = 100,
                         std::size_t most_read = 1000) {
    std::vector<int> down, up;
    for (const bool newest_first : {true, false}) {
      AuditStore::AuditWindow window{newest_first, newest_first ? 0 : head, limit, most_read};
      for (int i = 0; i < 200; ++i) {
        const auto matches = store->MatchAudit(filter, window);
        REQUIRE(matches);
        REQUIRE(matches->rows.size() <= limit);
        for (const AuditStore::Row& row : matches->rows) {
          if (row.number > head) {
            (newest_first ? down : up).push_back(static_cast<int>(row.number - head));
          }
        }
        if (!matches->more) break;
        REQUIRE(matches->edge != window.edge);
        window.edge = matches->edge;
      }
    }
    std::reverse(up.begin(), up.end());
    CHECK(down == up);
    return down;
  }
  std::uint64_t head = 0;
};

AuditFilter By(std::string AuditFilter::*part, const char* text) {
  AuditFilter filter;
  filter.*part = text;
  return filter;
}

}  // namespace

TEST_CASE("audit search: each part of a filter finds its rows, however little is read at a time") {
  Archive log;
  log.Add("Alice.Admin", "password.set", "bob", "ok", "Forgotten");  // 1
  log.clock.Advance(std::chrono::hours(24));
  log.Add("carol_desk", "help_desk.verify", "bob", "wrong", "By mail. Ticket INC-1: x");  // 2
  log.Add("carolxdesk", "help_desk.verified", "dan", "ok", "Ticket INC-12: x");           // 3
  log.clock.Advance(std::chrono::hours(24 * 3));
  log.Add("system", "key.alarm", "100%", "denied", "a! b");  // 4
  const auto check = [&](const AuditFilter& filter, const std::vector<int>& wanted) {
    for (const std::size_t limit : {1u, 2u, 100u}) {
      for (const std::size_t most : {1u, 2u, 1000u}) {
        INFO(limit << " " << most);
        CHECK(log.Found(filter, limit, most) == wanted);
      }
    }
  };
  check({}, {4, 3, 2, 1});
  check(By(&AuditFilter::actor, "alice.admin"), {1});
  check(By(&AuditFilter::actor, "carol_desk"), {2});
  check(By(&AuditFilter::actor, "carol?desk"), {3, 2});
  check(By(&AuditFilter::actor, "carol"), {});
  check(By(&AuditFilter::actor, "*"), {4, 3, 2, 1});
  check(By(&AuditFilter::action, "help_desk.*"), {3, 2});
  check(By(&AuditFilter::action, "*.SET"), {1});
  check(By(&AuditFilter::target, "bob"), {2, 1});
  check(By(&AuditFilter::target, "100%"), {4});
  check(By(&AuditFilter::target, "%"), {});
  check(By(&AuditFilter::target, "' OR 1=1 --"), {});
  check(By(&AuditFilter::target, "!"), {});
  check(By(&AuditFilter::outcome, "ok"), {3, 1});
  check(By(&AuditFilter::outcome, "other"), {4, 2});
  check(By(&AuditFilter::outcome, "wrong"), {2});
  check(By(&AuditFilter::ticket, "INC-1"), {2});
  check(By(&AuditFilter::ticket, "inc-12"), {3});
  check(By(&AuditFilter::ticket, "INC-*"), {});
  AuditFilter both = By(&AuditFilter::target, "bob");
  both.outcome = "other";
  check(both, {2});

  const std::int64_t now = log.clock.UnixMillis(), day = 86'400'000;
  AuditFilter time;
  time.from = now;
  check(time, {4});
  time.from = now + 1;
  check(time, {});
  time = {};
  time.until = now;
  check(time, {3, 2, 1});
  time.from = now - 3 * day;
  check(time, {3, 2});
  time.until = now - 3 * day;
  check(time, {});
  time.from = now - 4 * day;
  check(time, {1});
  time.until = 1;
  check(time, {});
}

TEST_CASE("audit search: a clock that was put back hides nothing") {
  Archive log;
  log.Add("a", "x", "1", "ok");
  log.clock.Advance(std::chrono::hours(2));
  log.Add("a", "x", "2", "ok");
  log.clock.Advance(-std::chrono::hours(1));
  log.Add("a", "x", "3", "ok");
  AuditFilter filter;
  filter.from = log.clock.UnixMillis() - 60'000;
  CHECK(log.Found(filter) == std::vector<int>{3, 2});
  filter = {};
  filter.until = log.clock.UnixMillis() + 60'000;
  CHECK(log.Found(filter) == std::vector<int>{3, 1});
}

TEST_CASE("audit search: pages and export show what the filter lets through") {
  Archive log;
  for (int i = 0; i < 7; ++i) log.Add("a", i % 2 == 0 ? "even" : "odd", "t", "ok");
  const AuditFilter even = By(&AuditFilter::action, "even");
  const auto first = log.audit->Search(even, 0, 3);
  REQUIRE(first);
  REQUIRE(first->rows.size() == 3);
  CHECK(first->rows[0].number == log.head + 7);
  const auto second = log.audit->Search(even, first->next, 3);
  REQUIRE(second->rows.size() == 1);
  CHECK(second->rows[0].number == log.head + 1);
  const auto extract = log.audit->Export(AuditFormat::kJsonLines, log.head, 3, "1", even);
  REQUIRE(extract);
  CHECK(extract->rows == 3);
  CHECK(extract->more);
  CHECK(extract->text.find("odd") == std::string::npos);
  const auto rest = log.audit->Export(AuditFormat::kJsonLines, extract->last, 3, "1", even);
  CHECK(rest->rows == 1);
  CHECK_FALSE(rest->more);
  // The chain's own words come through as they are.
  CHECK(extract->text.find("\"hash\":") != std::string::npos);
}

TEST_CASE("filters that are kept belong to one person, by name, and not too many") {
  Company company;
  const auto filters = MakeAuditFilterService(*company.store, company.clock, OsRandom());
  Actor other = company.admin;
  other.id.bytes.fill(0x77);
  REQUIRE(filters->Save(company.admin, "Night", "period=day"));
  REQUIRE(filters->Save(company.admin, "Desk", "action=help_desk.%2A"));
  REQUIRE(filters->Save(company.admin, "Night", "period=week"));
  REQUIRE(filters->Save(other, "Night", "period=month"));
  const auto mine = filters->Mine(company.admin);
  REQUIRE(mine->size() == 2);
  CHECK((*mine)[0].name == "Desk");
  CHECK((*mine)[1].query == "period=week");
  CHECK(filters->Forget(other, (*mine)[0].id).error().code == ErrorCode::kNotFound);
  REQUIRE(filters->Forget(company.admin, (*mine)[0].id));
  CHECK(filters->Forget(company.admin, (*mine)[0].id).error().code == ErrorCode::kNotFound);
  CHECK(filters->Mine(company.admin)->size() == 1);
  CHECK(filters->Mine(other)->size() == 1);
  for (const std::string& bad :
       {std::string(), std::string(61, 'n'), std::string("a\nb"), std::string("\xff")}) {
    CHECK(filters->Save(company.admin, bad, "").error().code == ErrorCode::kInvalidArgument);
  }
  CHECK(filters->Save(company.admin, "n", std::string(2001, 'q')).error().code ==
        ErrorCode::kInvalidArgument);
  for (std::size_t i = 1; i < kMostAuditFilters; ++i) {
    REQUIRE(filters->Save(company.admin, "n" + std::to_string(i), ""));
  }
  CHECK(filters->Save(company.admin, "one more", "").error().code == ErrorCode::kConflict);
  REQUIRE(filters->Save(company.admin, "Night", "period=day"));
  CHECK(filters->Mine(company.admin)->size() == kMostAuditFilters);
  CHECK(company.audit->Verify());
}

namespace {

struct Guardroom : Company {
  struct Silent final : Mailer {
    Result<void> Send(const MailMessage& message) override {
      texts.emplace_back(message.recipient + ": " + std::string(message.text.view()));
      return {};
    }
    Result<void> Probe() override { return {}; }
    std::vector<std::string> texts;
  };
  Guardroom() {
    templates.people_blocked =
        *MailTemplate::Parse("Subject: Blocked\n\n{{people}} blocked\n", {"people"});
    WarningConfig config;
    config.administrators = {"a@corp.example", "b@corp.example"};
    const WarningPorts ports{*store, clock, OsRandom(), outbox, templates, {}};
    first = MakeWarningService(ports, config);
    second = MakeWarningService(ports, config);
  }
  // By failed sign-ins.
  void Block(int person) {
    AccountId account;
    account.bytes.fill(static_cast<std::uint8_t>(person));
    SessionStore::FailureRule rule;
    rule.counter = "account/" + account.Hex();
    rule.limit = 1;
    REQUIRE(store->AddFailure({rule, {"address/192.0.2.9", 1}, {"name/abc", 1}}, clock.UnixMillis(),
                              {}));
  }
  std::size_t Audited(const std::string& action) {
    AuditFilter filter;
    filter.action = action;
    return audit->Search(filter, 0, 100)->rows.size();
  }
  std::optional<Warning> Standing() {
    auto standing = first->Standing();
    REQUIRE(standing);
    return *standing;
  }
  Silent mailer;
  MailTemplates templates;
  MailOutbox outbox{*store, &mailer, clock, [](std::string_view) {}};
  std::unique_ptr<WarningService> first, second;
};

}  // namespace

TEST_CASE("ten people blocked within an hour raise one warning, told once to each administrator") {
  Guardroom room;
  for (int i = 1; i <= 9; ++i) room.Block(i);
  room.Block(9);  // once more: the same person
  room.first->Tick();
  CHECK_FALSE(room.Standing());
  // One that an agent's caller could not prove to be counts like one who failed to sign in.
  HelpDeskRequest request;
  request.id.bytes.fill(1);
  request.account.bytes.fill(0xC0);
  request.process = HelpDeskProcess::kReset;
  request.state = HelpDeskState::kVerifying;
  REQUIRE(room.store->OpenHelpDesk(request, {}));
  HelpDeskStore::Step step;
  step.next = request;
  step.next.state = HelpDeskState::kBlocked;
  step.next.closed = room.clock.UnixMillis();
  step.from = HelpDeskState::kVerifying;
  REQUIRE(*room.store->StepHelpDesk(step) == HelpDeskStore::Stepped::kDone);
  room.first->Tick();
  const auto warning = room.Standing();
  REQUIRE(warning);
  CHECK(warning->people == 10);
  room.second->Tick();
  room.first->Tick();
  room.outbox.Tick();
  CHECK(room.Audited("warning.raise") == 1);
  REQUIRE(room.mailer.texts.size() == 2);
  CHECK(room.mailer.texts[0].find("a@corp.example: 10 blocked") == 0);

  // It stands until a person has acknowledged it, and then those whom it was about raise no other.
  Actor agent = room.admin;
  agent.roles = Role::kHelpDesk | Role::kAuditor | Role::kKeyOfficer;
  CHECK(room.first->Acknowledge(agent, warning->id).error().code == ErrorCode::kPermissionDenied);
  REQUIRE(room.Standing());
  room.clock.Advance(std::chrono::minutes(1));
  REQUIRE(room.first->Acknowledge(room.admin, warning->id));
  CHECK(room.second->Acknowledge(room.admin, warning->id).error().code == ErrorCode::kConflict);
  CHECK(room.Audited("warning.acknowledge") == 1);
  CHECK_FALSE(room.Standing());
  room.first->Tick();
  CHECK_FALSE(room.Standing());
  room.clock.Advance(std::chrono::minutes(1));
  for (int i = 1; i <= 10; ++i) room.Block(0x40 + i);
  room.second->Tick();
  REQUIRE(room.Standing());
  CHECK(room.Standing()->id != warning->id);
  CHECK(room.audit->Verify());
}

TEST_CASE("people blocked over more than an hour raise no warning") {
  Guardroom room;
  for (int i = 1; i <= 12; ++i) {
    room.Block(i);
    room.clock.Advance(std::chrono::minutes(7));
    room.first->Tick();
  }
  CHECK_FALSE(room.Standing());
  CHECK(room.Audited("warning.raise") == 0);
}

TEST_CASE("a server that dies between warning and mail leaves the mail to the next look") {
  Guardroom room;
  for (int i = 1; i <= 10; ++i) room.Block(i);
  Warning warning;
  warning.id.bytes.fill(5);
  warning.people = 10;
  warning.raised = room.clock.UnixMillis();
  REQUIRE(*room.store->RaiseWarning(warning, {}));
  warning.id.bytes.fill(6);
  CHECK_FALSE(*room.store->RaiseWarning(warning, {}));
  room.second->Tick();
  room.outbox.Tick();
  CHECK(room.mailer.texts.size() == 2);
}
