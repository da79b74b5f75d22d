// The alarm: what it stops, who is told, and that one person cannot end it.
#include "server/core/alarm.h"

#include <catch2/catch.hpp>
#include <thread>

#include "office.h"

using namespace keyferry;
using namespace keyferry::server;
using namespace keyferry::server::testing;

namespace {

// An office with two administrators who may decide on the alarm, and what each server would run.
struct Tower : Office {
  Tower() {
    other = admin;
    other.id = directory.Add("deputy");
    other.login = "deputy";
    Start();
  }
  void Start() {
    alarm = MakeAlarmService({*store,
                              directory,
                              clock,
                              OsRandom(),
                              *bus,
                              *issuer,
                              ca,
                              *attestation,
                              waiter,
                              *presence,
                              {}});
  }
  void Reboot() {
    Office::Reboot();
    Start();
    alarm->Watch();
  }
  AlarmView Now() { return alarm->Get().value(); }
  Result<AlarmView> Agree(const Actor& actor) {
    const AlarmView now = Now();
    return alarm->AgreeToEnd(actor, now.alarm.number, now.alarm.version);
  }
  void Raise() { REQUIRE(alarm->Raise(admin, "a key was stolen")); }
  void End() {
    REQUIRE(Agree(admin));
    REQUIRE(Agree(other));
    REQUIRE_FALSE(Now().alarm.stands());
  }
  // "on", "off" … as the desk heard it.
  std::vector<std::string> Heard() {
    std::vector<std::string> out;
    for (const std::string& data : desk->Named("alarm")) out.push_back(Member(data, "state"));
    return out;
  }
  std::vector<std::string> Audited(const std::string& action) {
    std::vector<std::string> out;
    const std::vector<AuditView> rows = audit->List(0, 100).value();
    for (const AuditView& row : rows) {
      if (row.action == action) out.push_back(row.outcome + " " + row.actor + " " + row.detail);
    }
    return out;
  }

  Actor other;
  std::unique_ptr<AlarmService> alarm;
};

using Lines = std::vector<std::string>;

}  // namespace

TEST_CASE("the alarm: no job is handed out while it stands, and all of them after it") {
  Tower tower;
  tower.Unplug();
  REQUIRE(tower.Change(tower.alice, "key-00000001"));
  tower.Raise();
  tower.desk->Forget();
  tower.Plug();
  CHECK(tower.desk->Named("job").empty());
  CHECK(tower.desk->Named("key").size() == 1);
  // Whatever looks for it: the minute's round, a workstation that comes back, another server.
  tower.clock.Advance(std::chrono::hours(2));
  tower.changes->Reconcile();
  CHECK_FALSE(tower.store->TakeReady(DeviceId{tower.key.device_id}, 1)->has_value());
  CHECK(tower.store->JobsToOffer(tower.clock.UnixMillis())->empty());
  tower.Disconnect(*tower.desk);
  tower.Connect(*tower.desk);
  REQUIRE(tower.Sees(*tower.desk, {&tower.key}));
  CHECK(tower.desk->Named("job").empty());
  CHECK(tower.store->FindJob(tower.Newest(tower.alice).job)->value().handed == 0);

  tower.End();
  CHECK(tower.desk->Named("job").size() == 1);
  CHECK(tower.Bring().kind == ReceiptVerdict::kStored);
  CHECK(tower.Newest(tower.alice).state == ChangeState::kDone);
}

