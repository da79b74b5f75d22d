// What one person may not do alone (server/core/four_eyes.h).
#include <algorithm>
#include <atomic>
#include <functional>
#include <mutex>
#include <set>
#include <thread>

#include "four_eyes_rig.h"
#include "server/core/agent_alarm.h"

using namespace keyferry;
using namespace keyferry::server;
using namespace keyferry::server::testing;

TEST_CASE("a privileged person's password: asked, approved, set, each in the audit log, once") {
  Board board;
  const std::uint64_t before = board.AuditHead();
  const Approval row = board.Asked();
  CHECK(board.directory.writes == 0);
  CHECK(board.changes->History(board.alice, 10)->empty());
  CHECK(board.Asked().id == row.id);  // asking again asks for nothing new
  const auto list = board.eyes->List(board.second);
  REQUIRE(list->size() == 1);
  CHECK(list->front().may_decide);
  CHECK_FALSE(board.eyes->Get(board.admin, row.id)->may_decide);
  CHECK(row.facts == ApprovalFacts{{"mode", "now"}, {"must_change", "false"}, {"unlock", "true"}});

  REQUIRE(board.Decide(board.second, row));
  CHECK(board.directory.writes == 0);
  REQUIRE(board.Set("carried out"));
  CHECK(board.directory.writes == 1);
  CHECK(board.Row(row.id).state == ApprovalState::kUsed);
  CHECK(board.Log(before) == Lines{"approval.ask ok", "approval.approve ok", "approval.use ok",
                                   "password.attempt ok", "password.set ok"});
  // Once: the same again has to be asked for again, but a repeated request is only answered.
  REQUIRE(board.Set("carried out"));
  const auto again = board.Set("again");
  CHECK(ApprovalNeeded(again.error()));
  CHECK(board.directory.writes == 1);
  const auto check = board.changes->Check(board.admin, board.alice);
  CHECK(check->allowed);
  CHECK_FALSE(check->second_person.empty());
}

TEST_CASE("others need nobody else") {
  Board board(Eyes(), false);
  REQUIRE(board.Set("plain"));
  CHECK(board.eyes->List(board.second)->empty());
  CHECK(board.changes->Check(board.admin, board.alice)->second_person.empty());
  Board off([] {
    FourEyesConfig config = Eyes();
    config.on = false;
    return config;
  }());
  REQUIRE(off.Set("switched off"));
}

TEST_CASE("nobody approves what they asked for, what is about them, or what they may not do") {
  Board board;
  const Approval row = board.Asked();
  const std::uint64_t before = board.AuditHead();
  Person& boss = board.directory.At(board.admin.id).detail.person;
  Person& other = board.directory.At(board.second.id).detail.person;
  Actor actor = board.second;
  SECTION("self") { actor = board.admin; }
  SECTION("the person themselves") { actor.id = board.alice; }
  SECTION("alias: the same employee number") {
    boss.employee_id = "E 0815";
    other.employee_id = " e 0815";
  }
  SECTION("alias: the same mail address") {
    boss.mail = "Boss@corp.example";
    other.mail = "boss@corp.example";
  }
  SECTION("alias of the person") { other.mail = "alice@corp.example"; }
  SECTION("a role that sets no passwords") { actor.roles = Role::kKeyOfficer; }
  SECTION("no role at all") { actor.roles = Role::kAuditor; }
  SECTION("a token of the console") { actor.id = {}; }
  for (const bool approve : {true, false}) {
    const auto decided = board.Decide(actor, row, approve);
    REQUIRE_FALSE(decided);
    CHECK(decided.error().code == ErrorCode::kPermissionDenied);
  }
  CHECK(board.Row(row.id).state == ApprovalState::kOpen);
  CHECK_FALSE(board.Set("still"));
  CHECK(board.directory.writes == 0);
  const Lines log = board.Log(before);
  if (May(actor.roles, Right::kApprovalsWrite)) {
    CHECK(log == Lines{"approval.approve denied", "approval.refuse denied"});
  }
}

