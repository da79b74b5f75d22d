// Changes at delivery: the key is prepared first, then the directory is asked, then the key is
// told.
#include <catch2/catch.hpp>
#include <utility>

#include "office.h"

using namespace keyferry;
using namespace keyferry::server;
using namespace keyferry::server::testing;

namespace {

// With a password that key and directory agree on.
struct Prepared : Office {
  explicit Prepared(ChangeConfig config = {}) : Office(config) {
    REQUIRE(Change(alice, "request-0000"));
    REQUIRE(Deliver(*desk, key));
    old = AdPassword();
    REQUIRE(key.password == old);
    desk->Forget();
  }
  bool AllOld() { return AdPassword() == old && key.password == old; }
  bool AllNew() { return AdPassword() != old && key.password == AdPassword(); }
  std::size_t Jobs() { return desk->Named("job").size(); }

  std::string old;
};

}  // namespace

TEST_CASE("at delivery: the key is prepared, then the directory is set, then the key takes it") {
  Prepared office;
  const int writes = office.directory.writes;
  const auto view = office.ChangeAtDelivery("request-0001");
  REQUIRE(view);
  CHECK(view->state == ChangeState::kIntent);
  CHECK(view->mode == ChangeMode::kAtDelivery);
  CHECK(view->ad_set == 0);
  CHECK(view->expires > view->created);
  CHECK(office.Jobs() == 0);

  office.Proceed();
  REQUIRE(office.Jobs() == 1);
  CHECK(office.Newest(office.alice).state == ChangeState::kHeld);
  CHECK(office.Newest(office.alice).job_state == JobState::kReady);
  CHECK(office.AllOld());

  REQUIRE(office.Deliver(*office.desk, office.key));
  const ChangeView held = office.Newest(office.alice);
  CHECK(held.state == ChangeState::kHeld);
  CHECK(held.job_state == JobState::kHeld);
  CHECK(held.prepared != 0);
  CHECK(held.delivered == 0);
  CHECK(held.receipt_hash.empty());
  CHECK(office.AllOld());
  CHECK(office.directory.writes == writes);
  CHECK_FALSE(office.key.pending.empty());

  office.Proceed();
  CHECK(office.directory.writes == writes + 1);
  CHECK(office.AdPassword() == office.key.pending);
  CHECK(office.key.password == office.old);
  CHECK(office.Newest(office.alice).state == ChangeState::kConfirmed);
  CHECK(office.Newest(office.alice).job_state == JobState::kReady);
  REQUIRE(office.Jobs() == 2);

  CHECK(office.Bring().kind == ReceiptVerdict::kStored);
  CHECK(office.AllNew());
  CHECK(office.key.previous == office.old);
  const ChangeView done = office.Newest(office.alice);
  CHECK(done.state == ChangeState::kDone);
  CHECK(done.job_state == JobState::kDelivered);
  CHECK(done.receipt_hash.size() == 64);
  office.changes->Reconcile();
  CHECK(office.Jobs() == 2);

  // A login names the password by the job that brought it, which was the HOLD.
  REQUIRE(office.keys->Used(office.desk->id, DeviceId{office.key.device_id}, done.seq - 1));
  CHECK(office.Newest(office.alice).job_state == JobState::kUsed);
}

TEST_CASE("at delivery: while the key is away nothing happens, through restarts too") {
  Prepared office;
  office.Unplug();
  const auto view = office.ChangeAtDelivery("request-0001");
  REQUIRE(view);
  office.Proceed();
  office.changes->Reconcile();
  office.desk->subscription.reset();
  office.Restart();
  office.Connect(*office.desk);
  office.clock.Advance(std::chrono::hours(24 * 20));
  office.changes->Reconcile();
  CHECK(office.Jobs() == 0);
  CHECK(office.Newest(office.alice).state == ChangeState::kIntent);
  CHECK(office.AllOld());
  // Whoever repeats the request gets the change that waits.
  const auto again = office.ChangeAtDelivery("request-0001");
  REQUIRE(again);
  CHECK(again->id == view->id);

  SECTION("then it is plugged in") {
    office.Plug();
    office.Bring();
    office.Bring();
    CHECK(office.AllNew());
    CHECK(office.Newest(office.alice).state == ChangeState::kDone);
  }
  SECTION("or never is: given up in words") {
    office.clock.Advance(std::chrono::hours(24 * 11));
    office.changes->Reconcile();
    CHECK(office.Newest(office.alice).state == ChangeState::kFailed);
    CHECK_THAT(office.Newest(office.alice).error, Catch::Contains("not seen in time"));
    CHECK(office.AllOld());
    office.Plug();
    CHECK(office.Jobs() == 0);
  }
}