TEST_CASE("the alarm: no password is set meanwhile, and the directory is not asked") {
  Tower tower;
  const std::string before = tower.AdPassword();
  tower.Raise();
  for (const ChangeMode mode : {ChangeMode::kNow, ChangeMode::kAtDelivery}) {
    ChangeRequest request = tower.Request(tower.alice, "key-00000002");
    request.mode = mode;
    const auto begun = tower.changes->Start(tower.admin, std::move(request));
    REQUIRE_FALSE(begun);
    CHECK(begun.error().code == ErrorCode::kConflict);
    CHECK(begun.error().message == kAlarmStands);
  }
  const auto preflight = tower.changes->Check(tower.admin, tower.alice);
  CHECK_FALSE(preflight->allowed);
  CHECK(preflight->reason == kAlarmStands);
  CHECK(tower.AdPassword() == before);
  CHECK(tower.changes->History(tower.alice, 10)->empty());
  // One that was cleared just before the alarm is stopped by the store itself.
  ChangeRecord late;
  late.id.bytes.fill(1);
  late.account = tower.alice;
  late.actor = tower.admin.id;
  late.idempotency_key = "key-00000003";
  CHECK(tower.store->BeginChange(late, {}, {}).error().message == kAlarmStands);
  CHECK(tower.store->BeginWaiting(late, {}).error().message == kAlarmStands);
  CHECK(tower.store->HoldChange(late, {}, {}, true, {}).error().message == kAlarmStands);
  CHECK(tower.store->AttemptHeld(late, {}, {}).error().message == kAlarmStands);
  CHECK_FALSE(tower.store->OpenChangeOf(tower.alice)->has_value());
  tower.End();
  CHECK(tower.Change(tower.alice, "key-00000004"));
}

TEST_CASE("the alarm: a change that waits for its key waits on, in each of its steps") {
  Tower tower;
  const int step = GENERATE(0, 1, 2);  // before the HOLD, with it on its way, with its receipt
  INFO("step " << step);
  if (step == 0) tower.Unplug();
  REQUIRE(tower.ChangeAtDelivery("key-00000005"));
  if (step > 0) tower.Proceed();
  const std::string before = tower.AdPassword();
  if (step == 2) {
    REQUIRE(tower.Deliver(*tower.desk, tower.key));  // nobody has gone on with it yet
  }
  const ChangeState state = tower.Newest(tower.alice).state;
  tower.Raise();
  tower.Plug();
  for (int i = 0; i < 3; ++i) {
    tower.Proceed();
    tower.changes->Reconcile();
  }
  CHECK(tower.Newest(tower.alice).state == state);
  CHECK(tower.AdPassword() == before);
  tower.desk->Forget();
  tower.End();
  tower.changes->Reconcile();
  if (step < 2) tower.Bring();
  tower.Proceed();
  tower.Bring();
  CHECK(tower.Newest(tower.alice).state == ChangeState::kDone);
  CHECK(tower.AdPassword() != before);
}

TEST_CASE("the alarm: workstations are told at once, when they connect, and after restarts") {
  Tower tower;
  CHECK(tower.Heard().empty());  // forgotten by the office's set-up
  tower.Raise();
  CHECK(tower.Heard() == Lines{"on"});
  tower.alarm->Watch();
  CHECK(tower.Heard() == Lines{"on"});  // once
  tower.desk->Forget();
  tower.Reboot();
  CHECK(tower.Heard().at(0) == "on");
  const auto late = tower.AddWorkstation("desk-2");
  REQUIRE(late->Named("alarm").size() == 1);
  CHECK(Member(late->Named("alarm").at(0), "state") == "on");
  tower.desk->Forget();
  tower.End();
  CHECK(tower.Heard() == Lines{"off"});
  tower.Disconnect(*late);
  late->Forget();
  tower.Connect(*late);
  CHECK(Member(late->Named("alarm").at(0), "state") == "off");
}

