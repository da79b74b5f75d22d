// The channel rules across plugs, and over Bluetooth: the same state machine as framing_hid.json
// drives.

#include <catch2/catch.hpp>

#include "tests/unit/firmware-sim/bench.h"

namespace keyferry::sim::test {
namespace {

using protocol::FrameError;
using protocol::Transport;

// A key whose frames are kept with the plug that they went to.
class Plugs : public Clock, public TouchPort, public FrameSink {
 public:
  Plugs() : flash(FactoryImage()) { key.PowerOn(); }
  std::uint64_t NowMs() const override { return now_ms; }
  void WaitBegan(bool) override { waiting = true; }
  void WaitEnded() override { waiting = false; }
  void Wink() override {}
  void Send(ByteView frame, const Origin& origin) override {
    sent.push_back({Copy(frame), origin});
  }

  void Hid(std::uint8_t plug, std::uint32_t cid, FrameCommand command, const Blob& data) {
    protocol::HidSplitter splitter(cid, command, data);
    protocol::Report report;
    while (splitter.Next(report)) key.OnFrame(report, {Transport::kHid, plug, 0});
  }
  void Ble(FrameCommand command, const Blob& data, std::size_t max_fragment) {
    protocol::BleSplitter splitter(max_fragment, command, data);
    Blob fragment(protocol::kMaxFragment);
    while (const std::size_t size = splitter.Next(fragment))
      key.OnFrame(ByteView(fragment).first(size), kBle);
  }
  std::uint32_t Open(std::uint8_t plug) {
    Hid(plug, protocol::kBroadcastCid, FrameCommand::kInit, Blob(8, 1));
    const auto answer = Take();
    return protocol::Reader(ByteView(answer).subspan(15, 4)).U32();
  }
  Blob Take() {
    if (sent.empty()) return {};
    Blob out = sent.front().bytes;
    sent.pop_front();
    return out;
  }
  // The whole message that was sent over Bluetooth; no fragment longer than `max_fragment`.
  Blob TakeBle(std::size_t max_fragment, FrameCommand* command) {
    protocol::Assembler assembler;
    while (!sent.empty()) {
      const Blob raw = Take();
      CHECK(raw.size() <= max_fragment);
      protocol::BleFragment fragment;
      REQUIRE(protocol::BleFragment::Parse(raw, fragment));
      const auto step = fragment.first
                            ? assembler.Begin(fragment.command, fragment.length, fragment.data)
                            : assembler.Continue(fragment.sequence, fragment.data);
      if (step == protocol::Assembler::Step::kComplete) break;
      REQUIRE(step == protocol::Assembler::Step::kMore);
    }
    *command = static_cast<FrameCommand>(assembler.command());
    return Copy(assembler.message());
  }

