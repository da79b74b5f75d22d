// Several keys of one person: each has a job of its own, and none is forgotten.
#include <catch2/catch.hpp>
#include <utility>

#include "office.h"
#include "server/core/after_restore.h"
#include "server/core/audit_entry.h"

using namespace keyferry;
using namespace keyferry::server;
using namespace keyferry::server::testing;

namespace {

// Alice has a second key, and both are plugged in at her desk.
struct Lanyard : Office {
  explicit Lanyard(ChangeConfig config = {}) : Office(config), second(maker) {
    Enrol(second, alice, *desk);
    See({&key, &second});
    desk->Forget();
  }
  void See(const std::vector<const TestKey*>& here) {
    REQUIRE(Sees(*desk, here));
    changes->Proceed(alice);
  }
  static DeviceId Of(const TestKey& of) { return DeviceId{of.device_id}; }
  // Jobs that the desk got for this key, oldest first.
  std::vector<Blob> JobsFor(const TestKey& of) {
    std::vector<Blob> jobs;
    for (const std::string& event : desk->Named("job")) {
      if (Member(event, "device_id") == Of(of).Hex()) {
        jobs.push_back(Base64Member(event, "sealed"));
      }
    }
    return jobs;
  }
  // Brings the newest job for this key to it, its receipt back, and lets the server go on.
  void BringTo(TestKey& of) {
    const auto jobs = JobsFor(of);
    REQUIRE_FALSE(jobs.empty());
    REQUIRE(Return(*desk, of, of.Put(jobs.back())));
    changes->Proceed(alice);
  }
  KeyDelivery To(const TestKey& of) {
    for (const KeyDelivery& to : Newest(alice).keys) {
      if (to.device == Of(of)) return to;
    }
    throw std::runtime_error("nothing for this key");
  }
  KeyPassword On(const TestKey& of) { return keys->Get(Of(of))->password.value(); }
  void Step(const TestKey& of, KeyStep step) {
    REQUIRE(keys->Step(admin, Of(of), step, "because"));
  }
  ChangeState State() { return Newest(alice).state; }

  TestKey second;
};

}  // namespace

TEST_CASE("every key of a person gets a new password, in a job of its own") {
  Lanyard l;
  CHECK(l.On(l.key) == KeyPassword::kNone);
  const std::uint64_t before = l.store->Transactions();
  const auto view = l.Change(l.alice, "request-0001");
  REQUIRE(view);
  CHECK(l.store->Transactions() == before + 2);  // two keys cost no more than one
  REQUIRE(view->keys.size() == 2);
  CHECK(view->keys[0].device == view->device);
  CHECK(view->keys[0].job != view->keys[1].job);
  REQUIRE(l.JobsFor(l.key).size() == 1);
  REQUIRE(l.JobsFor(l.second).size() == 1);
  CHECK(l.On(l.key) == KeyPassword::kWaiting);
  l.BringTo(l.second);
  CHECK(l.State() == ChangeState::kConfirmed);
  CHECK(l.On(l.second) == KeyPassword::kNewest);
  CHECK(l.On(l.key) == KeyPassword::kWaiting);
  CHECK(l.To(l.key).receipt_hash.empty());
  l.BringTo(l.key);
  CHECK(l.State() == ChangeState::kDone);
  CHECK(l.key.password == l.AdPassword());
  CHECK(l.second.password == l.AdPassword());
  CHECK(l.To(l.key).receipt_hash != l.To(l.second).receipt_hash);
  REQUIRE(l.keys->Used(l.desk->id, l.Of(l.second), l.To(l.second).seq));
  CHECK(l.To(l.second).state == JobState::kUsed);
  CHECK(l.To(l.key).state == JobState::kDelivered);
}

