// One change to several password sources: each answer and each crash, at each of them.
#include <catch2/catch.hpp>

#include "office.h"
#include "server/core/audit_entry.h"

using namespace keyferry;
using namespace keyferry::server;
using namespace keyferry::server::testing;

namespace {

// An office with a second directory, in which Alice has an account as well.
struct Linked : Office {
  explicit Linked(ChangeConfig config = {}, bool preset = false) : Office(config) {
    there = lab.Add("alice");
    lab.Add("boss");
    sources = {{"Lab", "openldap", PersonKey::kLogin, preset, &lab}};
    Reboot();
    desk->Forget();
  }
  ChangeRequest To(const std::string& idempotency_key, std::vector<std::string> names = {"Lab"}) {
    ChangeRequest request = Request(alice, idempotency_key);
    request.sources = std::move(names);
    return request;
  }
  Result<ChangeView> ChangeBoth(const std::string& idempotency_key) {
    return changes->Start(admin, To(idempotency_key));
  }
  std::string LabPassword() { return lab.At(there).password; }
  SourceView Source() {
    const ChangeView view = Newest(alice);
    REQUIRE(view.sources.size() == 1);
    return view.sources.front();
  }
  void Settle() {
    changes->Reconcile();
    clock.Advance(std::chrono::seconds(61));
    changes->Reconcile();
  }
  // What the audit log has of the lab, newest first: "action outcome".
  std::vector<std::string> Audited() {
    std::vector<std::string> out;
    const auto rows = store->AuditBefore(0, 100);
    REQUIRE(rows);
    for (const auto& row : *rows) {
      if (row.entry.detail.find("\"Lab\"") == std::string::npos) continue;
      out.push_back(row.entry.action + " " + row.entry.outcome);
    }
    return out;
  }

  FakeDirectory lab;
  AccountId there;
};

}  // namespace

TEST_CASE(
    "an employee's own change goes to their accounts there; an agent's never to the agent's") {
  ChangeConfig config;
  config.own_per_day = 3;
  Linked office(config);
  Actor self = office.admin;
  self.id = office.alice;
  self.login = "alice";
  self.roles = Role::kEmployee;
  REQUIRE(office.changes->Start(self, office.To("request-0001")));
  CHECK(office.LabPassword() == office.AdPassword());
  const std::string before = office.LabPassword();
  // Somebody whose login there is that of whom it is about.
  Actor namesake = office.admin;
  namesake.login = "alice";
  CHECK(office.changes->Start(namesake, office.To("request-0002")).error().code ==
        ErrorCode::kPermissionDenied);
  CHECK(office.LabPassword() == before);
}

TEST_CASE("one change goes to both sources with one password, and to the key") {
  Linked office;
  const std::uint64_t before = office.store->Transactions();
  const auto view = office.ChangeBoth("request-0001");
  REQUIRE(view);
  CHECK(office.store->Transactions() - before == 4);
  CHECK(view->state == ChangeState::kConfirmed);
  REQUIRE(view->sources.size() == 1);
  CHECK(view->sources[0].name == "Lab");
  CHECK(view->sources[0].login == "alice");
  CHECK(view->sources[0].state == SourceState::kConfirmed);
  CHECK(view->sources[0].confirmed == office.clock.UnixMillis());
  CHECK(view->sources[0].error.empty());
  CHECK(office.LabPassword() == office.AdPassword());
  CHECK(office.LabPassword().size() == 24);
  CHECK(office.lab.writes == 1);
  CHECK(office.Audited() == std::vector<std::string>{"password.set ok", "password.attempt ok"});
  REQUIRE(office.Deliver(*office.desk, office.key));
  CHECK(office.key.password == office.LabPassword());

  // The same request again is answered, not carried out.
  const auto again = office.ChangeBoth("request-0001");
  REQUIRE(again);
  REQUIRE(again->sources.size() == 1);
  CHECK(again->sources[0].state == SourceState::kConfirmed);
  CHECK(office.lab.writes == 1);
  CHECK(office.changes->Start(office.admin, office.To("request-0001", {})).error().code ==
        ErrorCode::kConflict);
}

