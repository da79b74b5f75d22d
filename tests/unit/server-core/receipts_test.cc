// Receipts: what is believed, what is ignored, what raises an alarm.
#include <catch2/catch.hpp>

#include "company.h"

using namespace keyferry;
using namespace keyferry::server;
using namespace keyferry::server::testing;

namespace {

struct Desk : Company {
  Desk() : key(maker) {
    desk = AddWorkstation("desk-1");
    Enrol(key, alice, *desk);
    desk->Forget();
  }
  Blob NewJob(const std::string& idempotency_key) {
    REQUIRE(Change(alice, idempotency_key));
    return NewestJob(*desk);
  }
  ReceiptVerdict Give(const Blob& receipt) { return Return(*desk, key, receipt).value(); }
  std::string AlarmText() { return Key(alice).alarm; }

  TestKey key;
  std::unique_ptr<TestWorkstation> desk;
};

}  // namespace

TEST_CASE("a receipt counts once") {
  Desk d;
  const Blob receipt = d.key.Put(d.NewJob("request-0001"));
  CHECK(d.Give(receipt).kind == ReceiptVerdict::kStored);
  const KeyView after = d.Key(d.alice);
  CHECK(after.receipt_ctr == 2);
  CHECK(after.last_seq == 1);
  CHECK(d.Give(receipt).kind == ReceiptVerdict::kDuplicate);
  d.desk->subscription.reset();
  d.Restart();
  CHECK(d.Give(receipt).kind == ReceiptVerdict::kDuplicate);
  CHECK(d.Key(d.alice).alarm.empty());
  CHECK(d.store->FindJob(d.Newest(d.alice).job)->value().sealed.empty());
}

TEST_CASE("receipts that the key did not make are refused without an alarm") {
  Desk d;
  Blob receipt = d.key.Put(d.NewJob("request-0001"));
  SECTION("changed byte") { receipt[60] ^= 1; }
  SECTION("changed signature") { receipt[200] ^= 1; }
  SECTION("truncated") { receipt.pop_back(); }
  SECTION("empty") { receipt.clear(); }
  SECTION("another key") {
    TestKey other(d.maker);
    auto there = d.AddWorkstation("desk-2");
    d.Enrol(other, d.directory.Add("bob"), *there);
    receipt = other.Sign(protocol::Receipt::Parse(receipt).value());
  }
  CHECK(d.Give(receipt).kind == ReceiptVerdict::kRefused);
  CHECK(d.AlarmText().empty());
  CHECK(d.Newest(d.alice).state == ChangeState::kConfirmed);
}

TEST_CASE("a job that the server never made or never gave raises an alarm and stops the key") {
  Desk d;
  protocol::Receipt receipt = d.key.Draft();
  receipt.seq = 7;
  receipt.receipt_ctr = 2;
  SECTION("never made") { receipt.job_hash.fill(9); }
  SECTION("made, but not handed out") {
    REQUIRE(d.Sees(*d.desk, {}));
    REQUIRE(d.Change(d.alice, "request-0001"));
    receipt.job_hash = d.store->FindJob(d.Newest(d.alice).job)->value().hash;
    receipt.seq = 1;
  }
  CHECK(d.Give(d.key.Sign(receipt)).kind == ReceiptVerdict::kRefused);
  CHECK_FALSE(d.AlarmText().empty());
  const auto check = d.changes->Check(d.admin, d.alice);
  REQUIRE(check);
  CHECK_FALSE(check->allowed);
  REQUIRE(d.Sees(*d.desk, {}));
  REQUIRE(d.Sees(*d.desk, {&d.key}));
  CHECK(d.desk->Named("job").empty());
}

