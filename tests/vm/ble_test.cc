// What only Bluetooth can do to a delivery. After the scenarios that every road has, in one boot:
//   with-ble [--mtu N] vm_roads -r lines '[ble]'
// KEYFERRY_MTU says which MTU the stack was told to offer.
#include <catch2/catch.hpp>
#include <cstdlib>

#include "tests/vm/desk.h"

using namespace keyferry;
using test::Desk;

namespace {

std::size_t Mtu() {
  const char* text = std::getenv("KEYFERRY_MTU");
  return text ? static_cast<std::size_t>(std::atoi(text)) : 517;
}

// The largest fragment of the connection as it is now.
std::size_t Fragment(Desk& desk) {
  REQUIRE(desk.presence().Wait());
  const auto port = test::BleRoad().open(desk.presence().places().front(), {});
  INFO((port ? "" : port.error().message + " / " + port.error().detail));
  REQUIRE(port);
  return (*port)->Describe().max_fragment;
}

void Run(std::vector<std::string> arguments) {
  const auto outcome = test::RunProgram(std::move(arguments));
  INFO(outcome.output);
  REQUIRE(outcome.exit_code == 0);
}

void PowerAdapter(bool on) {
  Run({"/usr/bin/busctl", "set-property", "org.bluez", "/org/bluez/hci0", "org.bluez.Adapter1",
       "Powered", "b", on ? "true" : "false"});
}

}  // namespace

TEST_CASE("ble: fragments are as long as the MTU allows", "[ble]") {
  Desk& desk = Desk::On(test::BleRoad());
  CHECK(Fragment(desk) == std::min<std::size_t>(500, Mtu() - 3));
}

TEST_CASE("ble: any one notification is lost", "[ble]") {
  Desk& desk = Desk::On(test::BleRoad());
  for (int number = 1; number <= 8; ++number) {
    const std::string fault = "ble-drop-notify:" + std::to_string(number);
    INFO(fault);
    desk.Seal();
    desk.Control("faults " + fault);
    const auto receipt = desk.Deliver(3);
    desk.Control("faults ");
    desk.CheckOnce(receipt);
  }
  CHECK(desk.Releases(desk.seq()));
}

TEST_CASE("ble: the adapter goes off and on again", "[ble]") {
  Desk& desk = Desk::On(test::BleRoad());
  REQUIRE(desk.presence().Wait());
  const int arrivals = desk.presence().arrivals();
  PowerAdapter(false);
  REQUIRE(desk.presence().WaitForNone());
  desk.Seal();
  PowerAdapter(true);
  REQUIRE(desk.presence().Wait(arrivals));
  desk.CheckOnce(desk.Deliver());
}

TEST_CASE("ble: bluetoothd is killed and comes back with another MTU", "[ble]") {
  Desk& desk = Desk::On(test::BleRoad());
  REQUIRE(desk.presence().Wait());
  const int arrivals = desk.presence().arrivals();
  const std::size_t before = Fragment(desk);
  const std::string other = Mtu() == 517 ? "185" : "517";
  desk.Seal();
  Run({KEYFERRY_ROOT "/tests/vm/restart-bluetoothd", other});
  REQUIRE(desk.presence().Wait(arrivals));
  CHECK(Fragment(desk) != before);
  desk.CheckOnce(desk.Deliver());
  CHECK(desk.Releases(desk.seq()));
}
