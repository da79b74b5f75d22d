// The life of a key after its enrolment: suspended, resumed, out of use, wiped.

#include <array>
#include <catch2/catch.hpp>
#include <optional>

#include "office.h"

namespace keyferry::server::testing {
namespace {

struct Drawer : Office {
  Result<KeyView> Step(KeyStep step) { return Step(admin, step); }
  Result<KeyView> Step(const Actor& actor, KeyStep step) {
    return keys->Step(actor, Device(), step, "because");
  }
  DeviceId Device() { return Key(alice).device; }
  KeyView View() { return *keys->Get(DeviceId{key.device_id}); }
};

TEST_CASE("a suspended key gets nothing, and what waited when it is resumed") {
  Drawer d;
  REQUIRE(d.Step(KeyStep::kSuspend));
  CHECK(d.View().state == KeyState::kSuspended);
  CHECK(d.View().state_reason == "because");
  CHECK(Member(d.desk->Named("key").back(), "state") == "suspended");
  const auto refused = d.Change(d.alice, "0123456789");
  REQUIRE_FALSE(refused);
  CHECK(refused.error().message.find("suspended") != std::string::npos);

  REQUIRE(d.Step(KeyStep::kResume));
  CHECK(Member(d.desk->Named("key").back(), "state") == "active");
  REQUIRE(d.Change(d.alice, "1123456789"));
  CHECK(d.Bring().kind == ReceiptVerdict::kStored);
}

TEST_CASE("a job that is under way waits while its key is suspended") {
  Drawer d;
  d.Unplug();
  REQUIRE(d.Change(d.alice, "0123456789"));
  REQUIRE(d.Step(KeyStep::kSuspend));
  d.Plug();
  CHECK(d.desk->Named("job").empty());
  REQUIRE(d.Step(KeyStep::kResume));
  CHECK(d.Bring().kind == ReceiptVerdict::kStored);
  CHECK(d.key.password == d.AdPassword());
}

TEST_CASE("a key out of use: its jobs are void, and it is wiped at its next contact") {
  const KeyStep step = GENERATE(KeyStep::kCompromise, KeyStep::kDeactivate);
  const bool here = GENERATE(true, false);
  const bool suspended = GENERATE(false, true);
  Drawer d;
  d.Unplug();
  REQUIRE(d.Change(d.alice, "0123456789"));
  if (suspended) REQUIRE(d.Step(KeyStep::kSuspend));
  if (here) d.Plug();
  REQUIRE(d.Step(step));
  CHECK(d.View().wiped == 0);
  const ChangeView change = d.Newest(d.alice);
  CHECK(change.job_state == JobState::kCancelled);
  CHECK(change.last_error.find("another") != std::string::npos);
  if (!here) d.Plug();
  CHECK(Member(d.desk->Named("key").back(), "state") == "revoked");
  CHECK(d.Bring().reason == "The key is wiped.");
  CHECK(d.key.wiped);
  CHECK(d.View().wiped != 0);
  // Once is enough, and nothing brings it back.
  d.Unplug();
  d.Plug();
  CHECK(d.desk->Named("job").empty());
  for (const KeyStep again :
       {KeyStep::kSuspend, KeyStep::kResume, KeyStep::kCompromise, KeyStep::kDeactivate}) {
    CHECK(d.Step(again).error().code == ErrorCode::kConflict);
  }
}

TEST_CASE("a WIPE that came too late for its epoch is sealed anew") {
  Drawer d;
  REQUIRE(d.Change(d.alice, "0123456789"));
  const Blob first = d.NewestJob(*d.desk);
  REQUIRE(d.Change(d.alice, "1123456789"));
  const Blob second = d.NewestJob(*d.desk);
  REQUIRE(d.Step(KeyStep::kCompromise));
  const Blob wipe = d.NewestJob(*d.desk);
  // A daemon that is not told in time brings both passwords first.
  const Blob one = d.key.Put(first), two = d.key.Put(second);
  d.desk->Forget();
  REQUIRE(d.Return(*d.desk, d.key, d.key.Put(wipe)));
  CHECK_FALSE(d.key.wiped);
  REQUIRE(d.Return(*d.desk, d.key, one));
  REQUIRE(d.Return(*d.desk, d.key, two));
  CHECK(d.Bring().reason == "The key is wiped.");
  CHECK(d.key.wiped);
}

TEST_CASE("a key under suspicion is wiped all the same, but not resumed") {
  Drawer d;
  TestKey clone = d.key;
  REQUIRE(d.Change(d.alice, "0123456789"));
  const Blob job = d.NewestJob(*d.desk);
  REQUIRE(d.Return(*d.desk, d.key, d.key.Put(job)));
  REQUIRE(d.Return(*d.desk, clone, clone.Put(job)));
  REQUIRE_FALSE(d.View().alarm.empty());
  REQUIRE(d.Step(KeyStep::kSuspend));
  CHECK(d.Step(KeyStep::kResume).error().code == ErrorCode::kConflict);
  d.desk->Forget();
  REQUIRE(d.Step(KeyStep::kCompromise));
  CHECK(d.Bring().reason == "The key is wiped.");
}

TEST_CASE("a key that another replaced is wiped when it is seen again") {
  Drawer d;
  TestKey other(d.maker);
  d.Enrol(other, d.alice, *d.desk, &d.key);
  CHECK(d.View().state == KeyState::kRevoked);
  d.desk->Forget();
  REQUIRE(d.Sees(*d.desk, {&d.key}));
  REQUIRE(d.Return(*d.desk, d.key, d.key.Put(d.NewestJob(*d.desk))));
  CHECK(d.key.wiped);
  CHECK(d.View().wiped != 0);
}

// Where a step leads from each state; nothing: it is refused, and nothing was done.
TEST_CASE("every step from every state") {
  static constexpr std::array kSteps{KeyStep::kSuspend, KeyStep::kResume, KeyStep::kCompromise,
                                     KeyStep::kDeactivate};
  static constexpr std::array kActions{"key.suspend", "key.resume", "key.compromise",
                                       "key.deactivate"};
  using To = std::optional<KeyState>;
  struct Row {
    KeyState from;
    std::array<To, kSteps.size()> to;
  };
  static const std::array<Row, 5> kTable{{
      {KeyState::kActive,
       {KeyState::kSuspended, std::nullopt, KeyState::kCompromised, KeyState::kDeactivated}},
      {KeyState::kSuspended,
       {std::nullopt, KeyState::kActive, KeyState::kCompromised, KeyState::kDeactivated}},
      {KeyState::kCompromised, {}},
      {KeyState::kDeactivated, {}},
      {KeyState::kRevoked, {}},
  }};
  const std::size_t row = GENERATE(range(std::size_t{0}, kTable.size()));
  const std::size_t step = GENERATE(range(std::size_t{0}, kSteps.size()));
  const auto& [from, to] = kTable[row];
  INFO(Name(from) << ", " << kActions[step]);

  Drawer d;
  TestKey other(d.maker);
  if (from == KeyState::kSuspended) REQUIRE(d.Step(KeyStep::kSuspend));
  if (from == KeyState::kCompromised) REQUIRE(d.Step(KeyStep::kCompromise));
  if (from == KeyState::kDeactivated) REQUIRE(d.Step(KeyStep::kDeactivate));
  if (from == KeyState::kRevoked) d.Enrol(other, d.alice, *d.desk, &d.key);
  REQUIRE(d.View().state == from);
  d.Unplug();
  const auto before = d.store->AuditHead();
  REQUIRE(before);

  const auto view = d.keys->Step(d.admin, DeviceId{d.key.device_id}, kSteps[step], "because");
  CHECK(d.View().state == to[step].value_or(from));
  const auto rows = d.store->AuditAfter(before->number, 10);
  REQUIRE(rows);
  if (to[step]) {
    REQUIRE(view);
    CHECK(view->state == *to[step]);
    REQUIRE(rows->size() == 1);
    CHECK(rows->front().entry.action == kActions[step]);
    CHECK(rows->front().entry.actor == d.admin.login);
    CHECK(rows->front().entry.detail.ends_with("because"));
  } else {
    CHECK(view.error().code == ErrorCode::kConflict);
    CHECK(rows->empty());
  }
}

// Before its proof a key is in no state that a step could lead from.
TEST_CASE("a key whose enrolment has only begun cannot be stepped") {
  Drawer d;
  const AccountId bob = d.directory.Add("bob");
  TestKey fresh(d.maker);
  REQUIRE(d.Sees(*d.desk, {&fresh}, 0));
  const DeviceId device{fresh.device_id};
  REQUIRE(d.keys->BeginEnrolment(d.admin, bob, device, d.desk->id, std::nullopt));
  for (const KeyStep step :
       {KeyStep::kSuspend, KeyStep::kResume, KeyStep::kCompromise, KeyStep::kDeactivate}) {
    CHECK(d.keys->Step(d.admin, device, step, "because").error().code == ErrorCode::kNotFound);
  }
}

TEST_CASE("who may step, and with what words") {
  Drawer d;
  Actor desk = d.admin;
  desk.roles = Role::kHelpDesk;
  for (const KeyStep step : {KeyStep::kCompromise, KeyStep::kDeactivate, KeyStep::kResume}) {
    CHECK(d.Step(desk, step).error().code == ErrorCode::kPermissionDenied);
  }
  CHECK(d.Step(desk, KeyStep::kSuspend));
  Actor nobody = d.admin;
  nobody.roles = Role::kNone;
  CHECK(d.Step(nobody, KeyStep::kSuspend).error().code == ErrorCode::kPermissionDenied);
  CHECK(d.keys->Step(d.admin, d.Device(), KeyStep::kResume, "").error().code ==
        ErrorCode::kInvalidArgument);
  CHECK(d.keys->Step(d.admin, d.Device(), KeyStep::kResume, std::string(201, 'x')).error().code ==
        ErrorCode::kInvalidArgument);
  CHECK(d.keys->Step(d.admin, DeviceId{}, KeyStep::kSuspend, "x").error().code ==
        ErrorCode::kNotFound);
}

}  // namespace
}  // namespace keyferry::server::testing
