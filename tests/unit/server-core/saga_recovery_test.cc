// What becomes of a change whose answer is lost, or whose server dies: evidence, crashes, repair.
#include <catch2/catch.hpp>

#include "office.h"
#include "server/core/audit_entry.h"
#include "server/core/saga.h"

using namespace keyferry;
using namespace keyferry::server;
using namespace keyferry::server::testing;

namespace {

void Wait(Company& company, std::chrono::seconds time) { company.clock.Advance(time); }

}  // namespace

TEST_CASE("a lost answer is decided by the directory's record") {
  Office office;
  office.directory.script = {Write::kLostThenApplied};
  const auto view = office.Change(office.alice, "request-0001");
  REQUIRE(view);
  CHECK(view->state == ChangeState::kConfirmed);
  REQUIRE(office.Deliver(*office.desk, office.key));
  CHECK(office.key.password == office.AdPassword());
  CHECK(office.directory.writes == 1);
}

TEST_CASE("an outcome that nobody knows is not claimed, and settles after the socket died") {
  Office office;
  const bool applied_late = GENERATE(true, false);
  office.directory.script = {applied_late ? Write::kLostAndAppliedLate
                                          : Write::kLostThenNotApplied};
  const std::string before = office.AdPassword();
  const auto view = office.Change(office.alice, "request-0001");
  REQUIRE_FALSE(view);
  CHECK(view.error().code == ErrorCode::kOutcomeUnknown);
  CHECK(office.Newest(office.alice).state == ChangeState::kUnknown);
  CHECK(office.desk->Named("job").empty());

  // Too early to say no, however far the wall clock jumps.
  office.clock.Jump(std::chrono::hours(5));
  Wait(office, std::chrono::seconds(30));
  office.changes->Reconcile();
  CHECK(office.Newest(office.alice).state == ChangeState::kUnknown);
  // Nor may anybody begin another change meanwhile.
  const auto other = office.Change(office.alice, "request-0002");
  REQUIRE_FALSE(other);
  CHECK(other.error().code == ErrorCode::kConflict);

  if (applied_late) office.directory.ApplyLate();
  Wait(office, std::chrono::seconds(31));
  office.changes->Reconcile();
  if (applied_late) {
    CHECK(office.Newest(office.alice).state == ChangeState::kConfirmed);
    REQUIRE(office.Deliver(*office.desk, office.key));
    CHECK(office.key.password == office.AdPassword());
  } else {
    CHECK(office.Newest(office.alice).state == ChangeState::kFailed);
    CHECK(office.Newest(office.alice).job_state == JobState::kCancelled);
    CHECK(office.AdPassword() == before);
  }
  CHECK(office.Change(office.alice, "request-0003"));
}

