// The help desk's flow: every step from every state, limits, races, clocks, hostile input.
#include <atomic>
#include <functional>
#include <set>
#include <thread>

#include "help_desk_rig.h"

using namespace keyferry;
using namespace keyferry::server;
using namespace keyferry::server::testing;

using State = HelpDeskState;

TEST_CASE("the whole flow to the key, each step in the audit log") {
  Desk desk;
  const std::uint64_t before = desk.AuditHead();
  const HelpDeskId id = desk.Opened();
  REQUIRE(desk.Choose(id));
  REQUIRE(desk.service->SendCode(desk.agent, id, desk.At(id)));
  CHECK(desk.box.recipients == std::vector<std::string>{"alice@corp.example"});
  CHECK(desk.Row(id).state == State::kVerifying);
  REQUIRE(desk.Verify(id, Desk::Coded(desk.box.Code())).value());
  CHECK(desk.Row(id).state == State::kVerifying);  // one point of two
  CHECK(IsMoved(desk.Act(id).error()));
  CHECK(desk.directory.writes == 0);
  REQUIRE(desk.Verify(id, Desk::Told(" e  4711 ")).value());
  CHECK(desk.Row(id).state == State::kVerified);
  REQUIRE(desk.Act(id));
  CHECK(desk.Row(id).state == State::kActed);
  CHECK(desk.directory.writes == 1);
  const ChangeView change = desk.Newest(desk.alice);
  CHECK(desk.Row(id).change == change.id);
  CHECK(change.reason == "INC-1: forgot it on holiday");
  CHECK(change.actor_login == "agent");
  REQUIRE(desk.service->Confirm(desk.agent, id, desk.At(id)));
  CHECK(desk.Row(id).state == State::kDone);
  REQUIRE(desk.Deliver(*desk.desk, desk.key));
  CHECK(desk.key.password == desk.AdPassword());
  CHECK(desk.Audited(before) == std::vector<std::string>{"open ok", "process ok", "code ok",
                                                         "verify ok", "verify ok", "verified ok",
                                                         "act ok", "acted ok", "done ok"});
  CHECK(desk.audit->Verify());
}

TEST_CASE("every step from every state: only the one that is next is taken") {
  struct Op {
    const char* name;
    std::set<State> from;
    std::function<Result<void>(Desk&, const HelpDeskId&, std::uint64_t)> run;
  };
  const std::vector<Op> ops = {
      {"choose",
       {State::kIdentified},
       [](Desk& d, const HelpDeskId& id, std::uint64_t at) {
         return d.service->Choose(d.agent, id, at, HelpDeskProcess::kReset);
       }},
      {"send",
       {State::kVerifying},
       [](Desk& d, const HelpDeskId& id, std::uint64_t at) {
         return d.service->SendCode(d.agent, id, at);
       }},
      {"verify",
       {State::kVerifying},
       [](Desk& d, const HelpDeskId& id, std::uint64_t at) -> Result<void> {
         const auto right = d.service->Verify(d.agent, id, at, Desk::Seen());
         if (!right) return tl::unexpected(right.error());
         return {};
       }},
      {"act",
       {State::kVerified, State::kActing},
       [](Desk& d, const HelpDeskId& id, std::uint64_t at) -> Result<void> {
         const auto acted = d.service->Act(d.agent, id, at);
         if (!acted) return tl::unexpected(acted.error());
         return {};
       }},
      {"instructions",
       {State::kActed},
       [](Desk& d, const HelpDeskId& id, std::uint64_t at) {
         return d.service->MailInstructions(d.agent, id, at);
       }},
      {"confirm",
       {State::kActed},
       [](Desk& d, const HelpDeskId& id, std::uint64_t at) {
         return d.service->Confirm(d.agent, id, at);
       }},
      {"cancel",
       {State::kIdentified, State::kVerifying, State::kVerified},
       [](Desk& d, const HelpDeskId& id, std::uint64_t at) {
         return d.service->Cancel(d.agent, id, at);
       }},
  };
  for (int number = 0; number <= static_cast<int>(State::kBlocked); ++number) {
    const auto state = static_cast<State>(number);
    for (const Op& op : ops) {
      INFO(op.name << " from " << Name(state));
      Desk desk;
      const HelpDeskId id = desk.In(state);
      const HelpDeskRequest before = desk.Row(id);
      REQUIRE(before.state == state);
      const int writes = desk.directory.writes;
      // A version that was never, or not yet, there is as good as none.
      CHECK(IsMoved(op.run(desk, id, before.version + 1).error()));
      if (before.version > 1) CHECK(IsMoved(op.run(desk, id, before.version - 1).error()));
      CHECK(desk.Row(id).version == before.version);
      const auto done = op.run(desk, id, before.version);
      if (op.from.count(state) != 0) {
        REQUIRE(done);
        CHECK(desk.Row(id).version > before.version);
        CHECK(IsMoved(op.run(desk, id, before.version).error()));
      } else {
        CHECK(IsMoved(done.error()));
        CHECK(desk.Row(id).version == before.version);
        CHECK(desk.Row(id).state == state);
        CHECK(desk.directory.writes == writes);
      }
    }
  }
}