TEST_CASE("a change that names no linked source leaves it alone, and one that does not say too") {
  Linked office;
  REQUIRE(office.changes->Start(office.admin, office.To("request-0001", {})));
  REQUIRE(office.Deliver(*office.desk, office.key));
  REQUIRE(office.Change(office.alice, "request-0002"));
  CHECK(office.lab.writes == 0);
  CHECK(office.Newest(office.alice).sources.empty());
}

TEST_CASE("a preset source is taken where the person has an account") {
  Linked office({}, true);
  SECTION("there") {
    REQUIRE(office.Change(office.alice, "request-0001"));
    CHECK(office.LabPassword() == office.AdPassword());
  }
  SECTION("not there") {
    office.lab.At(office.there).detail.person.login = "somebody";
    REQUIRE(office.Change(office.alice, "request-0001"));
    CHECK(office.lab.writes == 0);
    CHECK(office.Newest(office.alice).sources.empty());
  }
}

TEST_CASE("what a source surely refused is not set there, and the rest is true") {
  Linked office;
  const std::string old = office.LabPassword();
  const auto [write, word] = GENERATE(table<Write, std::string>({
      {Write::kPolicy, "too short"},
      {Write::kRights, "may not reset"},
      {Write::kUnavailable, "cannot be reached"},
  }));
  office.lab.script = {write};
  const auto view = office.ChangeBoth("request-0001");
  REQUIRE(view);
  CHECK(view->state == ChangeState::kConfirmed);
  REQUIRE(view->sources.size() == 1);
  CHECK(view->sources[0].state == SourceState::kNotSet);
  CHECK_THAT(view->sources[0].error, Catch::Contains(word));
  CHECK_THAT(view->sources[0].error, Catch::Contains("set a new one for both"));
  CHECK(view->sources[0].confirmed == 0);
  CHECK(office.LabPassword() == old);
  CHECK(office.lab.writes == 1);
  REQUIRE(office.Deliver(*office.desk, office.key));
  CHECK(office.key.password == office.AdPassword());
  office.Settle();
  CHECK(office.Source().state == SourceState::kNotSet);
  CHECK(office.lab.writes == 1);
  // The next step works.
  REQUIRE(office.ChangeBoth("request-0002"));
  CHECK(office.LabPassword() == office.AdPassword());
}

TEST_CASE("a source whose answer is lost is decided by its own record") {
  Linked office;
  office.lab.metadata = GENERATE(true, false);
  const std::string old = office.LabPassword();
  SECTION("it took it, and says so at once") {
    office.lab.script = {Write::kLostThenApplied};
    REQUIRE(office.ChangeBoth("request-0001"));
    CHECK(office.Source().state == SourceState::kConfirmed);
    CHECK(office.LabPassword() == office.AdPassword());
  }
  SECTION("it took it later") {
    office.lab.script = {Write::kLostAndAppliedLate};
    REQUIRE(office.ChangeBoth("request-0001"));
    CHECK(office.Source().state == SourceState::kUnknown);
    CHECK_FALSE(office.Source().error.empty());
    office.lab.ApplyLate();
    office.changes->Reconcile();
    CHECK(office.Source().state == SourceState::kConfirmed);
  }
  SECTION("it did not") {
    office.lab.script = {Write::kLostThenNotApplied};
    REQUIRE(office.ChangeBoth("request-0001"));
    CHECK(office.Source().state == SourceState::kUnknown);
    // Too early to say, so nobody may begin another change.
    office.clock.Advance(std::chrono::seconds(30));
    office.changes->Reconcile();
    const auto other = office.ChangeBoth("request-0002");
    REQUIRE_FALSE(other);
    CHECK(other.error().code == ErrorCode::kConflict);
    office.clock.Advance(std::chrono::seconds(31));
    office.changes->Reconcile();
    CHECK(office.Source().state == SourceState::kNotSet);
    CHECK(office.LabPassword() == old);
  }
  SECTION("it is away, and a new change does not wait for it for ever") {
    office.lab.script = {Write::kLostThenApplied};
    office.lab.on_write = [&] { office.lab.down = true; };
    REQUIRE(office.ChangeBoth("request-0001"));
    REQUIRE(office.Deliver(*office.desk, office.key));
    office.Settle();
    CHECK(office.Source().state == SourceState::kUnknown);
    REQUIRE(office.changes->Start(office.admin, office.To("request-0002", {})));
    const auto history = office.changes->History(office.alice, 10).value();
    CHECK(history[1].sources.at(0).state == SourceState::kSuperseded);
  }
  CHECK(office.lab.writes == 1);
  CHECK(office.Newest(office.alice).state != ChangeState::kUnknown);
}