TEST_CASE("two accounts that lead to one account of a linked source are one person") {
  Board board;
  FakeDirectory lab;
  const AccountId there = lab.Add("boss");
  lab.At(there).detail.person.employee_id = "7";
  board.directory.At(board.admin.id).detail.person.employee_id = "7";
  board.directory.At(board.second.id).detail.person.employee_id = "8";
  LinkedSource source;
  source.name = "lab";
  source.match = PersonKey::kEmployeeId;
  source.directory = &lab;
  board.sources = {source};
  board.StartAgain();
  Approval row = board.Asked();
  CHECK(board.Decide(board.second, row));
  REQUIRE(board.eyes->Withdraw(board.admin, row.id));
  // A directory over there that finds people by more than one value.
  struct Wide final : Directory {
    explicit Wide(FakeDirectory& inner) : of(inner) {}
    Result<std::vector<Person>> FindBy(PersonKey, std::string_view) override {
      return of.FindBy(PersonKey::kEmployeeId, "7");
    }
    Result<PersonPage> Search(std::string_view, std::size_t, std::string_view) override {
      return PersonPage();
    }
    Result<PersonDetail> Get(const AccountId& id) override { return of.Get(id); }
    Result<SignInFacts> SignIn(std::string_view name, const SecureBytes& password) override {
      return of.SignIn(name, password);
    }
    Result<std::vector<std::string>> GroupsOf(const AccountId& id) override {
      return of.GroupsOf(id);
    }
    Result<ChangeTarget> Pin(const AccountId& id, const AccountId& actor) override {
      return of.Pin(id, actor);
    }
    Result<void> SetPassword(const ChangeTarget& target, const AccountId& id,
                             const SecureBytes& password, SetOptions options) override {
      return of.SetPassword(target, id, password, options);
    }
    Result<PasswordStamp> Stamp(const ChangeTarget& target, const AccountId& id) override {
      return of.Stamp(target, id);
    }
    Result<BindOutcome> TryPassword(const ChangeTarget& target, const AccountId& id,
                                    const SecureBytes& password) override {
      return of.TryPassword(target, id, password);
    }
    Result<void> Unlock(const AccountId&, const AccountId&) override { return {}; }
    Result<void> RequireChange(const AccountId&, const AccountId&, bool) override { return {}; }
    Result<void> Ping() override { return {}; }
    FakeDirectory& of;
  } wide(lab);
  board.sources[0].directory = &wide;
  board.StartAgain();
  row = board.Asked();
  CHECK(board.Decide(board.second, row).error().code == ErrorCode::kPermissionDenied);
}

TEST_CASE("who is out of the approver's scope is not there; a colleague is an administrator's") {
  struct NoGroups final : GroupReader {
    Result<GroupMembers> Members(std::string_view, std::size_t) override { return GroupMembers(); }
  } groups;
  Board board;
  PeopleConfig config;
  config.scopes.push_back({Role::kHelpDesk, {}, {{"alice"}, {}, {}}});
  const auto people = MakePeopleService(board.directory, groups, board.clock, config);
  board.people = people.get();
  board.StartAgain();
  const Approval row = board.Asked();
  CHECK(board.eyes->List(board.agent)->empty());
  CHECK(board.Decide(board.agent, row).error().code == ErrorCode::kNotFound);
  CHECK(board.eyes->Withdraw(board.agent, row.id).error().code == ErrorCode::kNotFound);
  CHECK(board.eyes->List(board.second)->size() == 1);
}