TEST_CASE("a request that a dying server left half done changes once") {
  for (const Write crash : {Write::kCrashBefore, Write::kCrashAfter}) {
    Desk desk;
    const HelpDeskId id = desk.In(State::kVerified);
    desk.directory.script = {crash};
    CHECK_THROWS_AS(desk.Act(id), Crash);
    const int writes = desk.directory.writes;
    desk.StartAgain();
    CHECK(desk.Row(id).state == State::kActing);
    desk.clock.Advance(std::chrono::seconds(61));
    desk.changes->Reconcile();
    (void)desk.Act(id);
    CHECK(desk.directory.writes == writes);
    const State state = desk.Row(id).state;
    CHECK((state == State::kActed || state == State::kVerified));
    // What it says is what the directory has.
    const ChangeView change = desk.Newest(desk.alice);
    INFO(Name(change.state) << " " << desk.Row(id).error);
    CHECK((change.ad_set != 0) == (state == State::kActed && desk.Row(id).error.empty()));
  }
}

TEST_CASE("the directory is down: the state is kept, nothing is changed, later it goes on") {
  Desk desk;
  const HelpDeskId id = desk.In(State::kVerifying);
  desk.directory.down = true;
  const auto view = desk.service->Get(desk.agent, id);
  REQUIRE(view);
  CHECK_FALSE(view->directory_problem.empty());
  CHECK_FALSE(desk.Verify(id, Desk::Seen()));
  CHECK_FALSE(desk.service->SendCode(desk.agent, id, desk.At(id)));
  CHECK(desk.Row(id).state == State::kVerifying);
  desk.directory.down = false;
  REQUIRE(desk.Verify(id, Desk::Seen()).value());
  desk.directory.script = {Write::kUnavailable};
  const auto failed = desk.Act(id);
  REQUIRE_FALSE(failed);
  CHECK(desk.Row(id).state == State::kVerified);
  CHECK_FALSE(desk.Row(id).error.empty());
  CHECK(desk.Row(id).acted == 0);
  REQUIRE(desk.Act(id));
  CHECK(desk.Row(id).state == State::kActed);
  CHECK(desk.Row(id).error.empty());
}

TEST_CASE("an outcome that is not known is told, and not tried again") {
  Desk desk;
  const HelpDeskId id = desk.In(State::kVerified);
  desk.directory.script = {Write::kLostAndAppliedLate};
  REQUIRE(desk.Act(id));
  CHECK(desk.Row(id).state == State::kActed);
  CHECK_FALSE(desk.Row(id).error.empty());
  CHECK(desk.Row(id).change == desk.Newest(desk.alice).id);
  CHECK(IsMoved(desk.Act(id).error()));
  CHECK(desk.directory.writes == 1);
}