TEST_CASE("the alarm: what another server on the database decided is told by the next look") {
  Tower tower;
  // A second process can have the database open only where it is PostgreSQL.
  const std::unique_ptr<Store> elsewhere =
      TestDatabase::IsPostgres() ? std::move(tower.database.Open().value()) : nullptr;
  const auto bus = MakeEventBus();
  Presence nobody;
  const auto their = MakeAlarmService({elsewhere ? *elsewhere : *tower.store,
                                       tower.directory,
                                       tower.clock,
                                       OsRandom(),
                                       *bus,
                                       *tower.issuer,
                                       tower.ca,
                                       *tower.attestation,
                                       tower.waiter,
                                       nobody,
                                       {}});
  REQUIRE(their->Raise(tower.admin, ""));
  CHECK_FALSE(tower.store->TakeReady(DeviceId{tower.key.device_id}, 1)->has_value());
  CHECK(tower.Heard().empty());
  tower.alarm->Watch();
  CHECK(tower.Heard() == Lines{"on"});
  REQUIRE(tower.Agree(tower.admin));
  const AlarmView now = tower.Now();
  REQUIRE(their->AgreeToEnd(tower.other, now.alarm.number, now.alarm.version));
  tower.alarm->Watch();
  CHECK(tower.Heard() == Lines{"on", "off"});
  // Each later word has a higher number, so that one that was overtaken is known.
  const auto words = tower.desk->Named("alarm");
  CHECK(words.at(0).find("\"number\":2,") != std::string::npos);
  CHECK(words.at(1).find("\"number\":3,") != std::string::npos);
}

TEST_CASE("the alarm: two different persons end it, and nobody twice") {
  Tower tower;
  tower.Raise();
  CHECK(tower.Now().alarm.reason == "a key was stolen");
  // Raised again it is the same one.
  CHECK(tower.alarm->Raise(tower.other, "again")->alarm.number == tower.Now().alarm.number);
  CHECK(tower.Audited("alarm.raise").size() == 1);

  REQUIRE(tower.Agree(tower.admin));
  CHECK(tower.Now().agreed);
  CHECK(tower.Now().alarm.stands());

  SECTION("the same person, also by another name of the same account") {
    Actor alias = tower.admin;
    alias.login = "boss@corp.example";
    alias.address = "192.0.2.77";
    for (const Actor& actor : {tower.admin, alias}) {
      const auto refused = tower.Agree(actor);
      REQUIRE_FALSE(refused);
      CHECK(refused.error().code == ErrorCode::kPermissionDenied);
    }
    CHECK(tower.Audited("alarm.end").size() == 2);
  }
  SECTION("another account of the same person") {
    tower.directory.At(tower.admin.id).detail.person.employee_id = "4711";
    tower.directory.At(tower.other.id).detail.person.employee_id = "4711";
    const auto refused = tower.Agree(tower.other);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == ErrorCode::kPermissionDenied);
    CHECK(refused.error().message.find("same person as boss") != std::string::npos);
  }
  SECTION("another account with the same mail address") {
    tower.directory.At(tower.admin.id).detail.person.mail = "One@corp.example";
    tower.directory.At(tower.other.id).detail.person.mail = "one@corp.example";
    CHECK(tower.Agree(tower.other).error().code == ErrorCode::kPermissionDenied);
    tower.directory.At(tower.other.id).detail.person.mail = "two@corp.example";
  }
  SECTION("a token, which has no person's rights, and who may not") {
    Actor desk = tower.other;
    desk.roles = Role::kHelpDesk;
    CHECK(tower.Agree(desk).error().code == ErrorCode::kPermissionDenied);
    CHECK(tower.alarm->Keep(desk, 1, 2).error().code == ErrorCode::kPermissionDenied);
    CHECK(tower.alarm->Raise(desk, "").error().code == ErrorCode::kPermissionDenied);
    Actor officer = tower.other;
    officer.roles = Role::kKeyOfficer;
    CHECK(tower.Agree(officer));
    CHECK_FALSE(tower.Now().alarm.stands());
    return;
  }
  SECTION("what the second saw was another state") {
    const AlarmView seen = tower.Now();
    REQUIRE(tower.alarm->Keep(tower.admin, seen.alarm.number, seen.alarm.version));
    CHECK_FALSE(tower.Now().agreed);
    const auto late = tower.alarm->AgreeToEnd(tower.other, seen.alarm.number, seen.alarm.version);
    CHECK(late.error().code == ErrorCode::kConflict);
    CHECK(tower.alarm->AgreeToEnd(tower.other, seen.alarm.number + 1, seen.alarm.version)
              .error()
              .code == ErrorCode::kConflict);
    CHECK(tower.Audited("alarm.keep").size() == 1);
  }
  SECTION("an agreement grows old") {
    tower.clock.Advance(std::chrono::milliseconds(kAgreementMillis));
    CHECK_FALSE(tower.Now().agreed);
    REQUIRE(tower.Agree(tower.other));  // the first one of a new pair
    CHECK(tower.Now().alarm.agreed_login == "deputy");
  }
  SECTION("the directory cannot say whether it is somebody else") {
    tower.directory.down = true;
    CHECK_FALSE(tower.Agree(tower.other));
  }
  CHECK(tower.Now().alarm.stands());
  tower.directory.down = false;
  tower.directory.At(tower.other.id).detail.person.employee_id = "4712";
  const auto ended =
      tower.Agree(tower.Now().alarm.agreed_login == "deputy" ? tower.admin : tower.other);
  REQUIRE(ended);
  if (!tower.Now().alarm.stands()) {
    CHECK_FALSE(tower.Audited("alarm.end").empty());
  } else {
    REQUIRE(tower.Agree(tower.admin));
  }
  CHECK_FALSE(tower.Now().alarm.stands());
  CHECK(tower.Agree(tower.admin).error().code == ErrorCode::kConflict);
  CHECK(tower.alarm->Raise(tower.other, "")->alarm.number == 2);
  CHECK(tower.alarm->History(10)->size() == 2);
}