TEST_CASE("at delivery: what the directory refuses is dropped from the key, and said") {
  Prepared office;
  office.directory.script = {GENERATE(Write::kPolicy, Write::kRights, Write::kUnavailable)};
  REQUIRE(office.ChangeAtDelivery("request-0001"));
  office.Proceed();
  office.Bring();
  const ChangeView failed = office.Newest(office.alice);
  CHECK(failed.state == ChangeState::kFailed);
  CHECK_FALSE(failed.error.empty());
  CHECK_FALSE(failed.incident);
  REQUIRE(office.Jobs() == 2);  // HOLD, DROP
  CHECK_FALSE(office.key.pending.empty());
  office.Bring();
  CHECK(office.key.pending.empty());
  CHECK(office.AllOld());
  CHECK_FALSE(office.store->FindKey(DeviceId{office.key.device_id})->value().held);
  office.Proceed();
  office.changes->Reconcile();
  CHECK(office.Jobs() == 2);
  REQUIRE(office.ChangeAtDelivery("request-0002"));
  office.Proceed();
  office.Bring();
  office.Bring();
  CHECK(office.AllNew());
}

TEST_CASE("at delivery: a DROP that is refused is not repeated for ever") {
  Prepared office;
  office.directory.script = {Write::kPolicy};
  REQUIRE(office.ChangeAtDelivery("request-0001"));
  office.Proceed();
  office.Bring();
  REQUIRE(office.Jobs() == 2);
  protocol::Receipt refusal = office.key.Draft();
  refusal.result = protocol::Status::kBadPlaintext;
  refusal.job_hash = protocol::JobHash(office.NewestJob(*office.desk));
  REQUIRE(office.Return(*office.desk, office.key, office.key.Sign(refusal)));
  office.Proceed();
  office.changes->Reconcile();
  CHECK(office.Jobs() == 2);
}

TEST_CASE("at delivery: a server that dies loses the password, makes a fresh one, and agrees") {
  Prepared office;
  REQUIRE(office.ChangeAtDelivery("request-0001"));
  office.Proceed();
  REQUIRE(office.Jobs() == 1);
  const Blob first = office.NewestJob(*office.desk);
  std::string lost;
  SECTION("before the key had the HOLD") {
    office.Reboot();
    office.changes->Reconcile();
    CHECK(office.NewestJob(*office.desk) == first);  // its fate must be known first
    office.Bring();
  }
  SECTION("after its receipt") {
    REQUIRE(office.Deliver(*office.desk, office.key));
    office.Reboot();
    office.changes->Reconcile();
  }
  lost = office.key.pending;
  CHECK(office.AllOld());
  const Blob second = office.NewestJob(*office.desk);
  CHECK(second != first);
  office.Bring();
  CHECK(office.key.pending != lost);
  office.Bring();
  CHECK(office.AllNew());
  CHECK(office.Newest(office.alice).state == ChangeState::kDone);
  CHECK(office.changes->History(office.alice, 10)->size() == 2);
}

TEST_CASE("at delivery: a crash around the write is decided by the directory's record") {
  Prepared office;
  const bool applied = GENERATE(true, false);
  const int writes = office.directory.writes;
  office.directory.script = {applied ? Write::kCrashAfter : Write::kCrashBefore};
  REQUIRE(office.ChangeAtDelivery("request-0001"));
  office.Proceed();
  REQUIRE(office.Deliver(*office.desk, office.key));
  CHECK_THROWS_AS(office.Proceed(), Crash);
  office.desk->Forget();
  office.Reboot();
  office.changes->Reconcile();
  office.clock.Advance(std::chrono::seconds(61));
  office.changes->Reconcile();
  CHECK(office.directory.writes == writes + 1);
  REQUIRE(office.Jobs() >= 1);  // COMMIT or DROP
  office.Bring();
  CHECK(office.Newest(office.alice).state == (applied ? ChangeState::kDone : ChangeState::kFailed));
  CHECK((applied ? office.AllNew() : office.AllOld()));
  CHECK(office.key.pending.empty());
}