TEST_CASE("another tool's password at a source is never taken for ours") {
  Linked office;
  office.lab.script = {Write::kLostThenNotApplied};
  office.lab.on_write = [&] { office.lab.OtherTool(office.there, "Theirs-1"); };
  REQUIRE(office.ChangeBoth("request-0001"));
  CHECK(office.Source().state == SourceState::kUnknown);
  CHECK(office.lab.tries == 1);
  office.Settle();
  CHECK(office.Source().state == SourceState::kNotSet);
  CHECK(office.LabPassword() == "Theirs-1");
}

TEST_CASE("a crash at a linked source claims nothing and writes nothing twice") {
  Linked office;
  const std::string old = office.LabPassword();
  SECTION("before the request left") {
    office.lab.script = {Write::kCrashBefore};
    CHECK_THROWS_AS(office.ChangeBoth("request-0001"), Crash);
    office.Reboot();
    CHECK(office.Source().state == SourceState::kAttempt);
    office.changes->Reconcile();
    CHECK(office.Source().state == SourceState::kUnknown);
    office.Settle();
    CHECK(office.Source().state == SourceState::kNotSet);
    CHECK_THAT(office.Source().error, Catch::Contains("set a new one for both"));
    CHECK(office.LabPassword() == old);
  }
  SECTION("after the source took it") {
    office.lab.script = {Write::kCrashAfter};
    CHECK_THROWS_AS(office.ChangeBoth("request-0001"), Crash);
    office.Reboot();
    office.changes->Reconcile();
    CHECK(office.Source().state == SourceState::kConfirmed);
    CHECK(office.LabPassword() == office.AdPassword());
  }
  CHECK(office.lab.writes == 1);
  CHECK(office.Newest(office.alice).state == ChangeState::kConfirmed);
  REQUIRE(office.Deliver(*office.desk, office.key));
  CHECK(office.key.password == office.AdPassword());
}

TEST_CASE("a crash at the first directory leaves the linked ones alone, and says so") {
  Linked office;
  const std::string old = office.LabPassword();
  const bool applied = GENERATE(true, false);
  office.directory.script = {applied ? Write::kCrashAfter : Write::kCrashBefore};
  CHECK_THROWS_AS(office.ChangeBoth("request-0001"), Crash);
  office.Reboot();
  CHECK(office.Source().state == SourceState::kPlanned);
  SECTION("the reconciler finds it") { office.Settle(); }
  SECTION("the next change finds it") {
    office.changes->Reconcile();
    office.clock.Advance(std::chrono::seconds(61));
    REQUIRE(office.ChangeBoth("request-0002"));
    const auto history = office.changes->History(office.alice, 10).value();
    CHECK(history[1].sources.at(0).state == SourceState::kNotSet);
    CHECK(office.LabPassword() == office.AdPassword());
    return;
  }
  CHECK(office.Source().state == SourceState::kNotSet);
  CHECK_FALSE(office.Source().error.empty());
  CHECK(office.LabPassword() == old);
  CHECK(office.lab.writes == 0);
  CHECK(office.Newest(office.alice).state ==
        (applied ? ChangeState::kConfirmed : ChangeState::kFailed));
}

