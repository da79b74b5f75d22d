// What only Bluetooth can do to a delivery. After the scenarios that every road has, in one boot:
//   with-ble vm_roads -r lines '[ble]'
#include <catch2/catch.hpp>
#include <csignal>
#include <functional>
#include <future>
#include <utility>

#include "tests/vm/desk.h"

using namespace keyferry;
using test::Desk;

namespace {

// The largest fragment of the connection as it is now.
std::size_t Fragment(Desk& desk) {
  REQUIRE(desk.presence().Wait());
  const auto port = test::BleRoad().open(desk.presence().places().front(), {});
  INFO((port ? "" : port.error().message + " / " + port.error().detail));
  REQUIRE(port);
  return (*port)->Describe().max_fragment;
}

void Run(const std::vector<std::string>& command) {
  const auto outcome = test::RunProgram(command);
  INFO(outcome.output);
  REQUIRE(outcome.exit_code == 0);
}

void Power(const std::string& adapter, bool on) {
  Run({"/usr/bin/busctl", "set-property", "org.bluez", "/org/bluez/" + adapter,
       "org.bluez.Adapter1", "Powered", "b", on ? "true" : "false"});
}

// bluetoothd, ended and started anew; `mtu`, if any, is the ATT MTU from then on.
void RestartBluetooth(const std::string& mtu = {}) {
  std::vector<std::string> command{KEYFERRY_ROOT "/scripts/lib/vm/guest/ble-daemon"};
  if (!mtu.empty()) command.insert(command.end(), {"--mtu", mtu});
  Run(command);
}

// The job comes to rest exactly once, whatever happens while nobody is at the key …
void SurvivesIdle(Desk& desk, const std::function<void()>& trouble) {
  const int arrivals = desk.presence().arrivals();
  desk.Seal();
  trouble();
  REQUIRE(desk.presence().Wait(arrivals));
  desk.CheckOnce(desk.Deliver());
}

// … and while the job is on its way. The key never gets the end of it, so it is so for sure.
void SurvivesBusy(Desk& desk, const std::function<void()>& trouble) {
  desk.Seal();
  const auto client = desk.Connect();
  REQUIRE(client);
  REQUIRE(desk.Open(*client));
  desk.Control("faults drop:in:1");
  const int arrivals = desk.presence().arrivals();
  auto put = std::async(std::launch::async, [&] { return client->PutJob(desk.job()); });
  trouble();
  CHECK_FALSE(put.get());
  desk.Control("faults ");
  REQUIRE(desk.presence().Wait(arrivals));
  desk.CheckOnce(desk.Deliver());
}

void Survives(Desk& desk, const std::function<void()>& trouble) {
  SurvivesIdle(desk, trouble);
  SurvivesBusy(desk, trouble);
}

}  // namespace

TEST_CASE("ble: an ATT MTU of 517 gives the longest fragments", "[ble]") {
  Desk& desk = Desk::On(test::BleRoad());
  CHECK(Fragment(desk) == 500);
}

TEST_CASE("ble: any one notification is lost", "[ble]") {
  Desk& desk = Desk::On(test::BleRoad());
  for (int number = 1; number <= 8; ++number) {
    const std::string fault = "ble-drop-notify:" + std::to_string(number);
    INFO(fault);
    desk.Seal();
    desk.Control("faults " + fault);
    const auto receipt = desk.Deliver();
    desk.Control("faults ");
    desk.CheckOnce(receipt);
  }
  CHECK(desk.Releases(desk.seq()));
}

