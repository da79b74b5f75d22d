#pragma once

#include <array>
#include <catch2/catch.hpp>
#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include "device/hid/hidraw_transport.h"
#include "device/hid/libusb_transport.h"
#include "tests/integration/hid/event_log.h"
#include "tests/support/usb/toy_device.h"
#include "tests/unit/device/hid_descriptors.h"

// The roads to a toy key in the guest, and what the tests of them do again and again.
namespace keyferry::test {

using namespace keyferry::device;

using Report = std::array<std::uint8_t, 64>;
using Port = std::unique_ptr<Transport>;

inline Clock::time_point Soon() { return Clock::now() + kPatience; }

inline ToySettings Key() {
  ToySettings out;
  out.report_descriptor = KeyReportDescriptor();
  out.usb_descriptors = KeyUsbDescriptors();
  return out;
}

// The three ways that a key's reports can come.
struct Road {
  const char* name;
  std::unique_ptr<ToyDevice> (*plug)(const ToySettings&);
  Result<std::unique_ptr<Discovery>> (*watch)(HidMatch, HidNote);
  Result<Port> (*open)(const std::string&, const HidMatch&);
};
inline const Road kUhid{"uhid, hidraw", PlugUhid, WatchHidraw, OpenHidraw};
inline const Road kHidraw{"USB, hidraw", PlugUsb, WatchHidraw, OpenHidraw};
inline const Road kLibusb{"USB, libusb", PlugUsb, WatchLibusb, OpenLibusb};
inline const Road kRoads[] = {kUhid, kHidraw, kLibusb};

inline Port Open(const Road& road, const std::string& path) {
  auto opened = road.open(path, {});
  INFO((opened ? "" : opened.error().message + " / " + opened.error().detail));
  REQUIRE(opened);
  return *std::move(opened);
}

inline void RoundTrips(Transport& port, int count) {
  for (int i = 0; i < count; ++i) {
    Report out{}, in{};
    for (std::size_t at = 0; at < out.size(); ++at) {
      out[at] = static_cast<std::uint8_t>(at * 7 + static_cast<std::size_t>(i));
    }
    REQUIRE(port.Write(out, Soon()));
    const auto size = port.Read(in, Soon());
    INFO((size ? "" : size.error().message + " / " + size.error().detail));
    REQUIRE(size);
    REQUIRE(*size == 64);
    REQUIRE(in == out);
  }
}

inline std::future<Result<std::size_t>> WaitingRead(Transport& port) {
  return std::async(std::launch::async, [&port] {
    Report in{};
    return port.Read(in, Clock::now() + std::chrono::hours(1));
  });
}

// Until the reader's thread sleeps in a wait that has no end.
inline void LetItWait() { std::this_thread::sleep_for(std::chrono::milliseconds(100)); }

// Begins when what the test before plugged in is gone.
class Events : public EventLog {
 public:
  template <typename Watch>
  explicit Events(Watch watch, HidMatch match = {})
      : EventLog((WaitForNone(), watch), std::move(match)) {}

 private:
  static void WaitForNone() {
    HidMatch all;
    all.ids.push_back({0x1209, 0x0002});
    const auto until = Soon();
    while (!ListUsbDevices(all).empty() || !ListHidrawDevices(all).empty()) {
      if (Clock::now() > until) throw std::runtime_error("a device stays");
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }
};

inline bool Contains(const std::string& text, const std::string& words) {
  return text.find(words) != std::string::npos;
}

}  // namespace keyferry::test