TEST_CASE("a cloned key is found by its forked chain") {
  Desk d;
  TestKey clone = d.key;
  const Blob first = d.NewJob("request-0001");
  SECTION("same counter, other content") {
    const Blob second = d.NewJob("request-0002");
    CHECK(d.Give(d.key.Put(first)).kind == ReceiptVerdict::kStored);
    CHECK(d.Give(clone.Put(second)).kind == ReceiptVerdict::kRefused);
  }
  SECTION("next counter, other past") {
    CHECK(d.Give(d.key.Put(first)).kind == ReceiptVerdict::kStored);
    const Blob second = d.NewJob("request-0002");
    protocol::Receipt forged = protocol::Receipt::Parse(d.key.Put(second)).value();
    forged.previous_hash.fill(3);
    CHECK(d.Give(clone.Sign(forged)).kind == ReceiptVerdict::kRefused);
  }
  SECTION("more receipts than jobs") {
    protocol::Receipt forged = protocol::Receipt::Parse(d.key.Put(first)).value();
    forged.receipt_ctr += 5;
    CHECK(d.Give(d.key.Sign(forged)).kind == ReceiptVerdict::kRefused);
  }
  SECTION("another number than the job's") {
    protocol::Receipt forged = protocol::Receipt::Parse(d.key.Put(first)).value();
    forged.seq += 1;
    CHECK(d.Give(d.key.Sign(forged)).kind == ReceiptVerdict::kRefused);
  }
  CHECK_FALSE(d.AlarmText().empty());
  CHECK(d.audit->List(0, 1).value().front().action == "key.alarm");
}

TEST_CASE("receipts may come late and out of order") {
  Desk d;
  const Blob first = d.NewJob("request-0001");
  const Blob second = d.NewJob("request-0002");
  const Blob one = d.key.Put(first);
  const Blob two = d.key.Put(second);
  CHECK(d.Give(two).kind == ReceiptVerdict::kStored);
  CHECK(d.Key(d.alice).receipt_ctr == 3);
  CHECK(d.Give(one).kind == ReceiptVerdict::kStored);
  CHECK(d.Key(d.alice).receipt_ctr == 3);
  CHECK(d.Key(d.alice).last_seq == 2);
  CHECK(d.AlarmText().empty());
  const auto history = d.changes->History(d.alice, 10).value();
  CHECK(history[0].state == ChangeState::kDone);
  CHECK(history[1].state == ChangeState::kSuperseded);
  CHECK(history[1].job_state == JobState::kDelivered);
  CHECK(d.Give(one).kind == ReceiptVerdict::kDuplicate);
}

TEST_CASE("a late receipt that does not fit its neighbour raises an alarm") {
  Desk d;
  TestKey clone = d.key;
  const Blob first = d.NewJob("request-0001");
  const Blob second = d.NewJob("request-0002");
  d.key.Put(first);
  CHECK(d.Give(d.key.Put(second)).kind == ReceiptVerdict::kStored);
  CHECK(d.Give(clone.Put(first)).kind == ReceiptVerdict::kRefused);  // same job, other bytes
  CHECK_FALSE(d.AlarmText().empty());
}

TEST_CASE("a signed refusal ends the job, says why, and never marks it delivered") {
  Desk d;
  const Blob job = d.NewJob("request-0001");
  protocol::Receipt refusal = d.key.Draft();
  refusal.job_hash = protocol::JobHash(job);
  refusal.result = protocol::Status::kBadPlaintext;
  const Blob bytes = d.key.Sign(refusal);
  CHECK(d.Give(bytes).kind == ReceiptVerdict::kStored);
  const ChangeView view = d.Newest(d.alice);
  CHECK(view.state == ChangeState::kConfirmed);  // the directory does have it
  CHECK(view.job_state == JobState::kRefused);
  CHECK_THAT(view.last_error, Catch::Contains("set a new password"));
  CHECK(view.delivered == 0);
  CHECK(d.Key(d.alice).receipt_ctr == 1);
  CHECK(d.desk->Named("void").size() == 1);
  CHECK(d.Give(bytes).kind == ReceiptVerdict::kDuplicate);
  REQUIRE(d.Change(d.alice, "request-0002"));
  REQUIRE(d.Deliver(*d.desk, d.key));
  CHECK(d.Newest(d.alice).state == ChangeState::kDone);
}

