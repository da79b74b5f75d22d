// What only Bluetooth can do to a delivery. After the scenarios that every road has, in one boot:
//   with-ble vm_roads -r lines '[ble]'
#include <catch2/catch.hpp>

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