TEST_CASE("at delivery: a directory that is down is waited for while the password is kept") {
  Prepared office;
  REQUIRE(office.ChangeAtDelivery("request-0001"));
  office.Proceed();
  REQUIRE(office.Deliver(*office.desk, office.key));
  office.directory.down = true;
  office.Proceed();
  CHECK(office.Newest(office.alice).state == ChangeState::kHeld);
  SECTION("it comes back soon") {
    office.clock.Advance(std::chrono::minutes(5));
    office.directory.down = false;
    office.changes->Reconcile();
    CHECK(office.Jobs() == 2);
  }
  SECTION("it comes back late: a fresh password") {
    const std::string first = office.key.pending;
    office.clock.Advance(std::chrono::minutes(11));
    office.changes->Reconcile();
    CHECK(office.Jobs() == 1);
    office.directory.down = false;
    office.changes->Reconcile();
    CHECK(office.Jobs() == 2);
    office.Bring();
    CHECK(office.AdPassword() != first);
  }
  office.Bring();
  CHECK(office.AllNew());
}

TEST_CASE("at delivery: a newer change takes the place of one that waits") {
  // Nothing sealed yet; the HOLD on its way; the key prepared.
  const auto [phase, now] = GENERATE(
      table<int, bool>({{0, true}, {0, false}, {1, true}, {1, false}, {2, true}, {2, false}}));
  Prepared office;
  office.Unplug();
  REQUIRE(office.ChangeAtDelivery("request-0001"));
  if (phase >= 1) office.Plug();
  if (phase == 2) REQUIRE(office.Deliver(*office.desk, office.key));
  const auto newer =
      now ? office.Change(office.alice, "request-0002") : office.ChangeAtDelivery("request-0002");
  REQUIRE(newer);
  const auto history = office.changes->History(office.alice, 10).value();
  REQUIRE(history.size() == 3);
  CHECK(history[1].state == ChangeState::kSuperseded);
  CHECK(history[1].ad_set == 0);
  CHECK_FALSE(history[0].incident);
  if (phase == 0) office.Plug();
  office.Proceed();
  for (int i = 0; i < 6 && !office.AllNew(); ++i) office.Bring();
  CHECK(office.AllNew());
  CHECK(office.key.pending.empty());
  CHECK(office.Newest(office.alice).state == ChangeState::kDone);
  CHECK(office.Key(office.alice).alarm.empty());
}

TEST_CASE("a HOLD is not sealed while an older password is not on the key") {
  Prepared office;
  office.Unplug();
  REQUIRE(office.Change(office.alice, "request-0001"));
  const std::string in_ad = office.AdPassword();
  REQUIRE(office.ChangeAtDelivery("request-0002"));
  office.Plug();
  REQUIRE(office.Jobs() == 1);  // the older one
  CHECK(office.Newest(office.alice).state == ChangeState::kIntent);
  office.Bring();
  CHECK(office.key.password == in_ad);
  REQUIRE(office.Jobs() == 2);  // now the HOLD
  office.Bring();
  office.Bring();
  CHECK(office.AllNew());
  CHECK(office.AdPassword() != in_ad);
}

TEST_CASE("a DROP waits for the receipt of its HOLD") {
  Prepared office;
  REQUIRE(office.ChangeAtDelivery("request-0001"));
  office.Proceed();
  const Blob hold = office.NewestJob(*office.desk);
  // Overtaken by a change that the directory refuses: the HOLD is on its way for nothing.
  office.directory.script = {Write::kPolicy};
  REQUIRE_FALSE(office.Change(office.alice, "request-0002"));
  office.Proceed();
  office.changes->Reconcile();
  CHECK(office.Jobs() == 1);
  REQUIRE(office.Return(*office.desk, office.key, office.key.Put(hold)));
  office.Proceed();
  REQUIRE(office.Jobs() == 2);
  office.Bring();
  CHECK(office.key.pending.empty());
  CHECK(office.AllOld());
}