TEST_CASE("unlock and must-change go to the directory, in the agent's name") {
  Desk desk;
  HelpDeskId id = desk.In(State::kVerified, HelpDeskProcess::kUnlock);
  REQUIRE(desk.Act(id));
  CHECK(desk.directory.unlocks == 1);
  REQUIRE(desk.service->Confirm(desk.agent, id, desk.At(id)));
  id = desk.In(State::kVerified, HelpDeskProcess::kMustChange);
  REQUIRE(desk.Act(id));
  CHECK(desk.directory.requires_change == 1);
  CHECK(desk.directory.writes == 0);
}

TEST_CASE("three a person and process within 24 hours, blocked ones included") {
  Desk desk;
  const auto serve = [&](HelpDeskProcess process) {
    const HelpDeskId id = desk.In(State::kDone, process);
    CHECK(desk.Row(id).state == State::kDone);
  };
  serve(HelpDeskProcess::kUnlock);
  desk.clock.Advance(std::chrono::hours(1));
  serve(HelpDeskProcess::kUnlock);
  desk.In(State::kBlocked, HelpDeskProcess::kUnlock);
  HelpDeskId id = desk.Opened();
  CHECK(desk.Choose(id, HelpDeskProcess::kUnlock).error().code == ErrorCode::kRateLimited);
  CHECK(desk.Row(id).state == State::kIdentified);
  // Another process has its own count.
  REQUIRE(desk.Choose(id, HelpDeskProcess::kMustChange));
  REQUIRE(desk.service->Cancel(desk.agent, id, desk.At(id)));
  // To the millisecond: the first one was carried out 24 h ago.
  desk.clock.Advance(std::chrono::hours(23) - std::chrono::milliseconds(1));
  id = desk.Opened();
  CHECK(desk.Choose(id, HelpDeskProcess::kUnlock).error().code == ErrorCode::kRateLimited);
  desk.clock.Advance(std::chrono::milliseconds(1));
  REQUIRE(desk.Choose(id, HelpDeskProcess::kUnlock));
}

TEST_CASE("the limit holds at the moment of carrying out as well") {
  HelpDeskConfig config;
  config.resets_per_day = 1;
  Desk desk(config);
  const HelpDeskId id = desk.In(State::kVerified, HelpDeskProcess::kUnlock);
  // Another server carries one out between choice and act.
  const std::string acted = std::to_string(desk.clock.UnixMillis());
  desk.StopStore();
  desk.database.Run(
      "INSERT INTO help_desk_requests (request_id, agent_id, agent_login, account_id, login, "
      "display_name, process, reason, ticket, state, error, privileged, change_id, acts, version, "
      "opened, expires, acted, closed) SELECT 'ffffffffffffffffffffffffffffffff', agent_id, "
      "agent_login, account_id, login, display_name, process, reason, ticket, 'done', '', 0, '', "
      "1, 5, opened, expires, " +
      acted + ", 0 FROM help_desk_requests");
  desk.StartAgain();
  CHECK(desk.Act(id).error().code == ErrorCode::kRateLimited);
  CHECK(desk.Row(id).state == State::kVerified);
  CHECK(desk.directory.unlocks == 0);
}

TEST_CASE("one request a person; another agent may neither look nor go on") {
  Desk desk;
  const Actor other = desk.Agent("other");
  const HelpDeskId id = desk.In(State::kVerified);
  CHECK(desk.service->Open(desk.agent, desk.Opening())->id == id);
  const auto refused = desk.service->Open(other, desk.Opening());
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ErrorCode::kConflict);
  CHECK(refused.error().message.find("agent") == 0);
  const std::uint64_t at = desk.At(id);
  CHECK(desk.service->Get(other, id).error().code == ErrorCode::kPermissionDenied);
  CHECK(desk.service->Act(other, id, at).error().code == ErrorCode::kPermissionDenied);
  CHECK(desk.service->Confirm(other, id, at).error().code == ErrorCode::kPermissionDenied);
  CHECK(desk.service->Cancel(other, id, at).error().code == ErrorCode::kPermissionDenied);
  CHECK(desk.service->SendCode(other, id, at).error().code == ErrorCode::kPermissionDenied);
  CHECK(desk.service->Verify(other, id, at, Desk::Seen()).error().code ==
        ErrorCode::kPermissionDenied);
  CHECK(desk.service->Choose(other, id, at, HelpDeskProcess::kUnlock).error().code ==
        ErrorCode::kPermissionDenied);
  CHECK(desk.At(id) == at);
  CHECK(desk.service->Mine(other)->empty());
  CHECK(desk.service->Mine(desk.agent)->size() == 1);
  // When its time is over, anybody may serve the person.
  desk.clock.Advance(std::chrono::minutes(10));
  CHECK(desk.service->Mine(desk.agent)->empty());
  REQUIRE(desk.service->Open(other, desk.Opening()));
  CHECK(desk.Row(id).state == State::kExpired);
}

