#include "device/discovery/merged_discovery.h"

#include <catch2/catch.hpp>
#include <future>

using namespace keyferry;
using device::Discovery;
using device::DiscoveryEvent;
using device::MergedDiscovery;
using device::TransportKind;

namespace {

// Tells its events, then waits for Stop or breaks.
class Listed final : public Discovery {
 public:
  Listed(std::vector<DiscoveryEvent> events, bool breaks)
      : events_(std::move(events)), breaks_(breaks) {}
  Result<DiscoveryEvent> Next() override {
    if (at_ < events_.size()) return events_[at_++];
    if (breaks_) return Fail(ErrorCode::kIo, "The watch broke.");
    stopped_.get_future().wait();
    return Fail(ErrorCode::kUnavailable, "Stopped.");
  }
  void Stop() override {
    if (!std::exchange(told_, true)) stopped_.set_value();
  }

 private:
  const std::vector<DiscoveryEvent> events_;
  const bool breaks_;
  std::size_t at_ = 0;
  bool told_ = false;
  std::promise<void> stopped_;
};

device::KeyWatch Watch(const std::string& name, std::vector<DiscoveryEvent> events,
                       bool breaks = false) {
  return {name, [=]() -> Result<std::unique_ptr<Discovery>> {
            return std::make_unique<Listed>(events, breaks);
          }};
}

DiscoveryEvent Event(TransportKind transport, const std::string& path, bool appeared = true) {
  return {appeared ? DiscoveryEvent::kAppeared : DiscoveryEvent::kVanished, {transport, path}};
}

}  // namespace

TEST_CASE("several ways to find keys are one stream, each in its order") {
  MergedDiscovery merged(
      {Watch("USB", {Event(TransportKind::kHid, "/a"), Event(TransportKind::kHid, "/a", false)}),
       Watch("Bluetooth", {Event(TransportKind::kBle, "/b")})},
      [](const std::string&, const Error&) { FAIL("nothing is broken"); });
  std::vector<DiscoveryEvent> hid;
  int ble = 0;
  for (int i = 0; i < 3; ++i) {
    const auto event = merged.Next();
    REQUIRE(event);
    if (event->place.transport == TransportKind::kHid) hid.push_back(*event);
    if (event->place.transport == TransportKind::kBle) ++ble;
  }
  CHECK(ble == 1);
  REQUIRE(hid.size() == 2);
  CHECK(hid[0].kind == DiscoveryEvent::kAppeared);
  CHECK(hid[1].kind == DiscoveryEvent::kVanished);
  merged.Stop();
  CHECK(merged.Next().error().code == ErrorCode::kUnavailable);
}

TEST_CASE("a way that cannot start or breaks is told once and stops no other") {
  std::mutex mutex;
  std::map<std::string, int> broken;
  MergedDiscovery merged({{"Bluetooth",
                           []() -> Result<std::unique_ptr<Discovery>> {
                             return Fail(ErrorCode::kUnavailable, "There is no D-Bus.");
                           }},
                          Watch("USB", {Event(TransportKind::kHid, "/a")}, true),
                          Watch("sockets", {Event(TransportKind::kSocket, "/s")})},
                         [&](const std::string& name, const Error& why) {
                           const std::scoped_lock lock(mutex);
                           if (!why.message.empty()) ++broken[name];
                         });
  CHECK(merged.Next());
  CHECK(merged.Next());
  auto waiting = std::async(std::launch::async, [&] { return merged.Next(); });
  merged.Stop();
  CHECK_FALSE(waiting.get());
  const std::scoped_lock lock(mutex);
  CHECK(broken["Bluetooth"] == 1);
  CHECK(broken["USB"] <= 1);
  CHECK(broken["sockets"] == 0);
}

TEST_CASE("a flood of events holds its source back and ends with Stop") {
  std::vector<DiscoveryEvent> flood(MergedDiscovery::kMaxWaiting + 10,
                                    Event(TransportKind::kHid, "/a"));
  MergedDiscovery merged({Watch("USB", flood)}, [](const std::string&, const Error&) {});
  CHECK(merged.Next());
  merged.Stop();
}
