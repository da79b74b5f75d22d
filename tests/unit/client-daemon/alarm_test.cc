// The organisation's alarm at a workstation: no job goes to a key, no program talks to one.
#include <catch2/catch.hpp>
#include <fstream>
#include <mutex>
#include <thread>
#include <vector>

#include "tests/unit/client-daemon/workstation_rig.h"

using namespace keyferry;
using namespace keyferry::daemon;
using test::FakeKey;
using test::kAsker;
using test::kInfo;
using test::WorkstationRig;

namespace {

const std::string kPlace = "/key/a";
constexpr auto kMessage = static_cast<std::uint8_t>(protocol::FrameCommand::kMsg);
const device::Patience kLong{std::chrono::seconds(20), std::chrono::seconds(20)};

struct HasKey {
  FakeKey key;
};

// A key of alice that is at work; it outlives the workstation.
struct Desk : HasKey, WorkstationRig {
  Desk() {
    workstation->OnKey(KeyEventOf(key));
    Attach(kPlace, key);
    REQUIRE(Until(kPlace, [](const KeyReport& report) { return report.standing == "active"; }));
  }
  void Raise() { workstation->OnAlarm({2, true, 1'800'000'000}); }
  void End() { workstation->OnAlarm({3, false, 1'800'000'000}); }
};

}  // namespace

TEST_CASE("alarm: a job stays in the spool while it stands, and goes to the key after it") {
  Desk desk;
  desk.Raise();
  desk.workstation->OnJob(desk.Job(desk.key, 1));
  desk.NextPost(Post::kSpooled);
  // What waits is asked for again by whatever wakes the broker.
  desk.workstation->OnKey(desk.KeyEventOf(desk.key));
  desk.workstation->OnConnected({});
  desk.workstation->OnAlarm({2, true, 1'800'000'000});
  desk.Remove(kPlace);
  desk.Attach(kPlace, desk.key);
  REQUIRE(desk.Until(kPlace, [](const KeyReport& report) { return report.standing == "active"; }));
  CHECK(desk.key.stored.empty());
  CHECK(desk.spool->Counts().jobs == 1);
  desk.End();
  desk.NextPost(Post::kReceipt);
  CHECK(desk.key.stored.size() == 1);
}

TEST_CASE("alarm: a job that waits for a touch is cancelled") {
  Desk desk;
  desk.key.Trouble([](auto& faults) { faults.touch_for_ever = true; });
  const int messages = desk.key.messages;
  desk.workstation->OnJob(desk.Job(desk.key, 1));
  while (desk.key.messages == messages) std::this_thread::yield();
  CHECK(desk.key.cancels == 0);
  desk.Raise();
  // A key that waits says so all the time; on the cid of the daemon itself, the first one.
  const protocol::Report keepalive{0, 0, 0x10, 0x00, 0xBB, 0, 1, 2};
  while (desk.key.cancels == 0) {
    desk.key.Spill(keepalive);
    std::this_thread::yield();
  }
  CHECK(desk.key.stored.empty());
  CHECK(desk.spool->Counts().jobs == 1);
}

TEST_CASE("alarm: local programs get no relay, in words") {
  Desk desk;
  REQUIRE(desk.workstation->OpenRelayFor("alice", kAsker));
  desk.Raise();
  for (const auto& refused : {desk.workstation->OpenRelayFor("alice", kAsker),
                              desk.workstation->OpenRelay(desk.key.info.device_id, kAsker),
                              desk.workstation->OpenRelayFor("nobody", kAsker)}) {
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == ErrorCode::kPolicyRefused);
    CHECK(refused.error().message == kAlarmSentence);
  }
  CHECK(desk.workstation->Status().alarm);
  CHECK(desk.workstation->Status().alarm_since == 1'800'000'000);
  desk.End();
  CHECK(desk.workstation->OpenRelayFor("alice", kAsker));
  CHECK_FALSE(desk.workstation->Status().alarm);
}

TEST_CASE("alarm: relays that are open are ended, and carry nothing any more") {
  std::mutex mutex;
  std::vector<std::string> ended;
  Desk desk;  // which tells of its keys until its end
  desk.key_gone = [&](const std::string& path) {
    const std::scoped_lock lock(mutex);
    ended.push_back(path);
  };
  auto relay = desk.workstation->OpenRelayFor("alice", kAsker);
  REQUIRE(relay);
  REQUIRE(relay->link->Transact(kInfo, {}, kLong, {}));
  desk.Raise();
  {
    const std::scoped_lock lock(mutex);
    CHECK(ended == std::vector<std::string>{kPlace});
  }
  // Nothing passes through it even where its program keeps it.
  const int handshakes = desk.key.handshakes;
  const auto refused = relay->link->Transact(kInfo, {}, kLong, {});
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ErrorCode::kUnavailable);
  CHECK(desk.key.handshakes == handshakes);
  desk.End();
  CHECK(relay->link->Transact(kInfo, {}, kLong, {}));
}

TEST_CASE("alarm: what a key answers while it is raised is not handed on") {
  Desk desk;
  auto relay = desk.workstation->OpenRelayFor("alice", kAsker);
  REQUIRE(relay);
  desk.key.Trouble([](auto& faults) { faults.touch_for_ever = true; });
  const device::Patience brief{std::chrono::milliseconds(200), std::chrono::milliseconds(200)};
  const auto without = relay->link->Transact(kMessage, Bytes(40), brief, {});
  CHECK(without.error().message != kAlarmSentence);
  const auto answer = relay->link->Transact(kMessage, Bytes(40), brief, [&](device::Keepalive) {
    CHECK(desk.alarm->Take({2, true, 1}));
  });
  REQUIRE_FALSE(answer);
  CHECK(answer.error().message == kAlarmSentence);
}

TEST_CASE("alarm: it outlives the daemon, and a damaged file stands for it") {
  test::TempDir dir;
  const std::string path = dir / "alarm";
  {
    Alarm alarm(path);
    CHECK_FALSE(alarm.Stands());
    REQUIRE(alarm.Take({4, true, 77}));
  }
  {
    Alarm alarm(path);
    CHECK(alarm.Stands());
    CHECK(alarm.Since() == 77);
    REQUIRE(alarm.Take({5, false, 77}));
    CHECK_FALSE(alarm.Stands());
    CHECK(alarm.Since() == 0);
  }
  CHECK_FALSE(Alarm(path).Stands());
  for (const std::string& content :
       {std::string(), std::string("KFS1 but not whole"), std::string(70'000, 'x')}) {
    std::ofstream(path) << content;
    Alarm alarm(path);
    CHECK(alarm.Stands());
    CHECK(alarm.Since() == 0);
    REQUIRE(alarm.Take({6, true, 88}));  // the server's word mends it
    CHECK(Alarm(path).Since() == 88);
  }
}

TEST_CASE("alarm: a disk that keeps nothing does not keep it from counting") {
  test::TempDir dir;
  Alarm alarm(dir / "no such folder/alarm");
  CHECK_FALSE(alarm.Take({2, true, 1}));
  CHECK(alarm.Stands());
}

TEST_CASE("alarm: one that was overtaken is left out, but a new connection's word counts") {
  test::TempDir dir;
  Alarm alarm(dir / "alarm");
  REQUIRE(alarm.Take({7, false, 1}));
  REQUIRE(alarm.Take({6, true, 1}));
  CHECK_FALSE(alarm.Stands());
  REQUIRE(alarm.Take({8, true, 2}));
  REQUIRE(alarm.Take({7, false, 1}));
  CHECK(alarm.Stands());
  alarm.Begin();  // the server was put back from a backup, say
  REQUIRE(alarm.Take({1, false, 1}));
  CHECK_FALSE(alarm.Stands());
}