TEST_CASE("a key in the drawer is waited for, whatever happens meanwhile") {
  Lanyard l;
  l.See({&l.key});
  REQUIRE(l.Change(l.alice, "request-0001"));
  l.BringTo(l.key);
  CHECK(l.State() == ChangeState::kConfirmed);
  CHECK(l.JobsFor(l.second).empty());
  l.Reboot();
  l.changes->Reconcile();
  CHECK(l.State() == ChangeState::kConfirmed);
  CHECK(l.On(l.second) == KeyPassword::kWaiting);
  l.See({&l.second});
  l.BringTo(l.second);
  CHECK(l.State() == ChangeState::kDone);
  CHECK(l.second.password == l.AdPassword());
}

TEST_CASE("a key that goes out of use is not waited for, and gets nothing") {
  const bool delivered_first = GENERATE(true, false);
  const KeyStep step = GENERATE(KeyStep::kCompromise, KeyStep::kDeactivate);
  Lanyard l;
  l.See({&l.key});
  REQUIRE(l.Change(l.alice, "request-0001"));
  if (delivered_first) l.BringTo(l.key);
  l.Step(l.second, step);
  CHECK(l.State() == (delivered_first ? ChangeState::kDone : ChangeState::kConfirmed));
  CHECK(l.To(l.second).state == JobState::kCancelled);
  CHECK_FALSE(l.To(l.second).in_use);
  if (!delivered_first) l.BringTo(l.key);
  CHECK(l.State() == ChangeState::kDone);
  CHECK(l.keys->Get(l.Of(l.key))->state == KeyState::kActive);
  CHECK_FALSE(l.keys->Get(l.Of(l.second))->password);
  l.See({&l.key, &l.second});
  l.BringTo(l.second);
  CHECK(l.second.wiped);
  CHECK(l.second.password.empty());
  // The next one is sealed for the other alone.
  REQUIRE(l.Change(l.alice, "request-0002"));
  CHECK(l.Newest(l.alice).keys.size() == 1);
}

TEST_CASE("a suspended key's job waits, and the others go on") {
  Lanyard l;
  l.Step(l.second, KeyStep::kSuspend);
  REQUIRE(l.Change(l.alice, "request-0001"));
  l.BringTo(l.key);
  CHECK(l.JobsFor(l.second).empty());
  CHECK(l.State() == ChangeState::kConfirmed);
  CHECK(l.To(l.second).state == JobState::kReady);
  l.Step(l.second, KeyStep::kResume);
  l.BringTo(l.second);
  CHECK(l.State() == ChangeState::kDone);
  CHECK(l.second.password == l.AdPassword());
  // With no other there is nobody to set one for.
  l.Step(l.second, KeyStep::kSuspend);
  l.Step(l.key, KeyStep::kSuspend);
  CHECK(l.Change(l.alice, "request-0002").error().code == ErrorCode::kConflict);
}

TEST_CASE("a newer password takes the older one's place on each key") {
  Lanyard l;
  REQUIRE(l.Change(l.alice, "request-0001"));
  l.BringTo(l.key);
  const JobId old = l.To(l.second).job;
  const ChangeId first = l.Newest(l.alice).id;
  const std::size_t voids = l.desk->Named("void").size();
  REQUIRE(l.Change(l.alice, "request-0002"));
  CHECK(l.changes->Get(first)->state == ChangeState::kSuperseded);
  CHECK(l.store->FindJob(old)->value().state == JobState::kSuperseded);
  CHECK(l.desk->Named("void").size() == voids + 1);
  CHECK(Member(l.desk->Named("void").back(), "job_id") == old.Hex());
  l.BringTo(l.second);
  l.BringTo(l.key);
  CHECK(l.State() == ChangeState::kDone);
  CHECK(l.key.password == l.AdPassword());
  CHECK(l.second.password == l.AdPassword());
  CHECK(l.changes->Get(first)->state == ChangeState::kSuperseded);
}