TEST_CASE("no sequence is claimed beside an open change") {
  Prepared office;
  REQUIRE(office.ChangeAtDelivery("request-0001"));
  office.Proceed();
  const Blob hold = office.NewestJob(*office.desk);
  const auto next_seq = [&] {
    return office.store->FindKey(DeviceId{office.key.device_id})->value().next_seq;
  };
  std::uint64_t during = 0;
  bool came = false;
  office.directory.on_write = [&] {
    if (std::exchange(came, true)) return;
    // The HOLD's receipt comes while a newer change asks the directory: a DROP would be due.
    const std::uint64_t before = next_seq();
    REQUIRE(office.Return(*office.desk, office.key, office.key.Put(hold)));
    const auto key = office.store->FindKey(DeviceId{office.key.device_id})->value();
    CHECK(key.held);
    CHECK_FALSE(*office.store->HeldInVain(key.device));
    during = next_seq() - before;
  };
  REQUIRE(office.Change(office.alice, "request-0002"));
  CHECK(came);
  CHECK(during == 0);
  office.Proceed();
  office.Bring();
  CHECK(office.AllNew());
  CHECK(office.key.pending.empty());
}

TEST_CASE("HOLDs that are overtaken stay on offer, so that the way is never blocked") {
  Prepared office;
  for (int i = 0; i < 4; ++i) {
    const std::string number = std::to_string(i);
    office.Plug();
    REQUIRE(office.ChangeAtDelivery("at-delivery-" + number));
    office.Proceed();
    office.Unplug();  // before the key has it
    office.directory.script = {Write::kPolicy};
    const auto refused = office.Change(office.alice, "refused-now-" + number);
    REQUIRE_FALSE(refused);
  }
  office.Plug();
  for (int i = 0; i < 6 && office.Jobs() != 0; ++i) {
    const std::size_t jobs = office.Jobs();
    office.Bring();
    if (office.Jobs() == jobs) break;
  }
  CHECK(office.AllOld());
  CHECK(office.key.pending.empty());
  office.directory.script.clear();
  REQUIRE(office.Change(office.alice, "request-9999"));
  office.Bring();
  CHECK(office.AllNew());
}

TEST_CASE("at delivery: what the key refuses to hold changes nothing") {
  Prepared office;
  REQUIRE(office.ChangeAtDelivery("request-0001"));
  office.Proceed();
  protocol::Receipt refusal = office.key.Draft();
  refusal.result = protocol::Status::kBadPlaintext;
  refusal.job_hash = protocol::JobHash(office.NewestJob(*office.desk));
  REQUIRE(office.Return(*office.desk, office.key, office.key.Sign(refusal)));
  office.Proceed();
  CHECK(office.Newest(office.alice).state == ChangeState::kFailed);
  CHECK_THAT(office.Newest(office.alice).error, Catch::Contains("nothing was changed"));
  CHECK(office.AllOld());
  CHECK(office.Jobs() == 1);
}

TEST_CASE("at delivery: a key that says stored but not held is under suspicion") {
  Prepared office;
  REQUIRE(office.ChangeAtDelivery("request-0001"));
  office.Proceed();
  protocol::Receipt receipt =
      protocol::Receipt::Parse(office.key.Put(office.NewestJob(*office.desk))).value();
  receipt.flags = static_cast<std::uint16_t>(receipt.flags & ~protocol::kReceiptHeld);
  CHECK(office.Return(*office.desk, office.key, office.key.Sign(receipt))->kind ==
        ReceiptVerdict::kRefused);
  CHECK_FALSE(office.Key(office.alice).alarm.empty());
  office.Proceed();
  CHECK(office.AllOld());
}

TEST_CASE("at delivery: the key may be replaced meanwhile, the password goes to the new one") {
  Prepared office;
  REQUIRE(office.ChangeAtDelivery("request-0001"));
  const int phase = GENERATE(0, 1, 2);
  if (phase >= 1) office.Proceed();
  if (phase == 2) REQUIRE(office.Deliver(*office.desk, office.key));
  TestKey next(office.maker);
  office.Enrol(next, office.alice, *office.desk, &office.key);
  office.desk->Forget();
  office.Proceed();
  CHECK(office.AdPassword() == office.old);
  REQUIRE(office.Jobs() == 1);
  REQUIRE(office.Deliver(*office.desk, next));
  office.Proceed();
  REQUIRE(office.Deliver(*office.desk, next));
  CHECK(next.password == office.AdPassword());
  CHECK(next.password != office.old);
  CHECK(office.Newest(office.alice).device == DeviceId{next.device_id});
}