// With a small ATT MTU job and receipt are many fragments; what comes before them in a delivery is
// pulled apart at the largest one ("pulled out at every frame of a delivery").
TEST_CASE("ble: in fragments, pulled out at every one of a job and its receipt", "[ble]") {
  Desk& desk = Desk::On(test::BleRoad());
  for (const std::string direction : {"in", "out"}) {
    int frame = 0;
    for (bool pulled = true; pulled;) {
      ++frame;
      const std::string fault = "unplug:" + direction + ":" + std::to_string(frame);
      INFO(fault);
      REQUIRE(frame < 50);
      desk.Seal();
      {
        const auto client = desk.Connect();
        REQUIRE(client);
        REQUIRE(desk.Open(*client));
        desk.Control("faults " + fault);
        pulled = !client->PutJob(desk.job());
        CHECK(pulled != desk.Plugged());
      }
      desk.Control("faults ");
      if (pulled) desk.Control("plug");
      desk.CheckOnce(desk.Deliver());
    }
    CHECK(frame > 2);
  }
  CHECK(desk.Releases(desk.seq()));
}

TEST_CASE("ble: the connection is lost, between deliveries and in one", "[ble]") {
  Desk& desk = Desk::On(test::BleRoad());
  Survives(desk, [&] {
    // Somebody has to be at the key who can be thrown off.
    const auto client = desk.Connect();
    desk.Control("disconnect");
  });
}

TEST_CASE("ble: the computer's adapter goes off and on", "[ble]") {
  Desk& desk = Desk::On(test::BleRoad());
  Survives(desk, [] {
    Power("hci0", false);
    Power("hci0", true);
  });
}

TEST_CASE("ble: somebody disconnects the key by hand", "[ble]") {
  Desk& desk = Desk::On(test::BleRoad());
  SurvivesIdle(desk, [&] {
    REQUIRE(desk.presence().Wait());
    // BlueZ does not connect it by itself from now on.
    Run({"/usr/bin/busctl", "call", "org.bluez", desk.presence().places().front().path,
         "org.bluez.Device1", "Disconnect"});
  });
}

TEST_CASE("ble: bluetoothd restarts, with another ATT MTU", "[ble]") {
  Desk& desk = Desk::On(test::BleRoad());
  std::string mtu = "100";
  Survives(desk, [&] { RestartBluetooth(std::exchange(mtu, "")); });
  CHECK(Fragment(desk) == 500);
  RestartBluetooth("64");
  desk.Seal();
  desk.CheckOnce(desk.Deliver());
  CHECK(Fragment(desk) == 61);
}

TEST_CASE("ble: another key at the place of ours gets nothing", "[ble]") {
  Desk& desk = Desk::On(test::BleRoad());
  desk.Seal();
  desk.Control("unplug");
  {
    const int arrivals = desk.presence().arrivals();
    const test::TempDir dir;
    test::Process other({KEYFERRY_BIN "/keyferry-sim", "--state", dir / "flash", "--control",
                         dir / "control", "--ble", "hci1", "--ble-pair", "refuse"});
    REQUIRE(other.WaitForLine("ready"));
    REQUIRE(desk.presence().Wait(arrivals));
    const auto port = test::BleRoad().open(desk.presence().places().front(), {});
    REQUIRE(port);
    auto link = (*port)->OpenLink({});
    REQUIRE(link);
    device::KeyClient client(*std::move(link));
    CHECK_FALSE(desk.Open(client));
    CHECK_FALSE(client.has_session());
    CHECK_FALSE(client.PutJob(desk.job()));
    CHECK(client.ReadInfo()->state == protocol::KeyState::kProvisioned);
    CHECK(other.Stop(SIGTERM) == 0);
  }
  const int arrivals = desk.presence().arrivals();
  desk.Control("plug");
  REQUIRE(desk.presence().Wait(arrivals));
  desk.CheckOnce(desk.Deliver());
}

TEST_CASE("ble: answers that are damaged, cut or twice", "[ble]") {
  Desk& desk = Desk::On(test::BleRoad());
  for (const std::string fault : {"corrupt:out:%:3", "truncate:out:%:2", "duplicate:out:%",
                                  "corrupt:in:%:9", "reorder:in:%"}) {
    for (const char* frame : {"3", "5"}) {
      std::string list = fault;
      list.replace(list.find('%'), 1, frame);
      INFO(list);
      desk.Seal();
      desk.Control("faults " + list);
      const auto receipt = desk.Deliver();
      desk.Control("faults ");
      desk.CheckOnce(receipt);
    }
  }
}
