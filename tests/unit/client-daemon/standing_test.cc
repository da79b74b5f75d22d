// Who is which key: fakes, clones, and one key on two ways.
#include <catch2/catch.hpp>
#include <set>
#include <thread>

#include "tests/unit/client-daemon/workstation_rig.h"

using namespace keyferry;
using namespace keyferry::daemon;
using device::TransportKind;
using test::FakeKey;
using test::kAsker;
using test::WorkstationRig;

namespace {

const std::string kUsbNode = "/dev/hidraw0";
const std::string kUsbNode2 = "/dev/hidraw1";
const std::string kBleNode = "/org/bluez/hci0/dev_1";

// Answers as the same key, to the last secret.
void MakeClone(const FakeKey& key, FakeKey& clone) {
  clone.info = key.info;
  clone.account_id = key.account_id;
  clone.noise_key = key.noise_key;
  clone.noise_public = key.noise_public;
  clone.device_key = key.device_key;
  clone.device_public = key.device_public;
}

std::function<bool(const KeyReport&)> Stands(const std::string& standing) {
  return [standing](const KeyReport& report) { return report.standing == standing; };
}

}  // namespace

TEST_CASE("a fake that was there first, on a better way, cannot keep the key from its job") {
  FakeKey key;
  FakeKey fake;
  fake.info.device_id = key.info.device_id;
  WorkstationRig rig;
  if (GENERATE(false, true)) rig.workstation->OnKey(rig.KeyEventOf(key));  // known before
  rig.Attach(kUsbNode, fake, TransportKind::kHid);
  rig.NextPost(Post::kKeys);
  rig.Attach(kBleNode, key, TransportKind::kBle);
  rig.workstation->OnKey(rig.KeyEventOf(key));
  CHECK(rig.Until(kBleNode, Stands("active")));
  CHECK(rig.Until(kUsbNode, Stands("doubted")));
  rig.workstation->OnJob(rig.Job(key, 1));
  rig.NextPost(Post::kReceipt);
  CHECK(key.stored.size() == 1);
  CHECK(fake.stored.empty());
  CHECK(fake.handshakes == 0);
  const auto relay = rig.workstation->OpenRelayFor("alice", kAsker);
  REQUIRE(relay);
  CHECK(relay->path == kBleNode);
}

TEST_CASE("fakes without number cannot freeze the key that proves itself") {
  FakeKey key;
  FakeKey fakes[3];
  WorkstationRig rig;
  for (int i = 0; i < 3; ++i) {
    fakes[i].info.device_id = key.info.device_id;
    rig.Attach("/fake/" + std::to_string(i), fakes[i]);
  }
  rig.Attach(kUsbNode, key);
  CHECK(rig.Until(kUsbNode, Stands("frozen")));  // all alike, until the record comes
  CHECK(rig.workstation->OpenRelay(key.info.device_id, kAsker).error().code ==
        ErrorCode::kConflict);
  rig.workstation->OnKey(rig.KeyEventOf(key));
  CHECK(rig.Until(kUsbNode, Stands("active")));
  rig.workstation->OnJob(rig.Job(key, 1));
  rig.NextPost(Post::kReceipt);
  CHECK(key.stored.size() == 1);
}

TEST_CASE("a cloned key is frozen with its twin, and the server is told") {
  FakeKey key;
  FakeKey clone;
  MakeClone(key, clone);
  WorkstationRig rig;
  rig.workstation->OnKey(rig.KeyEventOf(key));
  rig.Attach(kUsbNode, key);
  REQUIRE(rig.Until(kUsbNode, Stands("active")));
  rig.Attach(kUsbNode2, clone);
  REQUIRE(rig.Until(kUsbNode, Stands("frozen")));
  REQUIRE(rig.Until(kUsbNode2, Stands("frozen")));
  rig.workstation->OnJob(rig.Job(key, 1));
  CHECK(rig.NextPost(Post::kJobProblem).code == "duplicate_key");
  CHECK(rig.workstation->OpenRelayFor("alice", kAsker).error().code == ErrorCode::kConflict);
  CHECK(key.stored.empty());
  CHECK(clone.stored.empty());
  rig.Remove(kUsbNode2);
  rig.NextPost(Post::kReceipt);
  CHECK(key.stored.size() == 1);
  CHECK(rig.Until(kUsbNode, [](const KeyReport& report) { return report.trouble.empty(); }));
}

TEST_CASE("one key on two ways is one key: the better one works, the other takes over") {
  FakeKey key;
  WorkstationRig rig;
  rig.workstation->OnKey(rig.KeyEventOf(key));
  rig.Attach(kBleNode, key, TransportKind::kBle);
  REQUIRE(rig.Until(kBleNode, Stands("active")));
  rig.Attach(kUsbNode, key, TransportKind::kHid);
  REQUIRE(rig.Until(kUsbNode, Stands("active")));
  REQUIRE(rig.Until(kBleNode, Stands("standby")));
  CHECK(rig.workstation->OpenRelayFor("alice", kAsker)->path == kUsbNode);
  rig.workstation->OnJob(rig.Job(key, 1));
  rig.NextPost(Post::kReceipt);
  rig.Remove(kUsbNode);
  REQUIRE(rig.Until(kBleNode, Stands("active")));
  rig.workstation->OnJob(rig.Job(key, 2));
  rig.NextPost(Post::kReceipt);
  CHECK(key.stored.size() == 2);
}

TEST_CASE("changing the way in the middle of deliveries loses and doubles no job") {
  constexpr int kJobs = 40;
  FakeKey key;
  WorkstationRig rig;
  rig.workstation->OnKey(rig.KeyEventOf(key));
  rig.Attach(kBleNode, key, TransportKind::kBle);
  REQUIRE(rig.Until(kBleNode, Stands("active")));
  for (std::uint64_t seq = 1; seq <= kJobs; ++seq) rig.workstation->OnJob(rig.Job(key, seq));
  std::set<Bytes> receipts;
  for (int i = 0; i < kJobs; ++i) {
    // Each change while jobs are under way.
    if (i % 8 == 2) rig.Attach(kUsbNode, key, TransportKind::kHid);
    if (i % 8 == 6) rig.Remove(kUsbNode);
    CHECK(receipts.insert(rig.NextPost(Post::kReceipt).bytes).second);
  }
  CHECK(key.stored.size() == kJobs);
  CHECK(rig.spool->Counts().jobs == 0);
  CHECK(rig.spool->Counts().receipts == 0);
}

TEST_CASE("status names the program that waits for a touch, until it is done") {
  FakeKey key;
  WorkstationRig rig;
  rig.workstation->OnKey(rig.KeyEventOf(key));
  rig.Attach(kUsbNode, key);
  REQUIRE(rig.Until(kUsbNode, Stands("active")));
  auto relay = rig.workstation->OpenRelayFor("alice", kAsker);
  REQUIRE(relay);
  key.Trouble([](auto& faults) { faults.touch_for_ever = true; });
  std::thread waiting([&] {
    CHECK_FALSE(relay->link->Transact(
        static_cast<std::uint8_t>(protocol::FrameCommand::kMsg), Bytes(40),
        device::Patience{std::chrono::seconds(20), std::chrono::seconds(20)}, {}));
  });
  CHECK(rig.Until(kUsbNode, [](const KeyReport& report) {
    return report.touch == "tester for login of alice (process 42)";
  }));
  rig.Remove(kUsbNode);
  waiting.join();
}
