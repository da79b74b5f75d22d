// What udevd says of a node, and when it is believed. In the guest, behind with-udev.
#include <grp.h>
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <future>
#include <utility>

#include "device/hid/hid_discovery.h"
#include "device/hid/sysfs.h"
#include "tests/integration/daemon/process.h"
#include "tests/integration/hid/event_log.h"
#include "tests/support/usb/toy_device.h"
#include "tests/unit/device/hid_descriptors.h"

using namespace keyferry;
using namespace keyferry::device;
using namespace keyferry::test;

namespace {

std::unique_ptr<ToyDevice> Plug() {
  ToySettings settings;
  settings.report_descriptor = KeyReportDescriptor();
  settings.usb_descriptors = KeyUsbDescriptors();
  return PlugUhid(settings);
}

// While this lives udevd hears of devices and does nothing about them.
class StandingUdevd {
 public:
  StandingUdevd() { Control("--stop-exec-queue"); }
  ~StandingUdevd() { RunProgram({"/bin/udevadm", "control", "--start-exec-queue"}); }
  StandingUdevd(const StandingUdevd&) = delete;
  StandingUdevd& operator=(const StandingUdevd&) = delete;

 private:
  static void Control(const char* what) {
    REQUIRE(RunProgram({"/bin/udevadm", "control", what}).exit_code == 0);
  }
};

std::string GroupOf(const std::string& node) {
  struct stat state {};
  REQUIRE(stat(node.c_str(), &state) == 0);
  const group* owner = getgrgid(state.st_gid);
  return owner == nullptr ? "" : owner->gr_name;
}

}  // namespace

TEST_CASE("a key that udevd has not seen is not told on its word about the one before") {
  EventLog before(WatchHidraw);
  auto key = Plug();
  const std::string node = before.Appeared();
  std::string notes;
  std::unique_ptr<Discovery> watch;
  // The node's group at the moment at which the key is told.
  std::future<std::pair<Result<DiscoveryEvent>, std::string>> told;
  {
    const StandingUdevd standing;
    key.reset();
    key = Plug();
    auto made = WatchHidraw({}, [&](const std::string& line) { notes += line + "; "; });
    REQUIRE(made);
    watch = *std::move(made);
    const auto present = ListHidrawDevices({});
    REQUIRE(present.size() == 1);
    CHECK(present.front().node == node);
    CHECK(notes == "");
    told = std::async(std::launch::async, [&] {
      auto event = watch->Next();
      struct stat state {};
      const bool seen = stat(node.c_str(), &state) == 0;
      const group* owner = seen ? getgrgid(state.st_gid) : nullptr;
      return std::pair(std::move(event), owner == nullptr ? std::string() : owner->gr_name);
    });
    // One more device comes and goes meanwhile: time enough for a wrong word.
    Plug().reset();
  }
  const auto [event, owner] = told.get();
  REQUIRE(event);
  CHECK(owner == "keyferry-keys");
  CHECK(event->kind == DiscoveryEvent::kAppeared);
  CHECK(event->place.path == node);
  CHECK(GroupOf(node) == "keyferry-keys");
}
