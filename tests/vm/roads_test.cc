// What must hold on every road to a key, through the guest's real stacks. Pick a road by its tag:
//   with-udev vm_roads -r lines '[uhid]'
#include <catch2/catch.hpp>
#include <fstream>

#include "tests/vm/desk.h"

using namespace keyferry;
using test::Desk;
using test::Road;

namespace {

using RoadOf = const Road& (*)();

template <RoadOf road>
void EnrolDeliverRelease() {
  Desk& desk = Desk::On(road());
  desk.Seal();
  desk.CheckOnce(desk.Deliver());
  CHECK(desk.Releases(1));
  desk.Seal();
  desk.CheckOnce(desk.Deliver());
  CHECK(desk.Releases(2));
}

// Goes on until a delivery is over before the frame comes, so it meets every one of them, whatever
// their number is on this road.
template <RoadOf road>
void PulledAtEveryFrame() {
  Desk& desk = Desk::On(road());
  for (const std::string direction : {"in", "out"}) {
    int frame = 0;
    for (bool pulled = true; pulled;) {
      ++frame;
      const std::string fault = "unplug:" + direction + ":" + std::to_string(frame);
      INFO(fault);
      REQUIRE(frame < 100);
      desk.Seal();
      const int pulls = desk.pulls();
      desk.Control("faults " + fault);
      const auto receipt = desk.Deliver();
      pulled = desk.pulls() > pulls;
      desk.Control("faults ");
      desk.CheckOnce(receipt);
    }
    // INIT, INFO, handshake and job: each has at least one frame.
    CHECK(frame > 4);
  }
  CHECK(desk.Releases(desk.seq()));
}

template <RoadOf road>
void Silent() {
  Desk& desk = Desk::On(road());
  desk.Seal();
  desk.Control("faults never-answer:1");
  CHECK_FALSE(desk.Connect(10));
  CHECK(desk.Plugged());
  desk.Control("faults ");
  desk.CheckOnce(desk.Deliver());

  // Silent from the middle of a delivery on.
  desk.Seal();
  desk.Control("faults never-answer:5");
  CHECK_FALSE(desk.Deliver(20));
  desk.Control("faults ");
  desk.CheckOnce(desk.Deliver());
}

template <RoadOf road>
void TwoKeys() {
  Desk& first = Desk::On(road());
  Desk second(road());
  CHECK(second.presence().places().size() == 2);
  first.Seal();
  second.Seal();
  second.CheckOnce(second.Deliver());
  first.CheckOnce(first.Deliver());
  CHECK(second.Releases(second.seq()));
  CHECK(first.Releases(first.seq()));

  second.Control("unplug");
  first.Seal();
  first.CheckOnce(first.Deliver());
}

// The gadget's node goes and comes with its controller, whoever unbinds and binds it.
void GadgetReplugged() {
  Desk& desk = Desk::On(test::GadgetRoad());
  const std::string file = "/sys/kernel/config/usb_gadget/key/UDC";
  std::string controller;
  std::getline(std::ifstream(file) >> std::ws, controller);
  REQUIRE_FALSE(controller.empty());
  const auto bind = [&](const std::string& to) {
    std::ofstream out(file);
    out << to << "\n" << std::flush;
    REQUIRE(out.good());
  };
  for (const bool ours : {true, false, true, false}) {
    const int arrivals = desk.presence().arrivals();
    desk.Seal();
    if (ours) {
      desk.Control("unplug");
      CHECK_FALSE(desk.Plugged());
      desk.Control("plug");
    } else {
      bind("");
      bind(controller);
    }
    REQUIRE(desk.presence().Wait(arrivals));
    desk.CheckOnce(desk.Deliver());
  }
  CHECK(desk.Releases(desk.seq()));
}

}  // namespace

#define ON_ROAD(road, tag)                                                                      \
  REGISTER_TEST_CASE(EnrolDeliverRelease<road>, tag ": enrol, deliver, release", "[" tag "]");  \
  REGISTER_TEST_CASE(Silent<road>, tag ": a key that falls silent", "[" tag "]");               \
  REGISTER_TEST_CASE(PulledAtEveryFrame<road>, tag ": pulled out at every frame of a delivery", \
                     "[" tag "]")
// Over Bluetooth a second key would be a second pairing in one boot.
#define ON_USB(road, tag) \
  ON_ROAD(road, tag);     \
  REGISTER_TEST_CASE(TwoKeys<road>, tag ": two keys", "[" tag "]")

ON_USB(test::UhidRoad, "uhid");
ON_USB(test::UsbHidrawRoad, "usb-hidraw");
ON_USB(test::UsbLibusbRoad, "usb-libusb");
ON_ROAD(test::BleRoad, "ble");
REGISTER_TEST_CASE(EnrolDeliverRelease<test::GadgetRoad>, "gadget: enrol, deliver, release",
                   "[gadget]");
REGISTER_TEST_CASE(GadgetReplugged, "gadget: pulled and put in again", "[gadget]");