TEST_CASE("a key under suspicion keeps nobody from a new password, and gets no dead one") {
  Lanyard l;
  REQUIRE(l.Change(l.alice, "request-0001"));
  const JobId dead = l.To(l.second).job;
  l.BringTo(l.key);
  REQUIRE(l.store->RaiseAlarm(l.Of(l.second), "It was cloned.", {}));
  const auto check = l.changes->Check(l.admin, l.alice);
  CHECK(check->allowed);
  CHECK(check->keys == 1);
  CHECK_THAT(check->note, Catch::Contains("under suspicion"));
  CHECK(l.State() == ChangeState::kConfirmed);
  REQUIRE(l.Change(l.alice, "request-0002"));
  CHECK(l.Newest(l.alice).keys.size() == 1);
  CHECK(l.store->FindJob(dead)->value().state == JobState::kSuperseded);
  l.BringTo(l.key);
  CHECK(l.State() == ChangeState::kDone);
  CHECK(l.On(l.second) == KeyPassword::kNone);
}

TEST_CASE("a key that does not answer is left out until it does") {
  Lanyard l;
  for (const char* request : {"request-0001", "request-0002"}) {
    REQUIRE(l.Change(l.alice, request));
    l.BringTo(l.key);
  }
  REQUIRE(l.JobsFor(l.second).size() == 2);
  const JobId silent = l.To(l.second).job;
  // It is here and may do so at any moment.
  CHECK(l.Change(l.alice, "request-0003").error().code == ErrorCode::kConflict);
  if (GENERATE(true, false)) {
    l.See({&l.key});
  } else {
    l.clock.Advance(std::chrono::minutes(2));
  }
  const auto third = l.Change(l.alice, "request-0004");
  REQUIRE(third);
  REQUIRE(third->keys.size() == 1);
  CHECK(third->device == l.Of(l.key));
  CHECK(l.store->FindJob(silent)->value().state == JobState::kSuperseded);
  l.BringTo(l.key);
  CHECK(l.State() == ChangeState::kDone);
  CHECK(l.On(l.second) == KeyPassword::kNone);
  // It took one of them all the same, and says so late.
  REQUIRE(l.Return(*l.desk, l.second, l.second.Put(l.JobsFor(l.second).back())));
  CHECK(l.On(l.second) == KeyPassword::kMissing);
  REQUIRE(l.Change(l.alice, "request-0005"));
  CHECK(l.Newest(l.alice).keys.size() == 2);
  l.See({&l.key, &l.second});
  l.BringTo(l.second);
  CHECK(l.second.password == l.AdPassword());
}

TEST_CASE("keys that go out of use while the directory is asked get nothing") {
  const bool leading = GENERATE(true, false);
  Lanyard l;
  DeviceId lost;
  bool asked = false;
  l.directory.on_write = [&] {
    if (std::exchange(asked, true)) return;
    const auto open = l.store->OpenChangeOf(l.alice).value().value();
    for (const KeyJob& of : open.keys) {
      if ((of.job.device == open.change.device) == leading) lost = of.job.device;
    }
    l.Step(lost == l.Of(l.key) ? l.key : l.second, KeyStep::kCompromise);
  };
  REQUIRE(l.Change(l.alice, "request-0001"));
  TestKey& other = lost == l.Of(l.key) ? l.second : l.key;
  TestKey& gone = lost == l.Of(l.key) ? l.key : l.second;
  CHECK(l.To(gone).state == JobState::kCancelled);
  l.BringTo(other);
  CHECK(l.State() == ChangeState::kDone);
  CHECK(other.password == l.AdPassword());
  CHECK(gone.password.empty());
}