TEST_CASE("at delivery: whoever may not get a password any more gets none") {
  Prepared office;
  office.Unplug();
  REQUIRE(office.ChangeAtDelivery("request-0001"));
  office.directory.At(office.alice).detail.state.is_protected = true;
  office.Plug();
  CHECK(office.Jobs() == 0);
  CHECK(office.Newest(office.alice).state == ChangeState::kFailed);
  CHECK_THAT(office.Newest(office.alice).error, Catch::Contains("protected"));
  CHECK(office.AllOld());
}

TEST_CASE("at delivery: a typed password is refused") {
  ChangeConfig config;
  config.allow_typing = true;
  Prepared office(config);
  ChangeRequest request = office.Request(office.alice, "request-0001");
  request.mode = ChangeMode::kAtDelivery;
  request.generate = false;
  request.typed = SecureBytes::CopyOf(std::string_view("Typed-Typed-1"));
  const auto refused = office.changes->Start(office.admin, std::move(request));
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ErrorCode::kInvalidArgument);
}

TEST_CASE("at delivery: another server that has the password in memory is waited for") {
  Prepared office;
  REQUIRE(office.ChangeAtDelivery("request-0001"));
  office.Proceed();
  REQUIRE(office.Deliver(*office.desk, office.key));
  const CorePorts ports{*office.store,
                        office.directory,
                        office.clock,
                        OsRandom(),
                        *office.bus,
                        *office.issuer,
                        office.ca,
                        *office.attestation,
                        office.waiter,
                        *office.presence,
                        {}};
  ChangeConfig shared;
  shared.shared_store = true;
  const auto other = MakeChangeService(ports, shared);
  other->Proceed(office.alice);
  other->Reconcile();
  CHECK(office.Jobs() == 1);
  SECTION("it goes on") { office.Proceed(); }
  SECTION("it is gone") {
    office.clock.Advance(std::chrono::seconds(31));
    other->Reconcile();
    CHECK(office.Jobs() == 2);
    office.Proceed();  // the first one's password is worthless now, and it knows
    CHECK(office.AllOld());
    REQUIRE(office.Deliver(*office.desk, office.key));
    other->Proceed(office.alice);
  }
  office.Bring();
  CHECK(office.AllNew());
}

TEST_CASE("after an unknown outcome, a sure failure does not hide that nobody knows the password") {
  Prepared office;
  office.directory.metadata = false;
  office.directory.no_binds = true;
  office.directory.At(office.alice).detail.state.password_last_set = 0;
  auto request = office.Request(office.alice, "request-0001");
  request.must_change = true;
  office.directory.script = {Write::kLostThenApplied};
  REQUIRE_FALSE(office.changes->Start(office.admin, std::move(request)));
  office.clock.Advance(std::chrono::seconds(100));
  office.changes->Reconcile();
  REQUIRE(office.Newest(office.alice).state == ChangeState::kUnknown);

  office.directory.script = {Write::kPolicy};
  const auto refused = office.Change(office.alice, "request-0002");
  REQUIRE_FALSE(refused);
  CHECK_THAT(refused.error().message, Catch::Contains("nobody has its password"));
  CHECK(office.Newest(office.alice).state == ChangeState::kFailed);
  CHECK(office.Newest(office.alice).incident);
  // Not by a restart, not by another failure, not by one that waits.
  office.Reboot();
  CHECK(office.Newest(office.alice).incident);
  office.directory.script = {Write::kPolicy};
  REQUIRE_FALSE(office.Change(office.alice, "request-0003"));
  CHECK(office.Newest(office.alice).incident);
  office.Unplug();
  REQUIRE(office.ChangeAtDelivery("request-0004"));
  CHECK(office.Newest(office.alice).incident);
  // Only by a password that the directory took.
  REQUIRE(office.Change(office.alice, "request-0005"));
  CHECK_FALSE(office.Newest(office.alice).incident);
  office.Plug();
  office.Bring();
  CHECK(office.key.password == office.AdPassword());
}