TEST_CASE("nobody serves themselves, protected or disabled people") {
  Desk desk;
  Actor self = desk.agent;
  self.id = desk.alice;
  CHECK(desk.service->Open(self, desk.Opening()).error().code == ErrorCode::kPermissionDenied);
  Actor nobody = desk.agent;
  nobody.roles = Roles();
  CHECK(desk.service->Open(nobody, desk.Opening()).error().code == ErrorCode::kPermissionDenied);
  AccountState& state = desk.directory.At(desk.alice).detail.state;
  state.is_protected = true;
  CHECK(desk.service->Open(desk.agent, desk.Opening()).error().code ==
        ErrorCode::kPermissionDenied);
  state = {};
  state.disabled = true;
  CHECK(desk.service->Open(desk.agent, desk.Opening()).error().code == ErrorCode::kConflict);
  CHECK_FALSE(desk.store->OpenHelpDeskOf(desk.alice)->has_value());
}

namespace {

// The help desk's group holds its agent and a colleague.
struct Colleagues final : GroupReader {
  Result<GroupMembers> Members(std::string_view, std::size_t) override {
    GroupMembers out;
    out.members.resize(1);
    out.members[0].person.id = who;
    return out;
  }
  AccountId who;
};

PeopleConfig ExcludingAlice() {
  PeopleConfig config;
  config.role_groups = {"CN=Help Desk,OU=Groups,DC=corp,DC=example"};
  config.scopes.push_back({Role::kHelpDesk, {}, {{"alice"}, {}, {}}});
  return config;
}

}  // namespace

TEST_CASE(
    "requests for oneself and for colleagues are refused in the audit log too, others hidden") {
  Desk desk;
  Colleagues groups;
  groups.who = desk.Agent("mia").id;
  const auto people = MakePeopleService(desk.directory, groups, desk.clock, ExcludingAlice());
  desk.people = people.get();
  desk.Start();
  HelpDeskOpening opening = desk.Opening();
  const std::uint64_t before = desk.AuditHead();
  CHECK(desk.service->Open(desk.agent, opening).error().code == ErrorCode::kNotFound);
  CHECK(desk.AuditHead() == before);
  for (const AccountId& account : {desk.agent.id, groups.who}) {
    opening.account = account;
    CHECK(desk.service->Open(desk.agent, opening).error().code == ErrorCode::kPermissionDenied);
  }
  const auto rows = desk.store->AuditAfter(before, 10);
  REQUIRE(rows);
  REQUIRE(rows->size() == 2);
  CHECK(rows->at(0).entry.target == "agent");
  CHECK(rows->at(1).entry.target == "mia");
  for (const auto& row : *rows) CHECK(row.entry.action == "help_desk.open");
  CHECK_FALSE(desk.store->OpenHelpDeskOf(groups.who)->has_value());
}

