// The simulated key behind the kernel's real stacks, through port, link and client: what a daemon
// does. In the guest.
#include <atomic>
#include <catch2/catch.hpp>
#include <future>

#include "device/hid/open_hid.h"
#include "device/hid_port.h"
#include "device/key_client.h"
#include "tests/integration/daemon/process.h"
#include "tests/integration/hid/event_log.h"

using namespace keyferry;
using namespace keyferry::device;
using namespace keyferry::test;

namespace {

constexpr char kControl[] = "/tmp/hid-sim.ctl";
constexpr char kState[] = "/tmp/hid-sim.flash";

struct Road {
  const char* name;
  const char* plug;  // of keyferry-sim
  const char* option;
  Result<std::unique_ptr<Discovery>> (*watch)(HidMatch, HidNote);
};
const Road kRoads[] = {{"uhid, hidraw", "uhid", "--uhid", WatchHidraw},
                       {"USB/IP, hidraw", "usbip", "--usbip-attach", WatchHidraw},
                       {"USB/IP, libusb", "usbip", "--usbip-attach", WatchLibusb}};

class Sim {
 public:
  explicit Sim(const Road& road)
      : process_({KEYFERRY_SIM, road.option, "--state", kState, "--control", kControl, "--touch",
                  "auto"}) {
    REQUIRE(process_.WaitForLine("ready"));
  }
  ~Sim() { process_.Stop(15); }
  static void Control(const std::vector<std::string>& words) {
    std::vector<std::string> arguments = {KEYFERRY_SIM, "ctl", "--control", kControl};
    arguments.insert(arguments.end(), words.begin(), words.end());
    const Outcome outcome = RunProgram(arguments);
    INFO(outcome.output);
    REQUIRE(outcome.exit_code == 0);
  }

 private:
  Process process_;
};

// A key as the daemon has it.
struct Attached {
  explicit Attached(const std::string& path) {
    auto transport = OpenHid(path);
    INFO((transport ? "" : transport.error().message + " / " + transport.error().detail));
    REQUIRE(transport);
    port = HidPort::Start(*std::move(transport),
                          [this](const Error& error) { gone.set_value(error); });
  }
  std::unique_ptr<MessageLink> Link() {
    auto link = port->OpenLink({});
    INFO((link ? "" : link.error().message));
    REQUIRE(link);
    return *std::move(link);
  }
  std::promise<Error> gone;
  std::shared_ptr<HidPort> port;
};

std::vector<std::uint8_t> Ping(std::size_t size, std::uint8_t seed) {
  std::vector<std::uint8_t> out(size);
  for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<std::uint8_t>(i * 31 + seed);
  return out;
}

constexpr auto kPing = static_cast<std::uint8_t>(protocol::FrameCommand::kPing);

}  // namespace

TEST_CASE("the simulated key is attached, spoken to and pulled in mid-read on every road",
          "[sim]") {
  for (const Road& road : kRoads) {
    INFO(road.name);
    EventLog events(road.watch);
    const Sim sim(road);
    protocol::Id device{};
    for (int round = 0; round < 2; ++round) {
      Attached key(events.Appeared());
      KeyClient client(key.Link());
      const auto info = client.ReadInfo();
      REQUIRE(info);
      CHECK((round == 0 || device == info->device_id));
      device = info->device_id;
      const auto link = key.Link();
      for (const std::size_t size : {0U, 57U, 58U, 512U, 1024U}) {
        const auto sent = Ping(size, static_cast<std::uint8_t>(size));
        const auto echo = link->Transact(kPing, sent, {}, {});
        INFO((echo ? "" : echo.error().message));
        REQUIRE(echo);
        CHECK(echo->payload == sent);
      }
      // The port's reader waits without end; nobody asks anything.
      auto gone = key.gone.get_future();
      Sim::Control({"unplug", road.plug});
      REQUIRE(gone.wait_for(kPatience) == std::future_status::ready);
      CHECK(gone.get().code == ErrorCode::kUnavailable);
      CHECK(client.ReadInfo().error().code == ErrorCode::kUnavailable);
      events.Vanished();
      if (round == 0) Sim::Control({"plug", road.plug});
    }
  }
}

TEST_CASE("the simulated key is pulled in the middle of messages on every road", "[sim]") {
  for (const Road& road : kRoads) {
    INFO(road.name);
    EventLog events(road.watch);
    const Sim sim(road);
    for (int round = 0; round < 1; ++round) {
      Attached key(events.Appeared());
      const auto link = key.Link();
      std::atomic<int> done{0};
      auto talking = std::async(std::launch::async, [&] {
        const auto message = Ping(1024, 7);
        Result<Message> echo;
        while (echo) {
          echo = link->Transact(kPing, message, {}, {});
          ++done;
        }
        return echo.error();
      });
      while (done < 3) std::this_thread::yield();
      Sim::Control({"unplug", road.plug});
      CHECK(talking.get().code == ErrorCode::kUnavailable);
      events.Vanished();
      Sim::Control({"plug", road.plug});
    }
    events.Appeared();
  }
}