TEST_CASE("the alarm: the server's console may give one of the two words, not both") {
  Tower tower;
  tower.Raise();
  Actor console;
  console.login = "console";
  const auto word = [&](const Actor& who) -> Result<void> {
    const AlarmRecord before = tower.Now().alarm;
    const auto after = WithWord(before, who, tower.clock.UnixMillis());
    if (!after) return tl::unexpected(after.error());
    const auto moved =
        tower.store->MoveAlarm(*after, before.version, WordEntry(*after, who, tower.clock));
    REQUIRE(moved);
    CHECK(*moved);
    return {};
  };
  SECTION("first") {
    REQUIRE(word(console));
    CHECK(tower.Now().agreed);
    CHECK(word(console).error().code == ErrorCode::kPermissionDenied);
    CHECK(tower.Now().alarm.stands());
    REQUIRE(tower.Agree(tower.other));
  }
  SECTION("second") {
    REQUIRE(tower.Agree(tower.admin));
    REQUIRE(word(console));
  }
  SECTION("too late to be the second") {
    REQUIRE(tower.Agree(tower.admin));
    tower.clock.Advance(std::chrono::milliseconds(kAgreementMillis));
    REQUIRE(word(console));
    CHECK(tower.Now().alarm.stands());
    CHECK(tower.Now().alarm.agreed_login == "console");
    REQUIRE(tower.Agree(tower.admin));
  }
  CHECK_FALSE(tower.Now().alarm.stands());
  CHECK(tower.Audited("alarm.end").size() == 1);
}

TEST_CASE("the alarm: of many who agree at once from one page, one is the first") {
  Tower tower;
  tower.Raise();
  const AlarmView seen = tower.Now();
  std::atomic<int> taken{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 20; ++i) {
    threads.emplace_back([&, i] {
      const Actor& actor = i % 2 == 0 ? tower.admin : tower.other;
      if (tower.alarm->AgreeToEnd(actor, seen.alarm.number, seen.alarm.version)) ++taken;
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(taken == 1);
  CHECK(tower.Now().alarm.stands());
  CHECK(tower.Now().agreed);
}

TEST_CASE("the alarm: of many who raise it at once there is one") {
  Tower tower;
  std::vector<std::thread> threads;
  for (int i = 0; i < 20; ++i) {
    threads.emplace_back([&] { tower.alarm->Raise(tower.admin, "now"); });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(tower.alarm->History(10)->size() == 1);
  CHECK(tower.Audited("alarm.raise").size() == 1);
  CHECK(tower.alarm->Raise(tower.admin, std::string(501, 'x')).error().code ==
        ErrorCode::kInvalidArgument);
  CHECK(tower.alarm->Raise(tower.admin, "two\nlines").error().code == ErrorCode::kInvalidArgument);
}
