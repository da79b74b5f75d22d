#include "device/hid_port.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <future>

#include "tests/unit/device/fake_key.h"

using namespace keyferry;
using device::HidPort;
using device::Patience;
using std::chrono::milliseconds;

namespace {

// For answers that do not come; those that do are waited for, however busy the machine is.
constexpr Patience kShort{milliseconds(200), milliseconds(600), milliseconds(2000)};
constexpr Patience kLong{milliseconds(60000), milliseconds(60000), milliseconds(60000)};
constexpr auto kInfo = static_cast<std::uint8_t>(protocol::FrameCommand::kInfo);

struct PortRig {
  test::FakeKey key;
  std::promise<Error> gone;
  std::shared_ptr<HidPort> port =
      HidPort::Start(key.Connect(), [this](const Error& why) { gone.set_value(why); });
};

}  // namespace

TEST_CASE("several links share one key") {
  PortRig rig;
  auto a = rig.port->OpenLink(kLong);
  auto b = rig.port->OpenLink(kLong);
  REQUIRE(a);
  REQUIRE(b);
  for (auto* link : {a->get(), b->get(), a->get()}) {
    const auto answer = link->Transact(kInfo, {}, kLong, {});
    REQUIRE(answer);
    CHECK(answer->payload.size() == protocol::kInfoSize);
  }
}

TEST_CASE("links used at once get their own answers") {
  PortRig rig;
  std::vector<std::future<int>> users;
  for (int i = 0; i < 4; ++i) {
    users.push_back(std::async(std::launch::async, [&rig] {
      auto link = rig.port->OpenLink(kLong);
      int good = 0;
      for (int k = 0; link && k < 50; ++k) good += (*link)->Transact(kInfo, {}, kLong, {}) ? 1 : 0;
      return good;
    }));
  }
  for (auto& user : users) CHECK(user.get() == 50);
}

TEST_CASE("a fifth link is refused and a cid is used again") {
  PortRig rig;
  std::vector<std::unique_ptr<device::MessageLink>> links;
  for (std::size_t i = 0; i < protocol::kMaxChannels; ++i) {
    auto link = rig.port->OpenLink(kLong);
    REQUIRE(link);
    links.push_back(*std::move(link));
  }
  const auto refused = rig.port->OpenLink(kLong);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ErrorCode::kRateLimited);
  links.pop_back();
  CHECK(rig.port->OpenLink(kLong));
}

TEST_CASE("frames of other channels are dropped") {
  PortRig rig;
  rig.key.faults.other_cid_first = true;
  auto link = rig.port->OpenLink(kLong);
  REQUIRE(link);
  CHECK((*link)->Transact(kInfo, {}, kLong, {}));
}

TEST_CASE("a command without answer ends in time, and the link is good again afterwards") {
  PortRig rig;
  auto link = rig.port->OpenLink(kLong);
  rig.key.faults.never_answer_times = 1;
  const auto lost = (*link)->Transact(kInfo, {}, kShort, {});
  REQUIRE_FALSE(lost);
  CHECK(lost.error().code == ErrorCode::kDeadline);
  CHECK((*link)->Transact(kInfo, {}, kLong, {}));
}

TEST_CASE("KEEPALIVE without end does not stretch the wait") {
  PortRig rig;
  auto link = rig.port->OpenLink(kLong);
  rig.key.faults.keepalive_for_ever = true;
  int seen = 0;
  const auto lost = (*link)->Transact(kInfo, {}, kShort, [&](device::Keepalive) { ++seen; });
  REQUIRE_FALSE(lost);
  CHECK(lost.error().code == ErrorCode::kDeadline);
  CHECK(seen == 50);
}

TEST_CASE("a channel that the key gave away is told as an error and then replaced") {
  PortRig rig;
  auto link = rig.port->OpenLink(kLong);
  rig.key.Unplug();
  rig.key.PlugIn();  // channels are forgotten; the transport's reader may have seen it or not
  auto fresh = HidPort::Start(rig.key.Connect(), {});
  auto other = fresh->OpenLink(kLong);
  REQUIRE(other);
  rig.key.faults.error = protocol::FrameError::kInvalidChannel;
  const auto error = (*other)->Transact(kInfo, {}, kLong, {});
  REQUIRE(error);
  CHECK(error->command == static_cast<std::uint8_t>(protocol::FrameCommand::kError));
  rig.key.faults.error.reset();
  CHECK((*other)->Transact(kInfo, {}, kLong, {}));
}

TEST_CASE("unplugging ends a waiting transaction and is told once") {
  PortRig rig;
  auto link = rig.port->OpenLink(kLong);
  rig.key.faults.never_answer = true;
  auto waiting =
      std::async(std::launch::async, [&] { return (*link)->Transact(kInfo, {}, kLong, {}); });
  rig.key.Unplug();
  const auto answer = waiting.get();
  REQUIRE_FALSE(answer);
  CHECK(answer.error().code == ErrorCode::kUnavailable);
  CHECK(rig.gone.get_future().get().code == ErrorCode::kUnavailable);
  CHECK((*link)->Transact(kInfo, {}, kLong, {}).error().code == ErrorCode::kUnavailable);
}

TEST_CASE("a key that floods is given up") {
  PortRig rig;
  protocol::Report noise{};
  noise.fill(0xEE);
  for (std::size_t i = 0; i < HidPort::kMaxStray; ++i) rig.key.Spill(noise);
  CHECK(rig.gone.get_future().get().code == ErrorCode::kProtocol);
}

TEST_CASE("what waits for its turn gives up at its deadline") {
  PortRig rig;
  auto first = rig.port->OpenLink(kLong);
  auto second = rig.port->OpenLink(kLong);
  rig.key.faults.never_answer = true;
  std::atomic<bool> started = false;
  auto holder = std::async(std::launch::async, [&] {
    started = true;
    return (*first)->Transact(kInfo, {},
                              {milliseconds(1500), milliseconds(1500), milliseconds(100)}, {});
  });
  while (!started || rig.key.messages == 0) std::this_thread::yield();
  const auto late =
      (*second)->Transact(kInfo, {}, {milliseconds(50), milliseconds(50), milliseconds(20)}, {});
  REQUIRE_FALSE(late);
  CHECK(late.error().code == ErrorCode::kDeadline);
  CHECK_FALSE(holder.get());
}

TEST_CASE("a message that does not fit is not sent") {
  PortRig rig;
  auto link = rig.port->OpenLink(kLong);
  const std::vector<std::uint8_t> huge(1025);
  const int before = rig.key.messages;
  const auto answer = (*link)->Transact(0x24, huge, kLong, {});
  REQUIRE_FALSE(answer);
  CHECK(answer.error().code == ErrorCode::kInvalidArgument);
  CHECK(rig.key.messages == before);
}
