// Keys that come and go faster than anybody looks, and what is known of them without udevd. Runs in
// the guest as guest_test.cc says; those of [noudev] before udevd is there.
#include <dirent.h>

#include <catch2/catch.hpp>
#include <thread>

#include "device/hid/inspect.h"
#include "device/hid/permissions.h"
#include "tests/integration/hid/guest_roads.h"

using namespace keyferry;
using namespace keyferry::device;
using namespace keyferry::test;

namespace {

std::size_t OpenFiles() {
  std::size_t n = 0;
  DIR* directory = opendir("/proc/self/fd");
  REQUIRE(directory != nullptr);
  while (readdir(directory) != nullptr) ++n;
  closedir(directory);
  return n;
}

void PlugAndPull(int times) {
  Events events(WatchHidraw);
  const std::size_t before = OpenFiles();
  for (int i = 0; i < times; ++i) PlugUhid(Key());
  // The watch may be looking at one of them this very moment.
  const auto until = Soon();
  while (OpenFiles() != before && Clock::now() < until) std::this_thread::yield();
  CHECK(OpenFiles() == before);
  const auto key = PlugUhid(Key());
  events.Note("A security key came");
  // However many were told: each but the last has vanished, and the last can be opened.
  std::string present;
  Result<Port> port = Fail(ErrorCode::kInternal, "");
  while (!port) {
    const auto event = events.Next();
    present = event.kind == DiscoveryEvent::kAppeared ? event.place.path : "";
    if (!present.empty()) port = OpenHidraw(present);
  }
  RoundTrips(**port, 3);
}

}  // namespace

TEST_CASE("plugs and pulls leave no descriptor behind") {
  for (const Road& road : kRoads) {
    INFO(road.name);
    Events events(road.watch);
    std::size_t before = 0;
    for (int i = 0; i < 4; ++i) {
      const auto key = road.plug(Key());
      const std::string path = events.Appeared();
      auto port = road.open(path, {});
      if (port && i % 2 == 0) {
        auto reading = WaitingRead(**port);
        key->Unplug();
        CHECK(reading.get().error().code == ErrorCode::kUnavailable);
      }
      key->Unplug();
      CHECK(events.Vanished() == path);
      port = Fail(ErrorCode::kInternal, "");
      if (i == 1) before = OpenFiles();
    }
    CHECK(OpenFiles() <= before + 2);
    CHECK(events.Waiting() == 0);
  }
}

TEST_CASE("plugs and pulls that nobody waits for end in the truth") { PlugAndPull(20); }

TEST_CASE("without udevd the kernel's messages do", "[noudev][.]") {
  for (const Road& road : kRoads) {
    INFO(road.name);
    Events events(road.watch);
    events.Note("No udevd runs");
    const auto key = road.plug(Key());
    const std::string path = events.Appeared();
    {
      const Port port = Open(road, path);
      RoundTrips(*port, 20);
      auto reading = WaitingRead(*port);
      LetItWait();
      key->Unplug();
      CHECK(reading.get().error().code == ErrorCode::kUnavailable);
    }
    CHECK(events.Vanished() == path);
  }
  CHECK(Contains(CheckHidPermissions().at(0).what, "No udevd runs"));
}

TEST_CASE("a hundred plugs and pulls at the kernel's own speed end in the truth", "[noudev][.]") {
  PlugAndPull(100);
}