TEST_CASE("whom the agent no longer reaches is not served any further, in whatever process") {
  for (const HelpDeskProcess process :
       {HelpDeskProcess::kReset, HelpDeskProcess::kUnlock, HelpDeskProcess::kMustChange}) {
    INFO(Name(process));
    Desk desk;
    Colleagues groups;
    const auto people = MakePeopleService(desk.directory, groups, desk.clock, ExcludingAlice());
    const HelpDeskId id = desk.In(State::kVerified, process);
    desk.people = people.get();
    desk.StartAgain();
    const std::uint64_t before = desk.AuditHead();
    const int writes = desk.directory.writes;
    CHECK(desk.Act(id).error().code == ErrorCode::kNotFound);
    CHECK(desk.Row(id).state == State::kVerified);
    CHECK(desk.Audited(before) == std::vector<std::string>{"reach not_found"});
    CHECK(desk.directory.writes == writes);
    CHECK(desk.service->Cancel(desk.agent, id, desk.At(id)));
  }
}

TEST_CASE("time: to the millisecond, and with a wall clock that jumps") {
  Desk desk;
  HelpDeskId id = desk.In(State::kVerified);
  const std::uint64_t before = desk.AuditHead();
  desk.clock.Jump(std::chrono::minutes(10) - std::chrono::milliseconds(1));
  CHECK(desk.service->Get(desk.agent, id)->request.state == State::kVerified);
  desk.clock.Jump(std::chrono::milliseconds(1));
  CHECK(IsMoved(desk.Act(id).error()));
  CHECK(desk.Row(id).state == State::kExpired);
  CHECK(desk.Audited(before) == std::vector<std::string>{"expired expired"});
  CHECK(desk.directory.writes == 0);

  // Back by an hour: a request does not live an hour longer for it.
  id = desk.In(State::kVerified);
  desk.clock.Jump(-std::chrono::hours(1));
  CHECK(IsMoved(desk.Act(id).error()));
  CHECK(desk.Row(id).state == State::kExpired);

  // What was carried out in time may be confirmed late.
  id = desk.In(State::kActed);
  desk.clock.Advance(std::chrono::hours(1));
  REQUIRE(desk.service->Confirm(desk.agent, id, desk.At(id)));
  CHECK(desk.Row(id).state == State::kDone);
  // … and does not keep the next agent waiting when it never is.
  id = desk.In(State::kActed);
  desk.clock.Advance(std::chrono::minutes(10));
  CHECK(desk.Opened() != id);
  CHECK(desk.Row(id).state == State::kDone);
}

TEST_CASE("what nobody looks at any more is closed, and audited, by the server's clock") {
  Desk desk;
  const HelpDeskId id = desk.In(State::kVerified);
  const std::uint64_t before = desk.AuditHead();
  desk.clock.Advance(std::chrono::minutes(10) - std::chrono::milliseconds(1));
  desk.service->CloseOverdue();
  CHECK(desk.Row(id).state == State::kVerified);
  desk.clock.Advance(std::chrono::milliseconds(1));
  desk.service->CloseOverdue();
  desk.service->CloseOverdue();
  CHECK(desk.Row(id).state == State::kExpired);
  CHECK(desk.Audited(before) == std::vector<std::string>{"expired expired"});
  // One that is being carried out is left alone until its server must be dead.
  const HelpDeskId acting = desk.In(State::kActing);
  desk.clock.Advance(std::chrono::minutes(14));
  desk.service->CloseOverdue();
  CHECK(desk.Row(acting).state == State::kActing);
  desk.clock.Advance(std::chrono::minutes(1));
  desk.service->CloseOverdue();
  CHECK(desk.Row(acting).state == State::kExpired);
  CHECK(desk.Row(acting).error.find("interrupted") != std::string::npos);
}