TEST_CASE("a job is given up for its epoch only above the key's sequence") {
  Prepared office;
  office.Unplug();
  REQUIRE(office.Change(office.alice, "request-0001"));
  const ChangeView waiting = office.Newest(office.alice);
  const auto key = office.store->FindKey(DeviceId{office.key.device_id})->value();
  RefusalUpdate update;
  update.job = waiting.job;
  update.give_up = false;
  update.device = key.device;
  update.workstation = office.desk->id;
  const bool passed_by = GENERATE(true, false);
  update.reseal = RefusalUpdate::Reseal{key.receipt_ctr, passed_by ? waiting.seq : waiting.seq - 1,
                                        key.epoch + 3, key.recipient_pub};
  REQUIRE(office.store->TakeRefusal(update, {}));
  const ChangeView after = office.Newest(office.alice);
  CHECK(after.job_state == (passed_by ? JobState::kReady : JobState::kRefused));
  // The one below may have been stored: it is offered until its receipt is found.
  office.Plug();
  CHECK(office.Jobs() == (passed_by ? 1 : 0));
}

TEST_CASE("a job that nobody answers for is offered again, at growing pauses") {
  Prepared office;
  REQUIRE(office.Change(office.alice, "request-0001"));
  REQUIRE(office.Jobs() == 1);
  CHECK(office.Newest(office.alice).attempts == 1);
  office.changes->Reconcile();
  CHECK(office.Jobs() == 1);
  std::size_t offers = 1;
  for (const int minutes : {1, 2, 4, 8, 16, 32, 60, 60}) {
    CHECK(office.Newest(office.alice).next_try == office.clock.UnixMillis() + minutes * 60'000);
    office.clock.Advance(std::chrono::minutes(minutes) - std::chrono::seconds(1));
    office.changes->Reconcile();
    CHECK(office.Jobs() == offers);
    office.clock.Advance(std::chrono::seconds(1));
    office.changes->Reconcile();
    CHECK(office.Jobs() == ++offers);
    CHECK(office.Newest(office.alice).attempts == offers);
  }
  office.Bring();
  CHECK(office.AllNew());
  office.clock.Advance(std::chrono::hours(24));
  office.changes->Reconcile();
  CHECK(office.Jobs() == offers);
}

TEST_CASE("a damaged change does not keep the others from going on") {
  Prepared office;
  const AccountId bob = office.directory.Add("bob");
  TestKey key(office.maker);
  auto other = office.AddWorkstation("desk-2");
  office.Enrol(key, bob, *other);
  ChangeRequest request = office.Request(bob, "request-of-bob");
  request.mode = ChangeMode::kAtDelivery;
  other->Forget();
  REQUIRE(office.ChangeAtDelivery("request-0001"));
  REQUIRE(office.changes->Start(office.admin, std::move(request)));
  office.Tamper("UPDATE changes SET error_code = 'no such code' WHERE login = 'alice'");
  office.Connect(*other);
  REQUIRE(office.Sees(*other, {&key}));
  office.log.clear();
  office.changes->Reconcile();
  CHECK(other->Named("job").size() == 1);
  REQUIRE_FALSE(office.log.empty());
  CHECK_THAT(office.log.front(), Catch::Contains("1 open changes cannot be read"));
}

TEST_CASE("the next sequence is above what the key has shown, also for an older database") {
  Prepared office;
  REQUIRE(office.Change(office.alice, "request-0001"));
  const bool positive = GENERATE(true, false);
  const Blob job = office.NewestJob(*office.desk);
  // As after a restore: the key has gone on, the database has not heard of it.
  office.Tamper("UPDATE device_keys SET next_seq = 1");
  if (positive) {
    REQUIRE(office.Return(*office.desk, office.key, office.key.Put(job)));
    CHECK(office.store->FindKey(DeviceId{office.key.device_id})->value().next_seq == 3);
  } else {
    protocol::Receipt refusal = office.key.Draft();
    refusal.result = protocol::Status::kReplay;
    refusal.job_hash = protocol::JobHash(job);
    refusal.seq = refusal.prev_seq = 9;
    refusal.epoch += 5;
    refusal.receipt_ctr += 5;
    REQUIRE(office.Return(*office.desk, office.key, office.key.Sign(refusal)));
    CHECK(office.store->FindKey(DeviceId{office.key.device_id})->value().next_seq == 10);
  }
}