TEST_CASE(
    "what the directory takes of a change that another server has settled meanwhile is told as it "
    "is") {
  Office office;
  SECTION("it had given the change up: no key has the password, until the next one") {
    const ChangeState closed = GENERATE(ChangeState::kFailed, ChangeState::kSuperseded);
    const Write written =
        GENERATE(Write::kApply, Write::kLostThenApplied, Write::kLostAndAppliedLate);
    office.directory.script = {written};
    const std::string late =
        written == Write::kLostAndAppliedLate ? kPerhapsLateReason : kLateReason;
    office.directory.on_write = [&] {
      REQUIRE(office.store->CloseChange(office.Newest(office.alice).id, ChangeStore::From::kAny,
                                        closed, {ErrorCode::kUnavailable, "Given up.", {}, 0}, {}));
    };
    const auto view = office.Change(office.alice, "request-0001");
    office.directory.on_write = nullptr;
    REQUIRE_FALSE(view);
    CHECK(view.error().code == ErrorCode::kConflict);
    CHECK(view.error().message == late);
    if (written == Write::kLostAndAppliedLate) office.directory.ApplyLate();
    const ChangeView told = office.Newest(office.alice);
    CHECK(told.state == closed);
    CHECK(told.error == late);
    CHECK(told.incident);
    CHECK(told.job_state == JobState::kCancelled);
    CHECK(office.desk->Named("job").empty());
    const auto entry = office.audit->List(0, 1).value().front();
    CHECK(entry.action == "password.set");
    CHECK(entry.outcome == OutcomeName(ErrorCode::kConflict));
    // Asked again, it is still no success.
    const auto again = office.Change(office.alice, "request-0001");
    CHECK((!again || (again->state == ChangeState::kSuperseded && again->incident)));
    CHECK(office.directory.writes == 1);

    REQUIRE(office.Change(office.alice, "request-0002"));
    CHECK_FALSE(office.Newest(office.alice).incident);
    REQUIRE(office.Deliver(*office.desk, office.key));
    CHECK(office.key.password == office.AdPassword());
  }
  SECTION("it had given the change up, and the database fails when that is to be told") {
    office.directory.on_write = [&] {
      REQUIRE(office.store->CloseChange(office.Newest(office.alice).id, ChangeStore::From::kAny,
                                        ChangeState::kFailed,
                                        {ErrorCode::kUnavailable, "Given up.", {}, 0}, {}));
      office.database.Run("ALTER TABLE audit RENAME TO audit_away");
    };
    const auto view = office.Change(office.alice, "request-0001");
    office.directory.on_write = nullptr;
    REQUIRE_FALSE(view);
    CHECK(view.error().message == kLateReason);
    office.changes->Reconcile();
    CHECK_FALSE(office.Newest(office.alice).incident);
    office.database.Run("ALTER TABLE audit_away RENAME TO audit");
    office.changes->Reconcile();
    CHECK(office.Newest(office.alice).incident);
    CHECK(office.Newest(office.alice).error == kLateReason);
    const auto entries = office.audit->List(0, 1).value().front().number;
    office.changes->Reconcile();  // once is enough
    CHECK(office.audit->List(0, 1).value().front().number == entries);
  }
  SECTION("it had found the directory's record: the change is as good as any") {
    office.directory.on_write = [&] {
      REQUIRE(office.store->ConfirmChange(office.Newest(office.alice).id, office.alice, nullptr,
                                          office.clock.UnixMillis(),
                                          [](const DeviceId&) { return false; }, {}));
    };
    const auto view = office.Change(office.alice, "request-0001");
    REQUIRE(view);
    CHECK(view->state == ChangeState::kConfirmed);
    CHECK_FALSE(view->incident);
  }
}

TEST_CASE("an unknown outcome stays unknown while the directory is down") {
  Office office;
  office.directory.script = {Write::kLostThenApplied};
  office.directory.on_write = [&] { office.directory.down = true; };
  REQUIRE_FALSE(office.Change(office.alice, "request-0001"));
  Wait(office, std::chrono::hours(2));
  office.changes->Reconcile();
  CHECK(office.Newest(office.alice).state == ChangeState::kUnknown);
  office.directory.on_write = nullptr;
  office.directory.down = false;
  office.changes->Reconcile();
  CHECK(office.Newest(office.alice).state == ChangeState::kConfirmed);
  REQUIRE(office.Deliver(*office.desk, office.key));
  CHECK(office.key.password == office.AdPassword());
}

TEST_CASE(
    "must-change is evidence too, and what can never be known is superseded by a new change") {
  Office office;
  auto request = office.Request(office.alice, "request-0001");
  request.must_change = true;
  SECTION("pwdLastSet went to zero") {
    office.directory.script = {Write::kLostThenApplied};
    CHECK(office.changes->Start(office.admin, std::move(request)));
  }
  SECTION("it was zero before, and there is no other evidence") {
    office.directory.metadata = false;
    office.directory.no_binds = true;
    office.directory.At(office.alice).detail.state.password_last_set = 0;
    office.directory.script = {Write::kLostThenApplied};
    CHECK_FALSE(office.changes->Start(office.admin, std::move(request)));
    Wait(office, std::chrono::seconds(100));
    office.changes->Reconcile();
    CHECK(office.Newest(office.alice).state == ChangeState::kUnknown);
    CHECK(office.Change(office.alice, "request-0002"));
    const auto history = office.changes->History(office.alice, 10).value();
    REQUIRE(history.size() == 2);
    CHECK(history[1].state == ChangeState::kSuperseded);
    CHECK(history[1].job_state == JobState::kCancelled);
    REQUIRE(office.Deliver(*office.desk, office.key));
    CHECK(office.key.password == office.AdPassword());
  }
}