TEST_CASE("hostile reasons and tickets") {
  Desk desk;
  const std::vector<std::string> reasons = {"",
                                            "ab",
                                            std::string(301, 'x'),
                                            "two\nlines",
                                            "nul" + std::string(1, '\0') + "l",
                                            "esc\x1b[0m",
                                            "bad \xff utf-8",
                                            "c1 \xc2\x85 control"};
  for (const std::string& reason : reasons) {
    INFO(reason);
    CHECK(desk.service->Open(desk.agent, {desk.alice, reason, "INC-1"}).error().code ==
          ErrorCode::kInvalidArgument);
  }
  for (const char* ticket : {"", "INC 1", "INC-1\n", "<b>", "../'\"", "ä", "INC;1"}) {
    INFO(ticket);
    CHECK(desk.service->Open(desk.agent, {desk.alice, "forgot it", ticket}).error().code ==
          ErrorCode::kInvalidArgument);
  }
  CHECK(desk.service->Open(desk.agent, {desk.alice, "forgot it", std::string(41, '1')})
            .error()
            .code == ErrorCode::kInvalidArgument);
  CHECK_FALSE(desk.store->OpenHelpDeskOf(desk.alice)->has_value());
  CHECK(desk.service->Get(desk.agent, HelpDeskId{}).error().code == ErrorCode::kNotFound);
  const HelpDeskId id = desk.In(State::kVerifying);
  CHECK(desk.Verify(id, Desk::Told(std::string(300, 'x'))).error().code ==
        ErrorCode::kInvalidArgument);
  CHECK(desk.Verify(id, HelpDeskAnswer{}).error().code == ErrorCode::kInvalidArgument);
  CHECK(desk.service->Get(desk.agent, id)->offers.at(3).wrong == 0);
}

TEST_CASE("twenty at once: one wins each step, the others see where it stands") {
  Desk desk;
  constexpr int kThreads = 20;
  const auto race = [&](const std::function<Result<void>(int)>& step) {
    std::atomic<int> won{0}, moved{0}, other{0};
    std::atomic<bool> go{false};
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&, i] {
        while (!go) std::this_thread::yield();
        const auto done = step(i);
        ++(done ? won : IsMoved(done.error()) ? moved : other);
      });
    }
    go = true;
    for (std::thread& thread : threads) thread.join();
    CHECK(won == 1);
    CHECK(moved == kThreads - 1);
    CHECK(other == 0);
  };

  // Open: all of one agent get the same request; of several agents one has it.
  std::vector<Actor> agents;
  for (int i = 0; i < kThreads; ++i) agents.push_back(desk.Agent("agent" + std::to_string(i)));
  std::mutex mutex;
  std::set<HelpDeskId> ids;
  int refused = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      const auto opened =
          desk.service->Open(agents[static_cast<std::size_t>(i / 2)], desk.Opening());
      const std::lock_guard lock(mutex);
      if (opened) {
        ids.insert(opened->id);
      } else {
        ++refused;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  REQUIRE(ids.size() == 1);
  CHECK(refused == kThreads - 2);
  const HelpDeskId id = *ids.begin();
  for (const Actor& one : agents) {
    if (one.id == desk.Row(id).agent) desk.agent = one;
  }

  std::uint64_t at = desk.At(id);
  race([&](int) { return desk.service->Choose(desk.agent, id, at, HelpDeskProcess::kReset); });
  // Twenty guesses at once are one attempt, and one of them learns whether it was right.
  at = desk.At(id);
  race([&](int i) -> Result<void> {
    const auto right =
        desk.service->Verify(desk.agent, id, at, Desk::Told("E 40" + std::to_string(i)));
    if (!right) return tl::unexpected(right.error());
    return {};
  });
  CHECK(desk.service->Get(desk.agent, id)->offers.at(3).wrong == 1);
  at = desk.At(id);
  race([&](int) { return desk.service->SendCode(desk.agent, id, at); });
  CHECK(desk.box.recipients.size() == 1);
  at = desk.At(id);
  const std::string code = desk.box.Code();
  race([&](int) -> Result<void> {
    const auto right = desk.service->Verify(desk.agent, id, at, Desk::Coded(code));
    if (!right) return tl::unexpected(right.error());
    return {};
  });
  REQUIRE(desk.Verify(id, Desk::Seen()).value());
  at = desk.At(id);
  race([&](int) -> Result<void> {
    const auto acted = desk.service->Act(desk.agent, id, at);
    if (!acted) return tl::unexpected(acted.error());
    return {};
  });
  CHECK(desk.directory.writes == 1);
  at = desk.At(id);
  race([&](int) { return desk.service->Confirm(desk.agent, id, at); });
  CHECK(desk.Row(id).state == State::kDone);
  CHECK(desk.audit->Verify());
}