TEST_CASE("where the first directory refuses, or its answer is lost, no other is asked") {
  Linked office;
  const Write write = GENERATE(Write::kPolicy, Write::kUnavailable, Write::kLostThenNotApplied);
  office.directory.script = {write};
  REQUIRE_FALSE(office.ChangeBoth("request-0001"));
  CHECK(office.Source().state == SourceState::kNotSet);
  CHECK_THAT(office.Source().error, Catch::Contains("Not asked"));
  CHECK(office.lab.writes == 0);
  office.Settle();
  CHECK(office.lab.writes == 0);
}

TEST_CASE("a lost answer of the first that its record decides still reaches the linked ones") {
  Linked office;
  office.directory.script = {Write::kLostThenApplied};
  REQUIRE(office.ChangeBoth("request-0001"));
  CHECK(office.Source().state == SourceState::kConfirmed);
  CHECK(office.LabPassword() == office.AdPassword());
}

TEST_CASE("every source is asked before anything is written anywhere") {
  ChangeConfig config;
  config.allow_typing = true;
  Linked office(config);
  FakeDirectory::Entry& entry = office.lab.At(office.there);
  ChangeRequest request = office.To("request-0001");
  std::string word;
  SECTION("protected there") {
    entry.detail.state.is_protected = true;
    word = "protected";
  }
  SECTION("disabled there") {
    entry.detail.state.disabled = true;
    word = "disabled";
  }
  SECTION("without the right there") {
    office.lab.no_rights = true;
    word = "may not reset";
  }
  SECTION("too young there") {
    entry.detail.policy.min_age = 86400;
    entry.detail.policy.min_age_holds_resets = true;
    entry.detail.policy.source = "the lab's policy";
    entry.detail.state.password_last_set =
        (office.clock.UnixSeconds() - 60 + 11'644'473'600) * 10'000'000;
    word = "the lab's policy keeps a password";
  }
  SECTION("too short for the policy there") {
    entry.detail.policy.min_length = 40;
    request.generate = false;
    request.typed = SecureBytes::CopyOf(std::string_view("Thirty characters are not enough"));
    word = "at least 40";
  }
  SECTION("away") {
    office.lab.down = true;
    word = "cannot be reached";
  }
  SECTION("nobody there") {
    entry.detail.person.login = "somebody";
    word = "leave the source out";
  }
  SECTION("two of them") {
    office.lab.Add("alice");
    word = "Several accounts";
  }
  SECTION("one's own account there") {
    office.directory.At(office.alice).detail.person.login = "boss";
    word = "your own";
  }
  const auto view = office.changes->Start(office.admin, std::move(request));
  REQUIRE_FALSE(view);
  CHECK_THAT(view.error().message, Catch::Contains("\"Lab\"") && Catch::Contains(word));
  CHECK(office.directory.writes == 0);
  CHECK(office.lab.writes == 0);
  CHECK(office.changes->History(office.alice, 1).value().empty());
}

TEST_CASE("a generated password is as long as the strictest source asks") {
  Linked office;
  office.lab.At(office.there).detail.policy.min_length = 40;
  REQUIRE(office.ChangeBoth("request-0001"));
  CHECK(office.AdPassword().size() == 40);
  CHECK(office.LabPassword() == office.AdPassword());
}

TEST_CASE("a person is found by the attribute that the source names") {
  Linked office;
  office.sources[0].match = PersonKey::kMail;
  office.Reboot();
  office.lab.At(office.there).detail.person.login = "aj";
  office.lab.At(office.there).detail.person.mail = "alice@corp.example";
  auto check = office.changes->Check(office.admin, office.alice);
  REQUIRE(check);
  REQUIRE(check->sources.size() == 1);
  CHECK_THAT(check->sources[0].refusal, Catch::Contains("no account"));
  office.directory.At(office.alice).detail.person.mail = "alice@corp.example";
  check = office.changes->Check(office.admin, office.alice);
  REQUIRE(check);
  CHECK(check->sources[0].refusal.empty());
  CHECK(check->sources[0].login == "aj");
  REQUIRE(office.ChangeBoth("request-0001"));
  CHECK(office.Source().login == "aj");
  CHECK(office.LabPassword() == office.AdPassword());
}

TEST_CASE("unknown and repeated names are refused") {
  Linked office;
  const std::vector<std::string> names =
      GENERATE(std::vector<std::string>{"Attic"}, std::vector<std::string>{"Lab", "Lab"});
  const auto view = office.changes->Start(office.admin, office.To("request-0001", names));
  REQUIRE_FALSE(view);
  CHECK(view.error().code == ErrorCode::kInvalidArgument);
  CHECK(office.directory.writes == 0);
}

TEST_CASE("at delivery the linked sources follow when the key is prepared") {
  Linked office;
  ChangeRequest request = office.To("request-0001");
  request.mode = ChangeMode::kAtDelivery;
  REQUIRE(office.changes->Start(office.admin, std::move(request)));
  CHECK(office.Source().state == SourceState::kPlanned);
  SECTION("all goes well") {
    office.Proceed();
    office.changes->Reconcile();
    CHECK(office.Source().state == SourceState::kPlanned);
    office.Bring();  // the HOLD
    CHECK(office.Source().state == SourceState::kConfirmed);
    CHECK(office.LabPassword() == office.AdPassword());
    office.Bring();  // the COMMIT
    CHECK(office.key.password == office.LabPassword());
  }
  SECTION("a newer change takes its place") {
    REQUIRE(office.changes->Start(office.admin, office.To("request-0002", {})));
    const auto history = office.changes->History(office.alice, 10).value();
    CHECK(history[1].sources.at(0).state == SourceState::kNotSet);
    CHECK(office.lab.writes == 0);
  }
  SECTION("the source came to refuse it") {
    office.lab.At(office.there).detail.state.disabled = true;
    office.Proceed();
    CHECK(office.Newest(office.alice).state == ChangeState::kFailed);
    CHECK_THAT(office.Newest(office.alice).error, Catch::Contains("\"Lab\""));
    CHECK(office.Source().state == SourceState::kNotSet);
    CHECK(office.directory.writes == 0);
  }
  SECTION("the source is away for a while") {
    office.lab.down = true;
    office.Proceed();
    CHECK(office.Newest(office.alice).state == ChangeState::kIntent);
    office.lab.down = false;
    office.Proceed();
    office.Bring();
    CHECK(office.LabPassword() == office.AdPassword());
  }
  SECTION("the account there became another one") {
    office.lab.At(office.there).detail.person.login = "former";
    office.lab.Add("alice");
    office.Proceed();
    CHECK(office.Newest(office.alice).state == ChangeState::kFailed);
    CHECK(office.lab.writes == 0);
  }
}

TEST_CASE("the writes of two changes never cross at a source") {
  Linked office;
  Result<ChangeView> other = Fail(ErrorCode::kInternal, "not asked");
  office.lab.on_write = [&] {
    office.lab.on_write = nullptr;
    // While the first change writes to the lab, its key has the password already.
    other = office.ChangeBoth("request-0002");
  };
  REQUIRE(office.ChangeBoth("request-0001"));
  REQUIRE_FALSE(other);
  CHECK(other.error().code == ErrorCode::kConflict);
  CHECK(office.lab.writes == 1);
  CHECK(office.LabPassword() == office.AdPassword());
}

TEST_CASE("a source that is no longer configured is not claimed") {
  Linked office;
  office.lab.script = {Write::kCrashAfter};
  CHECK_THROWS_AS(office.ChangeBoth("request-0001"), Crash);
  office.sources.clear();
  office.Reboot();
  office.changes->Reconcile();
  CHECK(office.Source().state == SourceState::kSuperseded);
  CHECK_THAT(office.Source().error, Catch::Contains("no longer configured"));
}

TEST_CASE("after a restore no source of before is claimed") {
  Linked office;
  office.lab.script = {Write::kLostThenNotApplied};
  REQUIRE(office.ChangeBoth("request-0001"));
  office.store->BeginAnew({office.clock.UnixMillis(), 0, 0}, "Restored.",
                          AuditBySystem(office.clock, "server.restored", "", "ok", ""));
  CHECK(office.Source().state == SourceState::kSuperseded);
}