TEST_CASE("a server that dies around the write forgets no key, and gives none a wrong password") {
  const bool applied = GENERATE(true, false);
  Lanyard l;
  l.directory.script = {applied ? Write::kCrashAfter : Write::kCrashBefore};
  CHECK_THROWS_AS(l.Change(l.alice, "request-0001"), Crash);
  l.Reboot();
  l.See({&l.key, &l.second});
  l.changes->Reconcile();
  l.clock.Advance(std::chrono::minutes(2));
  l.changes->Reconcile();
  if (!applied) {
    CHECK(l.State() == ChangeState::kFailed);
    CHECK(l.desk->Named("job").empty());
    CHECK(l.To(l.key).state == JobState::kCancelled);
    CHECK(l.To(l.second).state == JobState::kCancelled);
    return;
  }
  CHECK(l.State() == ChangeState::kConfirmed);
  l.BringTo(l.key);
  l.BringTo(l.second);
  CHECK(l.State() == ChangeState::kDone);
  CHECK(l.key.password == l.AdPassword());
  CHECK(l.second.password == l.AdPassword());
}

TEST_CASE("a password that the directory refuses reaches no key") {
  Lanyard l;
  l.directory.script = {Write::kPolicy};
  REQUIRE_FALSE(l.Change(l.alice, "request-0001"));
  CHECK(l.desk->Named("job").empty());
  CHECK(l.To(l.key).state == JobState::kCancelled);
  CHECK(l.To(l.second).state == JobState::kCancelled);
  CHECK(l.store->FindJob(l.To(l.second).job)->value().sealed.empty());
}

TEST_CASE("at delivery: the key that is seen is prepared, the others follow the directory") {
  Lanyard l;
  l.See({&l.second});
  REQUIRE(l.ChangeAtDelivery("request-0001"));
  l.Proceed();
  REQUIRE(l.JobsFor(l.second).size() == 1);
  CHECK(l.State() == ChangeState::kHeld);
  CHECK(l.Newest(l.alice).keys.size() == 1);
  l.See({&l.key, &l.second});
  CHECK(l.JobsFor(l.key).empty());
  l.BringTo(l.second);
  CHECK(l.State() == ChangeState::kConfirmed);
  CHECK(l.second.pending == l.AdPassword());
  REQUIRE(l.JobsFor(l.key).size() == 1);
  l.BringTo(l.key);
  CHECK(l.key.password == l.AdPassword());
  CHECK(l.State() == ChangeState::kConfirmed);
  l.BringTo(l.second);
  CHECK(l.second.password == l.AdPassword());
  CHECK(l.State() == ChangeState::kDone);
  REQUIRE(l.Newest(l.alice).keys.size() == 2);
  CHECK(l.To(l.second).has());
}

TEST_CASE("at delivery: what the directory refuses reaches no key") {
  Lanyard l;
  l.See({&l.second});
  REQUIRE(l.ChangeAtDelivery("request-0001"));
  l.Proceed();
  l.See({&l.key, &l.second});
  l.directory.script = {Write::kPolicy};
  l.BringTo(l.second);
  CHECK(l.State() == ChangeState::kFailed);
  CHECK(l.JobsFor(l.key).empty());
  CHECK(l.To(l.key).state == JobState::kCancelled);
  l.BringTo(l.second);  // the DROP
  CHECK(l.second.pending.empty());
  CHECK(l.second.password.empty());
}

TEST_CASE("at delivery: the server dies once the directory may have it, and all keys get it") {
  Lanyard l;
  l.See({&l.second});
  REQUIRE(l.ChangeAtDelivery("request-0001"));
  l.Proceed();
  l.directory.script = {Write::kCrashAfter};
  CHECK_THROWS_AS(l.BringTo(l.second), Crash);
  CHECK(l.To(l.key).state == JobState::kHeld);
  l.Reboot();
  l.See({&l.key, &l.second});
  l.clock.Advance(std::chrono::minutes(2));
  l.changes->Reconcile();
  REQUIRE(l.State() == ChangeState::kConfirmed);
  l.BringTo(l.key);
  l.BringTo(l.second);
  CHECK(l.State() == ChangeState::kDone);
  CHECK(l.key.password == l.AdPassword());
  CHECK(l.second.password == l.AdPassword());
}

