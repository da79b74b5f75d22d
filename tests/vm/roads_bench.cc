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

struct Delivery {
  Figures echo;    // one report there and back
  int out = 0;     // reports of a job
  int in = 0;      // reports of a receipt
  double raw = 0;  // what these cost by the echo
  Figures whole;
};

Delivery Deliver(const Road& road, const std::string& faults) {
  Desk& desk = Desk::On(road);
  desk.Control("faults " + faults);
  device::TransportInfo info;
  Delivery result;
  {
    REQUIRE(desk.presence().Wait());
    const auto port = road.open(desk.presence().places().front(), {});
    REQUIRE(port);
    info = (*port)->Describe();
    const auto link = (*port)->OpenLink({});
    REQUIRE(link);
    result.echo = Echo(**link);
  }
  std::vector<double> times;
  std::size_t job_size = 0;
  {
    const auto client = desk.Connect();
    REQUIRE(client);
    for (int i = 0; i < kDeliveries; ++i) {
      desk.Seal();
      job_size = desk.job().size();
      // The session, if there is none yet, is not part of it.
      REQUIRE(desk.Open(*client));
      std::this_thread::sleep_for(kRest);
      const auto began = Clock::now();
      const auto receipt = client->PutJob(desk.job());
      times.push_back(Milliseconds(Clock::now() - began));
      REQUIRE(receipt);
      desk.Take(*receipt);
    }
  }
  desk.Control("faults ");
  result.whole = Sorted(std::move(times));
  // Request and response: 4 bytes of head and 16 of tag around job and receipt (PROTOCOL.md
  // section 8).
  result.out = Frames(job_size + 20, info);
  result.in = Frames(protocol::kReceiptSize + 20, info);
  result.raw = result.echo.p50 / 2 * (result.out + result.in);
  return result;
}

// What key and host compute for a delivery, on this processor: what it costs on the socket beyond
// the socket's own reports.
double Cryptography() {
  static const double cost = [] {
    const Delivery delivery = Deliver(SocketRoad(), "");
    return delivery.whole.p50 - delivery.raw;
  }();
  return cost;
}

}  // namespace

void Measure(const Road& road, const std::string& name, const std::string& faults) {
  const double crypto = Cryptography();
  const Delivery delivery = Deliver(road, faults);
  const double ratio = delivery.whole.p50 / (delivery.raw + crypto);
  std::printf("%-31s %6.2f %6.2f  %3d + %2d %8.2f %7.2f %8.2f %8.2f %7.2f %7.2f %s\n", name.c_str(),
              delivery.echo.p50, delivery.echo.p95, delivery.out, delivery.in, delivery.raw, crypto,
              delivery.whole.p50, delivery.whole.p95, delivery.whole.p50 / delivery.raw, ratio,
              ratio <= kGoal ? "met" : "MISSED");
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