TEST_CASE("another tool's password is never taken for ours") {
  Office office;
  SECTION("ours was lost, theirs came: the bind tells") {
    office.directory.script = {Write::kLostThenNotApplied};
    office.directory.metadata = GENERATE(true, false);
    office.directory.on_write = [&] { office.directory.OtherTool(office.alice, "Theirs-1"); };
    const auto view = office.Change(office.alice, "request-0001");
    REQUIRE_FALSE(view);
    CHECK(view.error().code == ErrorCode::kOutcomeUnknown);
    CHECK(office.directory.tries == 1);
    office.directory.on_write = nullptr;
    Wait(office, std::chrono::seconds(61));
    office.changes->Reconcile();
    office.changes->Reconcile();
    CHECK(office.Newest(office.alice).state == ChangeState::kFailed);
    CHECK(office.directory.tries == 1);  // one bind a change at most
  }
  SECTION("ours came late after theirs") {
    office.directory.script = {Write::kLostAndAppliedLate};
    office.directory.on_write = [&] { office.directory.OtherTool(office.alice, "Theirs-1"); };
    REQUIRE_FALSE(office.Change(office.alice, "request-0001"));
    office.directory.on_write = nullptr;
    office.directory.ApplyLate();
    office.changes->Reconcile();
    CHECK(office.Newest(office.alice).state == ChangeState::kConfirmed);
    REQUIRE(office.Deliver(*office.desk, office.key));
    CHECK(office.key.password == office.AdPassword());
  }
  SECTION("ours came, then theirs, and the server died in between") {
    office.directory.script = {Write::kCrashAfter};
    CHECK_THROWS_AS(office.Change(office.alice, "request-0001"), Crash);
    const bool later = GENERATE(true, false);
    if (later) office.directory.time += 3600;
    office.directory.OtherTool(office.alice, "Theirs-1");
    office.Restart();
    office.Connect(*office.desk);
    office.changes->Reconcile();
    Wait(office, std::chrono::seconds(61));
    office.changes->Reconcile();
    const ChangeView view = office.Newest(office.alice);
    // Which of two writes of the same minute came last, the metadata cannot say.
    CHECK(view.state == (later ? ChangeState::kFailed : ChangeState::kUnknown));
    if (later) CHECK_THAT(view.error, Catch::Matchers::Contains("Another tool"));
    CHECK(office.Change(office.alice, "request-0002"));
  }
  SECTION("ours never came, theirs did, on another controller") {
    office.directory.script = {Write::kCrashBefore};
    CHECK_THROWS_AS(office.Change(office.alice, "request-0001"), Crash);
    office.directory.OtherTool(office.alice, "Theirs-1", true);
    office.Restart();
    office.changes->Reconcile();
    Wait(office, std::chrono::seconds(61));
    office.changes->Reconcile();
    CHECK_THAT(office.Newest(office.alice).error, Catch::Matchers::Contains("Another tool"));
  }
  SECTION("a locked account says nothing, so the metadata decides") {
    office.directory.script = {Write::kLostThenApplied};
    office.directory.locked_out = true;
    REQUIRE(office.Change(office.alice, "request-0001"));
    REQUIRE(office.Deliver(*office.desk, office.key));
    CHECK(office.key.password == office.AdPassword());
  }
}