TEST_CASE("at delivery: another key takes over from one that went away") {
  const bool took_it = GENERATE(true, false);  // it took the first password before it went
  const bool answers = GENERATE(true, false);  // … and its receipt comes late
  Lanyard l;
  l.See({&l.key});
  REQUIRE(l.ChangeAtDelivery("request-0001"));
  l.Proceed();
  const Blob hold = l.JobsFor(l.key).back();
  const Blob receipt = took_it ? l.key.Put(hold) : Blob();
  l.See({});
  CHECK(l.State() == ChangeState::kHeld);
  l.See({&l.second});
  REQUIRE(l.JobsFor(l.second).size() == 1);
  CHECK(l.To(l.key).state == JobState::kSuperseded);
  if (took_it && answers) REQUIRE(l.Return(*l.desk, l.key, receipt));
  l.BringTo(l.second);
  CHECK(l.State() == ChangeState::kConfirmed);
  l.BringTo(l.second);
  CHECK(l.second.password == l.AdPassword());
  CHECK(l.State() == ChangeState::kConfirmed);
  l.See({&l.key, &l.second});
  l.BringTo(l.key);
  CHECK(l.key.password == l.AdPassword());
  CHECK(l.key.pending.empty());
  CHECK(l.State() == ChangeState::kDone);
}

TEST_CASE("at delivery: where one key refuses to be prepared another is") {
  Lanyard l;
  const auto refuse = [&](const TestKey& key) {
    protocol::Receipt refusal = key.Draft();
    refusal.result = protocol::Status::kBadPlaintext;
    refusal.job_hash = protocol::JobHash(l.JobsFor(key).back());
    REQUIRE(l.Return(*l.desk, key, key.Sign(refusal)));
    l.Proceed();
  };
  l.See({&l.key});
  REQUIRE(l.ChangeAtDelivery("request-0001"));
  l.Proceed();
  refuse(l.key);
  CHECK(l.State() == ChangeState::kHeld);
  l.See({&l.key, &l.second});
  REQUIRE(l.JobsFor(l.second).size() == 1);
  CHECK(l.JobsFor(l.key).size() == 1);
  if (GENERATE(true, false)) {
    refuse(l.second);
    CHECK(l.State() == ChangeState::kFailed);
    return;
  }
  l.BringTo(l.second);
  l.BringTo(l.second);
  CHECK(l.second.password == l.AdPassword());
  // The one that refused the HOLD has not refused the password.
  l.BringTo(l.key);
  CHECK(l.key.password == l.AdPassword());
  CHECK(l.State() == ChangeState::kDone);
}

TEST_CASE("a new key is one more, or takes the place of one") {
  KeyConfig two;
  two.per_person = 2;
  Company c({}, two);
  auto desk = c.AddWorkstation("desk-1");
  TestKey a(c.maker), b(c.maker), d(c.maker);
  const auto of = [](const TestKey& key) { return DeviceId{key.device_id}; };
  const auto state = [&](const TestKey& key) { return c.keys->Get(of(key))->state; };
  c.Enrol(a, c.alice, *desk);
  c.Enrol(b, c.alice, *desk);
  CHECK(state(a) == KeyState::kActive);
  CHECK(state(b) == KeyState::kActive);

  REQUIRE(c.Sees(*desk, {&d}, 0));
  const auto begin = [&](const std::optional<DeviceId>& replaces) {
    return c.keys->BeginEnrolment(c.admin, c.alice, of(d), desk->id, replaces);
  };
  const auto third = begin(std::nullopt);
  REQUIRE_FALSE(third);
  CHECK(third.error().code == ErrorCode::kConflict);
  CHECK_THAT(third.error().message,
             Catch::Contains("2 keys") && Catch::Contains("keys.per_person"));
  CHECK(begin(of(d)).error().code == ErrorCode::kConflict);
  CHECK(begin(DeviceId{}).error().code == ErrorCode::kConflict);
  // Somebody else's key is not to be replaced.
  const AccountId bob = c.directory.Add("bob");
  TestKey his(c.maker);
  auto other = c.AddWorkstation("desk-2");
  c.Enrol(his, bob, *other);
  CHECK(begin(of(his)).error().code == ErrorCode::kConflict);

  REQUIRE(c.Change(c.alice, "request-0001"));
  const ChangeView before = c.Newest(c.alice);
  c.Enrol(d, c.alice, *desk, &a);
  CHECK(state(a) == KeyState::kRevoked);
  CHECK(state(b) == KeyState::kActive);
  CHECK(state(d) == KeyState::kActive);
  for (const KeyDelivery& key : c.Newest(c.alice).keys) {
    CHECK(key.state == (key.device == of(a) ? JobState::kCancelled : JobState::kReady));
  }
  CHECK(c.keys->Get(of(d))->password == KeyPassword::kNone);
  CHECK(begin(of(a)).error().code == ErrorCode::kConflict);  // it is out of use
  // A lost key does not count any more.
  REQUIRE(c.keys->Step(c.admin, of(b), KeyStep::kCompromise, "lost"));
  TestKey e(c.maker);
  c.Enrol(e, c.alice, *desk);
  CHECK(state(b) == KeyState::kCompromised);
  CHECK(state(e) == KeyState::kActive);
}

