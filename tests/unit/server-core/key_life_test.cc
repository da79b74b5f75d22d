// The life of a key after its enrolment: suspended, resumed, out of use, wiped.

#include <catch2/catch.hpp>

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
