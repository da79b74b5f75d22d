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
using test::WorkstationRig;

namespace {

const std::string kA = "/key/a";
const Asker kAsker{"tester", 42};
constexpr auto kMessage = static_cast<std::uint8_t>(protocol::FrameCommand::kMsg);
constexpr auto kInfo = static_cast<std::uint8_t>(protocol::FrameCommand::kInfo);
const device::Patience kLong{std::chrono::seconds(20), std::chrono::seconds(20)};

// A key of alice that is at work.
struct Desk : WorkstationRig {
  Desk() {
    workstation->OnKey(KeyEventOf(key));
    Attach(kA, key);
    REQUIRE(Until(kA, [](const KeyReport& report) { return report.standing == "active"; }));
  }
  ~Desk() { workstation.reset(); }  // before the key
  void Raise() { workstation->OnAlarm({2, true, 1'800'000'000}); }
  void End() { workstation->OnAlarm({3, false, 1'800'000'000}); }
  FakeKey key;
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
  desk.Remove(kA);
  desk.Attach(kA, desk.key);
  REQUIRE(desk.Until(kA, [](const KeyReport& report) { return report.standing == "active"; }));
  CHECK(desk.key.stored.empty());
  CHECK(desk.spool->Counts().jobs == 1);
  desk.End();
  desk.NextPost(Post::kReceipt);
  CHECK(desk.key.stored.size() == 1);
}

TEST_CASE("alarm: a job that waits for a touch is cancelled") {
  Desk desk;
  desk.key.Trouble([](auto& faults) { faults.touch_for_ever = true; });
  desk.workstation->OnJob(desk.Job(desk.key, 1));
  desk.NextPost(Post::kSpooled);
  desk.Raise();
  CHECK(desk.NextPost(Post::kJobProblem).code == "key_cancelled");
  desk.key.Trouble([](auto& faults) { faults.touch_for_ever = false; });
  CHECK(desk.spool->Counts().jobs == 1);
  desk.End();
  desk.NextPost(Post::kReceipt);
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
  Desk desk;
  std::mutex mutex;
  std::vector<std::string> ended;
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
    CHECK(ended == std::vector<std::string>{kA});
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
  const auto answer = relay->link->Transact(kMessage, Bytes(40), kLong, [&](device::Keepalive) {
    CHECK(desk.alarm->Take({2, true, 1}));
    desk.key.Trouble([](auto& faults) { faults.touch_for_ever = false; });
    [[maybe_unused]] const auto posted =
        relay->link->Post(static_cast<std::uint8_t>(protocol::FrameCommand::kCancel), {});
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