TEST_CASE("out of time: not approved, and what was approved not carried out") {
  Board board;
  const Approval row = board.Asked();
  SECTION("to the millisecond") {
    board.Later(3600);
    CHECK(board.Decide(board.second, row).error().code == ErrorCode::kConflict);
  }
  SECTION("just in time") {
    board.Later(3599);
    REQUIRE(board.Decide(board.second, row));
    board.Later(1);
  }
  SECTION("after its end was noticed") {
    board.Later(3600);
    board.eyes->CloseOverdue();
    CHECK(board.Row(row.id).state == ApprovalState::kExpired);
    CHECK(board.Decide(board.second, row).error().code == ErrorCode::kConflict);
  }
  CHECK(board.eyes->Get(board.second, row.id)->row.state == ApprovalState::kExpired);
  const auto again = board.Set("late");
  REQUIRE(ApprovalNeeded(again.error()));
  CHECK(*ApprovalNeeded(again.error()) != row.id);
  CHECK(board.directory.writes == 0);
}

TEST_CASE("altered: an approval is for exactly what was asked") {
  Board board;
  const Approval row = board.Approved();
  const auto altered = board.Set("altered", [&](ChangeRequest& request) {
    const int which = GENERATE(0, 1, 2, 3);
    if (which == 0) request.must_change = true;
    if (which == 1) request.unlock = false;
    if (which == 2) request.mode = ChangeMode::kAtDelivery;
    if (which == 3) request.reason = "something else";
  });
  REQUIRE(ApprovalNeeded(altered.error()));
  CHECK(*ApprovalNeeded(altered.error()) != row.id);
  CHECK(board.Row(row.id).state == ApprovalState::kWithdrawn);
  CHECK_FALSE(board.Set("as asked"));
  CHECK(board.directory.writes == 0);
}

TEST_CASE("altered: by somebody else, for somebody else, or not what was looked at") {
  Board board;
  const Approval row = board.Asked();
  Hash32 hash = row.hash;
  hash[0] ^= 1;
  CHECK(board.eyes->Decide(board.second, row.id, hash, true, "she called me").error().code ==
        ErrorCode::kConflict);
  CHECK(board.eyes->Decide(board.second, row.id, row.hash, true, "").error().code ==
        ErrorCode::kInvalidArgument);
  REQUIRE(board.Decide(board.second, row));
  // Another person's approval is no good to a third one, and a typed password nobody can approve.
  const Actor third = board.Admin("third");
  CHECK(ApprovalNeeded(
      board.changes->Start(third, board.Request(board.alice, "request-third")).error()));
  board.change_config.allow_typing = true;
  board.StartAgain();
  const auto typed = board.Set("typed", [](ChangeRequest& request) {
    request.generate = false;
    request.typed = SecureBytes::CopyOf(std::string_view("Correct-Horse-Battery-9"));
  });
  REQUIRE_FALSE(typed);
  CHECK_FALSE(board.changes->Check(board.admin, board.alice)->typing_allowed);
  CHECK_FALSE(ApprovalNeeded(typed.error()));
  CHECK(board.directory.writes == 0);
  REQUIRE(board.Set("as asked"));
}

TEST_CASE("altered: in the database, before it was approved and after") {
  Board board;
  const bool approved = GENERATE(false, true);
  const Approval row = approved ? board.Approved() : board.Asked();
  const std::string sql =
      GENERATE(as<std::string>(),
               "UPDATE approvals SET facts = 'mode=now\nmust_change=false\nunlock=false\n'",
               "UPDATE approvals SET reason = 'another'", "UPDATE approvals SET action = 'unlock'");
  board.service.reset();
  board.outbox.reset();
  board.Tamper(sql);
  board.Start();
  if (approved) {
    CHECK_FALSE(board.Set("used"));
  } else {
    CHECK(board.Decide(board.second, row).error().code == ErrorCode::kConflict);
  }
  CHECK_FALSE(board.Set("again"));
  CHECK(board.directory.writes == 0);
}

TEST_CASE("an approval in the database that nobody but the asker made is void") {
  Board board;
  const Approval row = board.Asked();
  board.service.reset();
  board.outbox.reset();
  board.Tamper("UPDATE approvals SET state = 'approved', approver_id = asker_id");
  board.Start();
  CHECK_FALSE(board.Set("forged"));
  CHECK(board.Row(row.id).state == ApprovalState::kWithdrawn);
  CHECK(board.directory.writes == 0);
}