TEST_CASE("a crash around the write to the directory loses nothing and claims nothing") {
  Office office;
  SECTION("before the request left") {
    office.directory.script = {Write::kCrashBefore};
    CHECK_THROWS_AS(office.Change(office.alice, "request-0001"), Crash);
    office.Reboot();
    office.changes->Reconcile();
    CHECK(office.Newest(office.alice).state == ChangeState::kUnknown);
    const auto repeated = office.Change(office.alice, "request-0001");
    REQUIRE_FALSE(repeated);
    CHECK(repeated.error().code == ErrorCode::kOutcomeUnknown);
    Wait(office, std::chrono::seconds(61));
    office.changes->Reconcile();
    CHECK(office.Newest(office.alice).state == ChangeState::kFailed);
    CHECK(office.directory.writes == 1);
  }
  SECTION("after the directory took it") {
    office.directory.script = {Write::kCrashAfter};
    CHECK_THROWS_AS(office.Change(office.alice, "request-0001"), Crash);
    office.Reboot();
    CHECK(office.desk->Named("job").empty());
    office.changes->Reconcile();
    CHECK(office.Newest(office.alice).state == ChangeState::kConfirmed);
    const auto repeated = office.Change(office.alice, "request-0001");
    REQUIRE(repeated);
    CHECK(repeated->state == ChangeState::kConfirmed);
    REQUIRE(office.Deliver(*office.desk, office.key));
    CHECK(office.key.password == office.AdPassword());
    CHECK(office.directory.writes == 1);
  }
}

TEST_CASE("a crash after the confirmation hands the job out again") {
  Office office;
  REQUIRE(office.Change(office.alice, "request-0001"));
  const Blob job = office.NewestJob(*office.desk);
  office.desk->Forget();
  office.Reboot();
  REQUIRE(office.desk->Named("job").size() == 1);
  CHECK(office.NewestJob(*office.desk) == job);
  CHECK(office.Deliver(*office.desk, office.key)->kind == ReceiptVerdict::kStored);
}

TEST_CASE("a key replaced in the middle of a change is not waited for") {
  Office office;
  TestKey next(office.maker);
  office.directory.on_write = [&] {
    office.directory.on_write = nullptr;
    office.Enrol(next, office.alice, *office.desk, &office.key);
  };
  REQUIRE(office.Change(office.alice, "request-0001"));
  const ChangeView view = office.Newest(office.alice);
  CHECK(view.state == ChangeState::kConfirmed);  // the directory has it
  CHECK(view.job_state == JobState::kCancelled);
  CHECK_THAT(view.last_error, Catch::Contains("set a new password"));
  REQUIRE(office.Change(office.alice, "request-0002"));
  CHECK(office.Deliver(*office.desk, next)->kind == ReceiptVerdict::kStored);
  CHECK(next.password == office.AdPassword());
}

TEST_CASE("rows of a saga that stopped earlier are cancelled") {
  Office office;
  const auto key = office.store->FindKey(DeviceId{office.key.device_id}).value().value();
  const auto state = GENERATE(ChangeState::kIntent, ChangeState::kHeld);
  ChangeRow row;
  OsRandom().Fill(row.change.id.bytes);
  OsRandom().Fill(row.change.job.bytes);
  row.change.account = office.alice;
  row.change.actor = office.admin.id;
  row.change.idempotency_key = "request-0001";
  row.change.state = state;
  row.change.device = key.device;
  row.job.id = row.change.job;
  row.job.change = row.change.id;
  row.job.device = key.device;
  row.job.enrolment = key.enrolment;
  row.job.account = office.alice;
  row.job.seq = key.next_seq;
  row.job.base_seq = key.last_seq;
  row.job.epoch = key.epoch;
  row.job.sealed = {1, 2, 3};
  const auto begun = office.store->BeginChange(row.change, {row.job}, {});
  REQUIRE(begun);
  REQUIRE(begun->claim == ChangeStore::Claim::kBegun);
  office.Reboot();
  office.changes->Reconcile();
  CHECK(office.Newest(office.alice).state == ChangeState::kFailed);
  CHECK(office.Newest(office.alice).job_state == JobState::kCancelled);
  CHECK(office.store->FindJob(row.job.id)->value().sealed.empty());
  CHECK(office.directory.writes == 0);
}
