// What a report and a whole delivery cost on each road, in the guest, against the reports that it
// takes and the cryptography that key and host do for it; scripts/bench transports.
#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstdio>
#include <thread>

#include "device/discovery/discovery.h"
#include "device/hid_port.h"
#include "device/socket/socket_transport.h"
#include "protocol/framing.h"
#include "protocol/job.h"
#include "protocol/receipt.h"
#include "tests/vm/desk.h"

using namespace keyferry;
using test::Desk;
using test::Road;
using Clock = std::chrono::steady_clock;

namespace {

constexpr int kEchoes = 400;
constexpr int kDeliveries = 40;
constexpr double kGoal = 1.3;
// Nothing is faster than its own reports: less than this is other programs' share of the machine.
constexpr double kNoise = 0.5;
// Jobs come minutes or months apart; a key makes itself ready for the next one in between.
constexpr std::chrono::milliseconds kRest{250};

double Milliseconds(Clock::duration time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

struct Figures {
  double p50 = 0, p95 = 0;
};

Figures Sorted(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return {values[values.size() / 2], values[values.size() * 95 / 100]};
}

// Reports (or fragments) that a message of `size` bytes takes on a port.
int Frames(std::size_t size, const device::TransportInfo& info) {
  const bool ble = info.kind == device::TransportKind::kBle;
  const std::size_t first = ble ? info.max_fragment - 3 : protocol::kInitPayload;
  const std::size_t next = ble ? info.max_fragment - 1 : protocol::kContPayload;
  return size <= first ? 1 : 1 + static_cast<int>((size - first + next - 1) / next);
}

// PING of one report, there and back: what the road itself costs.
Figures Echo(device::MessageLink& link) {
  std::vector<double> times;
  const std::vector<std::uint8_t> payload(protocol::kInitPayload, 0x5A);
  for (int i = 0; i < kEchoes; ++i) {
    const auto began = Clock::now();
    const auto answer =
        link.Transact(static_cast<std::uint8_t>(protocol::FrameCommand::kPing), payload, {}, {});
    REQUIRE(answer);
    REQUIRE(answer->payload == payload);
    times.push_back(Milliseconds(Clock::now() - began));
  }
  return Sorted(std::move(times));
}

// A socket between two processes of the same machine: as near to no transport as it gets.
const Road& SocketRoad() {
  static const test::TempDir dir;
  static const std::string path = dir / "key.sock";
  static const Road road{"socket",
                         {"--socket", path},
                         "socket",
                         [] { return device::WatchSockets({path}); },
                         [](const device::KeyPlace& place,
                            device::OnGone gone) -> Result<std::shared_ptr<device::KeyPort>> {
                           auto transport = device::OpenSocketTransport(place.path, true);
                           if (!transport) return tl::unexpected(transport.error());
                           return device::HidPort::Start(*std::move(transport), std::move(gone));
                         },
                         {}};
  return road;
}

// An open session on one road, and what its reports cost.
class Course {
 public:
  Course(const Road& road, const std::string& faults) : desk_(Desk::On(road)) {
    desk_.Control("faults " + faults);
    REQUIRE(desk_.presence().Wait());
    {
      const auto port = road.open(desk_.presence().places().front(), {});
      REQUIRE(port);
      info_ = (*port)->Describe();
      const auto link = (*port)->OpenLink({});
      REQUIRE(link);
      echo_ = Echo(**link);
    }
    client_ = desk_.Connect();
    REQUIRE(client_);
  }
  ~Course() { desk_.Control("faults "); }
  Course(const Course&) = delete;
  Course& operator=(const Course&) = delete;

  // How long one delivery takes; the session, if there is none yet, is not part of it.
  double Deliver() {
    desk_.Seal();
    REQUIRE(desk_.Open(*client_));
    std::this_thread::sleep_for(kRest);
    const auto began = Clock::now();
    const auto receipt = client_->PutJob(desk_.job());
    const double took = Milliseconds(Clock::now() - began);
    REQUIRE(receipt);
    desk_.Take(*receipt);
    return took;
  }

  const Figures& echo() const { return echo_; }
  // Request and response: 4 bytes of head and 16 of tag around job and receipt (PROTOCOL.md
  // section 8).
  int out() const { return Frames(desk_.job().size() + 20, info_); }
  int in() const { return Frames(protocol::kReceiptSize + 20, info_); }
  // What the reports of a delivery cost by the echo.
  double Raw() const { return echo_.p50 / 2 * (out() + in()); }

 private:
  Desk& desk_;
  device::TransportInfo info_;
  Figures echo_;
  std::unique_ptr<device::KeyClient> client_;
};

}  // namespace

// Each delivery on the road comes with one on the socket, moments apart, so that both have the same
// share of the machine. What the latter costs beyond its reports is computing, by key and host; the
// rest of the former is the road's.
void Measure(const Road& road, const std::string& name, const std::string& faults) {
  Course socket(SocketRoad(), "");
  Course course(road, faults);
  std::vector<double> whole, computing, way;
  for (int i = 0; i < kDeliveries; ++i) {
    computing.push_back(socket.Deliver());
    computing.back() -= socket.Raw();
    whole.push_back(course.Deliver());
    way.push_back(whole.back() - computing.back());
  }
  const double raw = course.Raw();
  const Figures total = Sorted(whole);
  const double ratio = Sorted(way).p50 / raw;
  std::printf("%-31s %6.2f %6.2f  %3d + %2d %8.2f %8.2f %8.2f %8.2f %7.2f %8.2f %7.2f %s\n",
              name.c_str(), course.echo().p50, course.echo().p95, course.out(), course.in(), raw,
              total.p50, total.p95, Sorted(computing).p50, total.p50 / raw, Sorted(way).p50, ratio,
              ratio < kNoise   ? "none: the machine was too busy"
              : ratio <= kGoal ? "met"
                               : "MISSED");
  std::fflush(stdout);
}

TEST_CASE("uhid", "[uhid]") {
  Measure(test::UhidRoad(), "uhid, hidraw", "");
  Measure(test::UhidRoad(), "uhid, hidraw, frames of 1 ms", "frame-clock:1000");
}

TEST_CASE("usb, hidraw", "[usb-hidraw]") {
  Measure(test::UsbHidrawRoad(), "USB/IP, hidraw", "");
  Measure(test::UsbHidrawRoad(), "USB/IP, hidraw, frames of 1 ms", "frame-clock:1000");
}

TEST_CASE("usb, libusb", "[usb-libusb]") {
  Measure(test::UsbLibusbRoad(), "USB/IP, libusb", "");
  Measure(test::UsbLibusbRoad(), "USB/IP, libusb, frames of 1 ms", "frame-clock:1000");
}

TEST_CASE("ble", "[ble]") { Measure(test::BleRoad(), "Bluetooth LE", ""); }