TEST_CASE("an approval of somebody who may no longer give one is void") {
  Board board;
  const Approval row = board.Approved();
  SECTION("out of the group") { board.directory.At(board.second.id).groups.clear(); }
  SECTION("disabled") { board.directory.At(board.second.id).detail.state.disabled = true; }
  const auto refused = board.Set("used");
  REQUIRE_FALSE(refused);
  CHECK_FALSE(ApprovalNeeded(refused.error()));
  CHECK(board.Row(row.id).state == ApprovalState::kWithdrawn);
  CHECK(board.directory.writes == 0);
}

TEST_CASE("a directory that cannot be asked leaves everything as it is") {
  Board board;
  const Approval row = board.Asked();
  board.directory.down = true;
  CHECK(board.Decide(board.second, row).error().code == ErrorCode::kUnavailable);
  CHECK(board.Set("down").error().code == ErrorCode::kUnavailable);
  board.directory.down = false;
  CHECK(board.Row(row.id).state == ApprovalState::kOpen);
  REQUIRE(board.Decide(board.second, row));
  board.StartAgain();  // an approval outlives the server
  CHECK(board.Set("up"));
}

TEST_CASE("refused or withdrawn is over; it can be asked for again") {
  Board board;
  const Approval row = board.Asked();
  CHECK(board.eyes->Withdraw(board.second, row.id).error().code == ErrorCode::kPermissionDenied);
  if (GENERATE(true, false)) {
    REQUIRE(board.Decide(board.second, row, false));
    CHECK(board.Row(row.id).answer == "she called me");
  } else {
    REQUIRE(board.eyes->Withdraw(board.admin, row.id));
  }
  CHECK(board.Decide(board.second, row).error().code == ErrorCode::kConflict);
  CHECK(board.eyes->Withdraw(board.admin, row.id).error().code == ErrorCode::kConflict);
  const auto again = board.Set("again");
  CHECK(*ApprovalNeeded(again.error()) != row.id);
  CHECK(board.directory.writes == 0);
}

TEST_CASE("raced: of fifty decisions one counts, and of fifty uses one is carried out") {
  Board board;
  constexpr int kThreads = 50;
  const auto race = [&](const std::function<bool(int)>& step) {
    std::atomic<int> won{0};
    std::atomic<bool> go{false};
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&, i] {
        while (!go) std::this_thread::yield();
        if (step(i)) ++won;
      });
    }
    go = true;
    for (std::thread& thread : threads) thread.join();
    return won.load();
  };
  std::mutex mutex;
  std::set<std::string> asked;
  CHECK(race([&](int i) {
          const auto refused = board.Set("race" + std::to_string(i));
          const std::lock_guard lock(mutex);
          if (!refused) asked.insert(refused.error().detail);
          return refused.has_value();
        }) == 0);
  REQUIRE(asked.size() == 1);
  const Approval row = board.Asked();
  std::vector<Actor> admins;
  for (int i = 0; i < kThreads; ++i) admins.push_back(board.Admin("admin" + std::to_string(i)));
  CHECK(race([&](int i) {
          return board.Decide(admins[static_cast<std::size_t>(i)], row, i % 2 == 0).has_value();
        }) == 1);
  if (board.Row(row.id).state == ApprovalState::kRefused) {
    REQUIRE(board.Decide(board.second, board.Asked()));
  }
  CHECK(race([&](int i) { return board.Set("use" + std::to_string(i)).has_value(); }) == 1);
  CHECK(board.directory.writes == 1);
}

