// What a report and a whole delivery cost on each road, in the guest, against the bare reports of
// the same delivery; scripts/bench transports.
#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "device/discovery/discovery.h"
#include "protocol/framing.h"
#include "protocol/job.h"
#include "protocol/receipt.h"
#include "tests/support/paced_link.h"
#include "tests/vm/bare_reports.h"
#include "tests/vm/desk.h"

using namespace keyferry;
using test::Desk;
using test::Road;
using Clock = std::chrono::steady_clock;
using protocol::FrameCommand;

namespace {

constexpr int kEchoes = 200;
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

// How long the link itself takes, without the host's computing before and after.
class TimedLink final : public device::MessageLink {
 public:
  TimedLink(std::unique_ptr<device::MessageLink> link, double* took)
      : link_(std::move(link)), took_(took) {}
  Result<device::Message> Transact(std::uint8_t command, std::span<const std::uint8_t> payload,
                                   const device::Patience& patience,
                                   const device::KeepaliveHandler& on_keepalive) override {
    const auto began = Clock::now();
    auto answer = link_->Transact(command, payload, patience, on_keepalive);
    *took_ = Milliseconds(Clock::now() - began);
    return answer;
  }
  Result<void> Post(std::uint8_t command, std::span<const std::uint8_t> payload) override {
    return link_->Post(command, payload);
  }
  device::TransportKind Kind() const override { return link_->Kind(); }

 private:
  const std::unique_ptr<device::MessageLink> link_;
  double* const took_;
};

// PING of `size` bytes, there and back. The key has nothing to compute for it.
double Echo(device::MessageLink& link, std::size_t size) {
  const std::vector<std::uint8_t> payload(size, 0x5A);
  const auto began = Clock::now();
  const auto answer =
      link.Transact(static_cast<std::uint8_t>(FrameCommand::kPing), payload, {}, {});
  const double took = Milliseconds(Clock::now() - began);
  REQUIRE(answer);
  REQUIRE(answer->payload == payload);
  return took;
}

// From the last report of the last command in to the first of its answer out, as the key says.
double KeyComputed(Desk& desk) {
  const std::string status = desk.Control("status");
  const std::string name = "\"answer_us\":";
  const auto at = status.find(name);
  REQUIRE(at != std::string::npos);
  return std::atof(status.c_str() + at + name.size()) / 1000;
}

using OpenBare = std::unique_ptr<test::BareReports> (*)(const std::string& path);

struct Deliveries {
  std::vector<double> whole;
  std::vector<double> key;  // computed
  std::vector<double> way;  // what the link took beyond that
};

void Deliver(Desk& desk, std::unique_ptr<device::MessageLink> link, int count, Deliveries& out) {
  double on_link = 0;
  device::KeyClient client(std::make_unique<TimedLink>(std::move(link), &on_link));
  for (int i = 0; i < count; ++i) {
    desk.Seal();
    REQUIRE(desk.Open(client));
    std::this_thread::sleep_for(kRest);
    const auto began = Clock::now();
    const auto receipt = client.PutJob(desk.job());
    out.whole.push_back(Milliseconds(Clock::now() - began));
    REQUIRE(receipt);
    desk.Take(*receipt);
    out.key.push_back(KeyComputed(desk));
    out.way.push_back(on_link - out.key.back());
  }
}

// Half of the bare deliveries go before ours and half after them, so that both have the same share
// of the machine.
void Measure(const Road& road, const std::string& name, const std::string& faults, OpenBare bare) {
  Desk& desk = Desk::On(road);
  desk.Control("faults " + faults);
  device::TransportInfo info;
  std::vector<double> echo;
  const auto open = [&]() -> std::unique_ptr<device::MessageLink> {
    REQUIRE(desk.presence().Wait());
    auto port = road.open(desk.presence().places().front(), {});
    REQUIRE(port);
    info = (*port)->Describe();
    auto link = (*port)->OpenLink(test::Paced({}, road.pace));
    REQUIRE(link);
    return std::make_unique<test::PacedLink>(*std::move(link), road.pace);
  };
  const auto open_bare = [&] {
    REQUIRE(desk.presence().Wait());
    auto reports = bare(desk.presence().places().front().path);
    REQUIRE(reports);
    auto link = test::BareLink(std::move(reports));
    REQUIRE(link);
    return link;
  };

  Deliveries raw, ours;
  for (const bool before : {true, false}) {
    auto link = bare != nullptr ? open_bare() : open();
    for (int i = 0; i < kEchoes; ++i) echo.push_back(Echo(*link, protocol::kInitPayload));
    if (bare != nullptr) {
      Deliver(desk, std::move(link), kDeliveries / 2, raw);
    } else {
      // Over Bluetooth a bare program would be half of device/ble: there its messages stand for
      // fragments, one each way.
      for (int i = 0; i < kDeliveries / 2; ++i) {
        std::this_thread::sleep_for(kRest);
        raw.way.push_back(Echo(*link, desk.job().size() + 20));
      }
    }
    link.reset();
    if (before) Deliver(desk, open(), kDeliveries, ours);
  }
  desk.Control("faults ");

  // 4 bytes of head and 16 of tag around job and receipt (PROTOCOL.md section 8).
  const int out = Frames(desk.job().size() + 20, info);
  const int in = Frames(protocol::kReceiptSize + 20, info);
  const double needed = Sorted(raw.way).p50;
  const Figures took = Sorted(ours.whole);
  const double ratio = Sorted(ours.way).p50 / needed;
  std::printf("%-31s %6.2f %6.2f  %3d + %2d %8.2f %8.2f %8.2f %8.2f %8.2f %7.2f %s\n", name.c_str(),
              Sorted(echo).p50, Sorted(echo).p95, out, in, needed, took.p50, took.p95,
              Sorted(ours.key).p50, Sorted(ours.way).p50, ratio, ratio <= kGoal ? "met" : "MISSED");
  std::fflush(stdout);
}

}  // namespace

TEST_CASE("uhid", "[uhid]") {
  Measure(test::UhidRoad(), "uhid, hidraw", "", test::BareHidraw);
  Measure(test::UhidRoad(), "uhid, hidraw, frames of 1 ms", "frame-clock:1000", test::BareHidraw);
}

TEST_CASE("usb, hidraw", "[usb-hidraw]") {
  Measure(test::UsbHidrawRoad(), "USB/IP, hidraw", "", test::BareHidraw);
  Measure(test::UsbHidrawRoad(), "USB/IP, hidraw, frames of 1 ms", "frame-clock:1000",
          test::BareHidraw);
}

TEST_CASE("usb, libusb", "[usb-libusb]") {
  Measure(test::UsbLibusbRoad(), "USB/IP, libusb", "", test::BareLibusb);
  Measure(test::UsbLibusbRoad(), "USB/IP, libusb, frames of 1 ms", "frame-clock:1000",
          test::BareLibusb);
}

TEST_CASE("ble", "[ble]") { Measure(test::BleRoad(), "Bluetooth LE", "", nullptr); }