  struct Sent {
    Blob bytes;
    Origin origin;
  };
  static constexpr Origin kBle{Transport::kBle, 2, 5};
  std::uint64_t now_ms = 1'000'000;
  bool waiting = false;
  std::deque<Sent> sent;
  MemoryFlash flash;
  ScriptedRandom random{5};
  Key key{Hal{flash, flash, random, *this, *this, *this}, {}};
};

Blob Error(FrameError error) { return {0xBF, 0, 1, static_cast<std::uint8_t>(error)}; }

TEST_CASE("a channel belongs to the plug that it was made on") {
  Plugs plugs;
  const std::uint32_t a = plugs.Open(0);
  const std::uint32_t b = plugs.Open(1);
  plugs.Hid(0, a, FrameCommand::kPing, {1});
  CHECK(plugs.sent.front().origin == Origin{Transport::kHid, 0, 0});
  CHECK(plugs.Take()[4] == 0x81);
  plugs.Hid(1, a, FrameCommand::kPing, {1});
  CHECK(plugs.Take()[7] == static_cast<int>(FrameError::kInvalidChannel));
  // Not even a continuation of the right message gets in from elsewhere.
  protocol::HidSplitter splitter(a, FrameCommand::kPing, Blob(100, 7));
  protocol::Report first;
  protocol::Report second;
  splitter.Next(first);
  splitter.Next(second);
  plugs.key.OnFrame(first, {Transport::kHid, 0, 0});
  plugs.key.OnFrame(second, {Transport::kHid, 1, 0});
  CHECK(plugs.sent.empty());
  plugs.Hid(1, b, FrameCommand::kPing, {1});
  CHECK(plugs.Take()[7] == static_cast<int>(FrameError::kBusy));
  plugs.key.OnFrame(second, {Transport::kHid, 0, 0});
  CHECK(plugs.sent.size() == 2);
}

TEST_CASE("when a plug's host is gone its channels end, and only those") {
  Plugs plugs;
  const std::uint32_t a = plugs.Open(0);
  const std::uint32_t b = plugs.Open(1);
  plugs.Hid(0, a, FrameCommand::kReset, {});
  CHECK(plugs.waiting);
  plugs.Hid(1, b, FrameCommand::kPing, {1});
  CHECK(plugs.Take()[7] == static_cast<int>(FrameError::kBusy));
  plugs.key.OnHostGone(0);
  CHECK_FALSE(plugs.waiting);
  plugs.Hid(1, b, FrameCommand::kPing, {1});
  CHECK(plugs.Take()[4] == 0x81);
  plugs.Hid(0, a, FrameCommand::kPing, {1});
  CHECK(plugs.Take()[7] == static_cast<int>(FrameError::kInvalidChannel));
  plugs.key.OnHostGone(7);
}

TEST_CASE("the prologue names the transport that the handshake came over") {
  Bench bench;
  bench.PowerOn();
  Owner owner(bench);
  for (const Transport transport : {Transport::kSocket, Transport::kHid}) {
    bench.origin = {transport, static_cast<std::uint8_t>(transport), 1};
    CHECK(owner.Enroller().Connect());
  }
}

TEST_CASE("a Bluetooth link is a channel without a cid") {
  for (const std::size_t fragment : {20u, 97u, 244u, 500u}) {
    INFO(fragment);
    Plugs plugs;
    plugs.Ble(FrameCommand::kPing, {1}, fragment);  // no link yet
    CHECK(plugs.sent.empty());
    plugs.key.OnBleLink(2, fragment);
    FrameCommand command{};
    for (const std::size_t size : {0u, 1u, 57u, 1024u}) {
      plugs.Ble(FrameCommand::kPing, Blob(size, 9), fragment);
      CHECK(plugs.TakeBle(fragment, &command) == Blob(size, 9));
      CHECK(command == FrameCommand::kPing);
    }
    plugs.Ble(FrameCommand::kInit, Blob(8, 3), fragment);
    const Blob init = plugs.TakeBle(fragment, &command);
    REQUIRE(command == FrameCommand::kInit);
    const auto parsed = protocol::InitResponse::Parse(init);
    REQUIRE(parsed.has_value());
    CHECK(parsed->cid == 0);
    plugs.Ble(FrameCommand::kInfo, {}, fragment);
    CHECK(plugs.TakeBle(fragment, &command) == Copy(plugs.key.MakeInfo()));
    CHECK(plugs.sent.empty());
    plugs.key.OnHostGone(2);
    plugs.Ble(FrameCommand::kPing, {1}, fragment);
    CHECK(plugs.sent.empty());
  }
}

TEST_CASE("Bluetooth framing knows the error rules of HID framing") {
  Plugs plugs;
  plugs.key.OnBleLink(2, 20);
  const auto send = [&plugs](Blob bytes) { plugs.key.OnFrame(bytes, Plugs::kBle); };
  send({});
  send({0x81});
  send({0x81, 0});  // too short to be any
  send({0x00, 1});  // belongs to no message
  CHECK(plugs.sent.empty());
  send({0xFE, 0, 0});
  CHECK(plugs.Take() == Error(FrameError::kInvalidCommand));
  send({0xA1, 0, 0});  // HS2 is the key's
  CHECK(plugs.Take() == Error(FrameError::kInvalidCommand));
  send({0x81, 4, 1});
  CHECK(plugs.Take() == Error(FrameError::kInvalidLength));
  send({0x86, 0, 7});
  CHECK(plugs.Take() == Error(FrameError::kInvalidLength));
  send({0x81, 0, 30, 1});
  send({0x01, 1});
  CHECK(plugs.Take() == Error(FrameError::kInvalidSequence));
  send({0x81, 0, 30, 1});
  send({0x81, 0, 1, 1});
  CHECK(plugs.Take() == Error(FrameError::kInvalidSequence));
  send({0x81, 0, 30, 1});
  plugs.now_ms += 500;
  plugs.key.Tick();
  CHECK(plugs.Take() == Error(FrameError::kTimeout));
  // What is beyond the claimed length is not part of the message.
  send({0x81, 0, 1, 5, 6, 7});
  CHECK(plugs.Take() == Blob{0x81, 0, 1, 5});
  send(Blob(1000, 0x81));
  CHECK(plugs.Take() == Error(FrameError::kInvalidLength));
  CHECK(plugs.sent.empty());
}

TEST_CASE("cable and Bluetooth share the one key") {
  Plugs plugs;
  plugs.key.OnBleLink(2, 20);
  for (int i = 0; i < 9; ++i) plugs.Open(0);  // pushes out cids, not the Bluetooth link
  const std::uint32_t cid = plugs.Open(0);
  CHECK(cid != Link::kBleCid);
  plugs.Ble(FrameCommand::kReset, {}, 20);
  CHECK(plugs.waiting);
  plugs.Hid(0, cid, FrameCommand::kPing, {1});
  CHECK(plugs.Take()[7] == static_cast<int>(FrameError::kBusy));
  plugs.Hid(0, Link::kBleCid, FrameCommand::kCancel, {});
  CHECK(plugs.Take()[7] == static_cast<int>(FrameError::kInvalidChannel));
  plugs.now_ms += 100;
  plugs.key.Tick();
  CHECK(plugs.sent.front().origin == Plugs::kBle);
  CHECK(plugs.Take() == Blob{0xBB, 0, 1, 2});
  plugs.Ble(FrameCommand::kCancel, {}, 20);
  CHECK_FALSE(plugs.waiting);
  CHECK(plugs.Take() == Blob{0x89, 0, 1, 0x36});
  plugs.Hid(0, cid, FrameCommand::kPing, {1});
  CHECK(plugs.Take()[4] == 0x81);
}

}  // namespace
}  // namespace keyferry::sim::test