TEST_CASE("an old refusal is ignored") {
  Desk d;
  const Blob first = d.NewJob("request-0001");
  protocol::Receipt old = d.key.Draft();
  CHECK(d.Give(d.key.Put(first)).kind == ReceiptVerdict::kStored);
  REQUIRE(d.Sees(*d.desk, {}));
  const auto second = d.Change(d.alice, "request-0002");
  REQUIRE(second);
  // Made before the first job was taken, about a job that did not exist then: a key set back.
  old.result = protocol::Status::kWrongEpoch;
  old.job_hash = protocol::JobHash(first);
  CHECK(d.Give(d.key.Sign(old)).kind == ReceiptVerdict::kDuplicate);
  CHECK(d.AlarmText().empty());
}

TEST_CASE("a key that was set back betrays itself by refusing a newer job") {
  Desk d;
  const TestKey image = d.key;
  CHECK(d.Give(d.key.Put(d.NewJob("request-0001"))).kind == ReceiptVerdict::kStored);
  d.key = image;
  CHECK(d.Give(d.key.Put(d.NewJob("request-0002"))).kind == ReceiptVerdict::kRefused);
  CHECK_THAT(d.AlarmText(), Catch::Contains("rolled back"));
}

TEST_CASE("REPLAY waits for the receipt that must exist") {
  Desk d;
  const Blob job = d.NewJob("request-0001");
  const Blob positive = d.key.Put(job);
  protocol::Receipt replay = d.key.Draft();
  replay.result = protocol::Status::kReplay;
  replay.job_hash = protocol::JobHash(job);
  CHECK(d.Give(d.key.Sign(replay)).kind == ReceiptVerdict::kStored);
  CHECK(d.Newest(d.alice).job_state == JobState::kReady);
  CHECK(d.Give(positive).kind == ReceiptVerdict::kStored);
  CHECK(d.Newest(d.alice).state == ChangeState::kDone);
  CHECK(d.AlarmText().empty());
}

TEST_CASE("receipts lost for good do not lock the key out: the newest job is asked again") {
  Desk d;
  d.key.Put(d.NewJob("request-0001"));
  d.key.Put(d.NewJob("request-0002"));  // both receipts are lost
  REQUIRE(d.Sees(*d.desk, {}));
  d.desk->Forget();
  CHECK_FALSE(d.Change(d.alice, "request-0003"));
  REQUIRE(d.Sees(*d.desk, {&d.key}));
  CHECK(d.Deliver(*d.desk, d.key)->kind == ReceiptVerdict::kStored);
  REQUIRE(d.Change(d.alice, "request-0004"));
  CHECK(d.Deliver(*d.desk, d.key)->kind == ReceiptVerdict::kStored);
  CHECK(d.key.password == d.directory.At(d.alice).password);
  CHECK(d.AlarmText().empty());
}

TEST_CASE("a key wiped by its holder gets nothing more") {
  Desk d;
  CHECK(d.Give(d.key.WipeLocally()).kind == ReceiptVerdict::kStored);
  CHECK_THAT(d.AlarmText(), Catch::Contains("wiped"));
  CHECK_FALSE(d.Change(d.alice, "request-0001"));
}

TEST_CASE("unknown keys and unapproved workstations get nowhere") {
  Desk d;
  const Blob receipt = d.key.Put(d.NewJob("request-0001"));
  DeviceId stranger;
  stranger.bytes.fill(5);
  CHECK(d.keys->AcceptReceipt(d.desk->id, stranger, receipt)->kind == ReceiptVerdict::kRefused);
  REQUIRE(d.workstations->Revoke(d.admin, d.desk->id));
  const auto refused = d.Return(*d.desk, d.key, receipt);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ErrorCode::kPermissionDenied);
}

TEST_CASE("the key may be seen by two workstations; delivery at one is told to the other") {
  Desk d;
  auto other = d.AddWorkstation("desk-2");
  REQUIRE(d.Sees(*other, {&d.key}));
  const Blob job = d.NewJob("request-0001");
  CHECK(d.NewestJob(*other) == job);
  CHECK(d.Return(*other, d.key, d.key.Put(job))->kind == ReceiptVerdict::kStored);
  CHECK(d.Newest(d.alice).workstation == "desk-2");
  REQUIRE(d.desk->Named("void").size() == 1);
  CHECK(other->Named("void").empty());
}
