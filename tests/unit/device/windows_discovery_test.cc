#include "device/hid/windows_discovery.h"

#include <catch2/catch.hpp>
#include <future>
#include <map>
#include <mutex>

using namespace keyferry;
using namespace keyferry::device;

namespace {

const std::string kPort1 = R"(\\?\hid#vid_1209&pid_0001#1#{4d1e55b2})";
const std::string kPort2 = R"(\\?\hid#vid_1209&pid_0001#2#{4d1e55b2})";

// The devices that a test has plugged in.
struct Bus {
  std::mutex mutex;
  std::map<std::string, WindowsHid> devices;
  HidSource::OnChange on_change;

  void Plug(const std::string& path, bool key = true) {
    WindowsHid hid;
    hid.path = path;
    hid.id = {0x1209, 0x0001};
    hid.product = "Key";
    hid.reports.applications = {{ReportDescriptor::kKeyPage, ReportDescriptor::kKeyUsage}};
    hid.reports.input_bits = hid.reports.output_bits = key ? 512 : 64;
    {
      const std::scoped_lock lock(mutex);
      devices[path] = hid;
    }
    if (on_change) on_change(true, path);
  }
  void Pull(const std::string& path) {
    {
      const std::scoped_lock lock(mutex);
      devices.erase(path);
    }
    if (on_change) on_change(false, path);
  }
};

class BusSource final : public HidSource {
 public:
  explicit BusSource(Bus& bus) : bus_(bus) {}
  ~BusSource() override { bus_.on_change = nullptr; }
  std::vector<WindowsHid> List(const HidMatch&) override {
    const std::scoped_lock lock(bus_.mutex);
    std::vector<WindowsHid> out;
    for (const auto& [path, hid] : bus_.devices) out.push_back(hid);
    return out;
  }
  bool Subscribe(OnChange on_change) override {
    bus_.on_change = std::move(on_change);
    return true;
  }

 private:
  Bus& bus_;
};

struct Rig {
  std::vector<std::string> notes;
  Bus bus;
  std::unique_ptr<Discovery> watch;
  void Watch() {
    watch = *WatchWindowsHid(
        {}, [this](const std::string& line) { notes.push_back(line); },
        std::make_unique<BusSource>(bus));
  }
  std::string Next() {
    const auto event = watch->Next();
    if (!event) return "ended";
    CHECK(event->place.transport == TransportKind::kHid);
    return (event->kind == DiscoveryEvent::kAppeared ? "+" : "-") + event->place.path;
  }
};

}  // namespace

TEST_CASE("windows: keys that are there are told first, then those that come and go") {
  Rig rig;
  rig.bus.Plug(kPort1);
  rig.Watch();
  CHECK(rig.Next() == "+" + kPort1);
  rig.bus.Plug(kPort2);
  CHECK(rig.Next() == "+" + kPort2);
  rig.bus.Pull(kPort1);
  CHECK(rig.Next() == "-" + kPort1);
}

TEST_CASE("windows: a key that came back under the same path is told as gone and come") {
  Rig rig;
  rig.Watch();
  rig.bus.Plug(kPort1);
  CHECK(rig.Next() == "+" + kPort1);
  rig.bus.Pull(kPort1);
  rig.bus.Plug(kPort1);
  CHECK(rig.Next() == "-" + kPort1);
  CHECK(rig.Next() == "+" + kPort1);
}

TEST_CASE("windows: paths are the same in capitals, and other devices' are nobody's") {
  Rig rig;
  rig.bus.Plug(kPort1);
  rig.Watch();
  CHECK(rig.Next() == "+" + kPort1);
  rig.bus.on_change(false, R"(\\?\USB#VID_1209&PID_0001#1)");
  std::string shouted = kPort1;
  for (char& c : shouted) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  rig.bus.on_change(false, shouted);  // pulled, and in again before we look
  CHECK(rig.Next() == "-" + kPort1);
  CHECK(rig.Next() == "+" + kPort1);
}

TEST_CASE("windows: what is no key gets a note, once a plugging in, and no event") {
  Rig rig;
  rig.Watch();
  rig.bus.Plug(kPort1, false);
  rig.bus.Plug(kPort2);
  CHECK(rig.Next() == "+" + kPort2);
  rig.bus.Pull(kPort1);
  rig.bus.Pull(kPort2);
  CHECK(rig.Next() == "-" + kPort2);
  int refusals = 0;
  for (const std::string& note : rig.notes) {
    if (note.find("not a Keyferry key: its input reports have 8 bytes") != std::string::npos) {
      ++refusals;
    }
  }
  CHECK(refusals == 1);
}

TEST_CASE("windows: a flood of comings and goings ends in what is there") {
  Rig rig;
  rig.Watch();
  for (int i = 0; i < 1000; ++i) {
    rig.bus.Plug(kPort1);
    rig.bus.Pull(kPort1);
  }
  rig.bus.Plug(kPort2);
  CHECK(rig.Next() == "+" + kPort2);
}

TEST_CASE("windows: the system's own watch begins, lists and stops") {
  std::vector<std::string> notes;
  const auto watch = WatchWindowsHid({}, [&](const std::string& line) { notes.push_back(line); });
  REQUIRE(watch);
  auto waiting = std::async(std::launch::async, [&] { return (*watch)->Next(); });
  (*watch)->Stop();
  CHECK(waiting.get().error().code == ErrorCode::kUnavailable);
}