TEST_CASE("a password with a further key within a day needs two persons, either way round") {
  Board board(Eyes(), false);
  TestKey spare(board.maker);
  auto desk = board.AddWorkstation("desk-2");
  const auto enrol = [&] {
    return board.keys->BeginEnrolment(board.admin, board.alice, DeviceId{spare.device_id}, desk->id,
                                      std::nullopt);
  };
  REQUIRE(board.Sees(*desk, {&spare}, 0));
  SECTION("password, then key") {
    REQUIRE(board.Set("first"));  // the first key is a day's work with the first password
    auto begun = enrol();
    REQUIRE_FALSE(begun);
    const auto id = ApprovalNeeded(begun.error());
    REQUIRE(id);
    CHECK(board.Row(*id).action == GuardedAction::kKey);
    CHECK(board.store->OpenEnrolments(board.clock.UnixMillis())->empty());
    REQUIRE(board.Decide(board.second, board.Row(*id)));
    REQUIRE(enrol());
    CHECK(board.Row(*id).state == ApprovalState::kUsed);
    // … and the password for that key needs its own.
    CHECK(ApprovalNeeded(board.Set("second").error()));
    board.Later(86'401);
    const auto later = board.Set("a day later");
    CHECK((later || !ApprovalNeeded(later.error())));
  }
  SECTION("key, then password") {
    REQUIRE(enrol());
    CHECK(ApprovalNeeded(board.Set("first").error()));
    CHECK(board.directory.writes == 0);
  }
  SECTION("a day later") {
    REQUIRE(board.Set("first"));
    board.Later(86'401);
    CHECK(enrol());
  }
}

TEST_CASE("at the help desk the request waits for the second person, with time enough") {
  Board board;
  const auto process =
      GENERATE(HelpDeskProcess::kReset, HelpDeskProcess::kUnlock, HelpDeskProcess::kMustChange);
  INFO(Name(process));
  const HelpDeskId id = board.In(HelpDeskState::kVerified, process);
  const auto refused = board.Act(id);
  REQUIRE_FALSE(refused);
  const auto approval = ApprovalNeeded(refused.error());
  REQUIRE(approval);
  CHECK(board.Desk::Row(id).state == HelpDeskState::kVerified);
  CHECK(board.Desk::Row(id).expires == board.Row(*approval).expires);
  CHECK(board.directory.writes + board.directory.unlocks + board.directory.requires_change == 0);
  board.Later(1800);
  board.service->CloseOverdue();
  CHECK_FALSE(board.Act(id));
  REQUIRE(board.Decide(board.second, board.Row(*approval)));
  REQUIRE(board.Act(id));
  CHECK(board.Desk::Row(id).state == HelpDeskState::kActed);
  CHECK(board.Row(*approval).state == ApprovalState::kUsed);
  CHECK(board.directory.writes + board.directory.unlocks + board.directory.requires_change == 1);
}

TEST_CASE("one agent's resets in an hour are counted, refused beyond, audited, and told once") {
  FourEyesConfig config = Eyes();
  config.resets_per_hour = 3;
  Board board(config, false);
  std::vector<std::string> told;
  board.eyes->OnLimit([&](const Actor& actor, std::uint32_t resets) {
    told.push_back(actor.login + " " + std::to_string(resets));
  });
  const auto set = [&](const Actor& actor, int i) {
    return board.changes->Start(actor, board.Request(board.alice, "request-" + std::to_string(i)));
  };
  for (int i = 0; i < 3; ++i) {
    REQUIRE(set(board.agent, i));
    REQUIRE(board.Bring().kind == ReceiptVerdict::kStored);
  }
  const std::uint64_t before = board.AuditHead();
  for (int i = 3; i < 6; ++i) {
    const auto refused = set(board.agent, i);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == ErrorCode::kRateLimited);
  }
  CHECK(board.directory.writes == 3);
  CHECK(board.Log(before) == Lines(3, "agent.limit rate_limited"));
  CHECK(told == Lines{"agent 3"});
  // A repeated request is answered; administrators and colleagues go on.
  CHECK(set(board.agent, 0));
  CHECK(set(board.admin, 7));
  REQUIRE(board.Bring().kind == ReceiptVerdict::kStored);
  CHECK(set(board.Agent("colleague"), 8));
  REQUIRE(board.Bring().kind == ReceiptVerdict::kStored);
  board.Later(3601);
  CHECK(set(board.agent, 9));
}

TEST_CASE("unlocks count as resets, and the help desk's request says why it stopped") {
  FourEyesConfig config = Eyes();
  config.resets_per_hour = 1;
  Board board(config, false);
  board.In(HelpDeskState::kDone, HelpDeskProcess::kUnlock);
  const HelpDeskId id = board.In(HelpDeskState::kVerified, HelpDeskProcess::kMustChange);
  CHECK(board.Act(id).error().code == ErrorCode::kRateLimited);
  CHECK(board.Desk::Row(id).state == HelpDeskState::kVerified);
  CHECK(board.directory.requires_change == 0);
}

TEST_CASE("the administrators get a mail, once an hour and agent, whatever the number of servers") {
  struct Admins final : GroupReader {
    Result<GroupMembers> Members(std::string_view group, std::size_t) override {
      if (group != kAdmins) return Fail(ErrorCode::kNotFound, "There is no such group.");
      GroupMembers out;
      for (const char* mail : {"boss@corp.example", "", "second@corp.example"}) {
        GroupMember member;
        OsRandom().Fill(member.person.id.bytes);
        if (out.members.size() == 2) member.person.id = second;
        if (out.members.empty()) member.person.id = boss;
        member.person.mail = mail;
        out.members.push_back(member);
      }
      return out;
    }
    AccountId boss, second;
  } groups;
  Board board;
  groups.boss = board.admin.id;
  groups.second = board.second.id;
  board.templates.agent_limit =
      *MailTemplate::Parse("Subject: {{agent}} at the limit\n\n{{name}} {{login}} {{resets}}\n",
                           {"name", "agent", "login", "resets"});
  std::vector<std::string> lines;
  const AgentAlarmPorts ports{groups, *board.outbox, board.templates, board.clock,
                              [&](std::string_view line) { lines.emplace_back(line); }};
  const auto one = MakeAgentAlarm(ports, {kAdmins, "CN=Gone,DC=corp,DC=example"}, {});
  const auto other = MakeAgentAlarm(ports, {kAdmins}, {"Boss@corp.example", "soc@corp.example"});
  one(board.agent, 20);
  other(board.agent, 20);
  board.outbox->Tick();
  CHECK(board.box.recipients ==
        Lines{"boss@corp.example", "second@corp.example", "soc@corp.example"});
  CHECK(board.box.texts.at(0).find("agent 20") != std::string::npos);
  CHECK(lines.size() == 1);  // the group that is gone
  one(board.Agent("colleague"), 20);
  board.Later(3600);
  one(board.agent, 20);
  board.outbox->Tick();
  CHECK(board.box.recipients.size() == 7);
}

TEST_CASE("raced: agents at the limit get no further by asking at once") {
  FourEyesConfig config = Eyes();
  config.resets_per_hour = 2;
  Board board(config, false);
  // Past the first look, as requests on several servers are: each transaction counts anew.
  std::vector<std::thread> threads;
  std::atomic<int> begun{0}, limited{0};
  for (int i = 0; i < 20; ++i) {
    threads.emplace_back([&, i] {
      ChangeRecord change;
      change.id.bytes.fill(static_cast<std::uint8_t>(i + 1));
      change.account.bytes.fill(static_cast<std::uint8_t>(i + 1));
      change.actor = board.agent.id;
      change.idempotency_key = "race-" + std::to_string(i);
      change.mode = ChangeMode::kAtDelivery;
      change.created = board.clock.UnixMillis();
      Precondition only_if;
      only_if.quota = {board.agent.id, 2, change.created - 1000};
      const auto done = board.store->BeginWaiting(change, {}, only_if);
      ++(done ? begun : limited);
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(begun == 2);
  CHECK(limited == 18);
}