TEST_CASE("enrolments that are under way count as keys of the person") {
  KeyConfig one;
  one.per_person = 1;
  Company c({}, one);
  auto desk = c.AddWorkstation("desk-1");
  TestKey a(c.maker), b(c.maker);
  REQUIRE(c.Sees(*desk, {&a, &b}, 0));
  const auto begin = [&](const TestKey& key) {
    return c.keys->BeginEnrolment(c.admin, c.alice, DeviceId{key.device_id}, desk->id,
                                  std::nullopt);
  };
  REQUIRE(begin(a));
  CHECK(begin(b).error().code == ErrorCode::kConflict);
  CHECK(begin(a));  // the same key again is no other
  c.clock.Advance(std::chrono::minutes(11));
  CHECK(begin(b));  // nobody waits for the first any more
}

TEST_CASE("after a restore every key of a person tells for itself") {
  Lanyard l;
  l.See({&l.key});
  REQUIRE(l.Change(l.alice, "request-0001"));
  l.BringTo(l.key);
  l.directory.time = l.clock.UnixMillis() / 1000;
  l.desk->subscription.reset();
  l.StopStore();
  {
    const auto opened = l.database.Open();
    REQUIRE(opened);
    REQUIRE((*opened)->BeginAnew({l.clock.UnixMillis(), l.clock.UnixMillis(), 1}, kRestoredReason,
                                 AuditBySystem(l.clock, "server.restore", "", "ok", "test")));
  }
  l.Restart();
  l.desk->Forget();
  l.Connect(*l.desk);
  // One has it: that is no incident, and what waited for the other is void.
  CHECK(l.State() == ChangeState::kConfirmed);
  CHECK_FALSE(l.Newest(l.alice).incident);
  CHECK(l.To(l.second).state == JobState::kCancelled);
  l.See({&l.key, &l.second});
  CHECK_FALSE(l.changes->Check(l.admin, l.alice)->allowed);
  l.BringTo(l.key);  // the question
  const auto check = l.changes->Check(l.admin, l.alice);
  CHECK(check->allowed);
  CHECK(check->keys == 1);
  CHECK_THAT(check->note, Catch::Contains("restored"));
  l.BringTo(l.second);
  CHECK(l.keys->Get(l.Of(l.key))->password == KeyPassword::kNewest);
  CHECK_THAT(l.keys->Get(l.Of(l.second))->note, Catch::Contains("set a new one"));
  REQUIRE(l.Change(l.alice, "request-0002"));
  l.BringTo(l.key);
  l.BringTo(l.second);
  CHECK(l.State() == ChangeState::kDone);
  CHECK(l.second.password == l.AdPassword());
  CHECK(l.keys->Get(l.Of(l.second))->note.empty());
}
