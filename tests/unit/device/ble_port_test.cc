#include "device/ble/ble_port.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <filesystem>
#include <future>

#include "device/ble/ble_transport.h"
#include "device/key_client.h"
#include "tests/unit/device/ble_face.h"
#include "tests/unit/device/fake_key.h"
#include "tests/unit/device/organisation.h"

using namespace keyferry;
using device::BleHolding;
using device::BlePort;
using device::Patience;
using protocol::FrameCommand;
using protocol::FrameError;
using std::chrono::milliseconds;

namespace {

// For answers that do not come; those that do are waited for, however busy the machine is.
constexpr Patience kShort{milliseconds(200), milliseconds(600), milliseconds(2000)};
constexpr Patience kLong{milliseconds(60000), milliseconds(60000), milliseconds(60000)};
constexpr Patience kNoTurn{milliseconds(200), milliseconds(600), milliseconds(0)};
// Nobody loses the channel by time, or at once.
constexpr BleHolding kForEver{milliseconds(3600000), milliseconds(3600000)};
constexpr BleHolding kNotAtAll{milliseconds(0), milliseconds(3600000)};

constexpr std::uint8_t Code(FrameCommand command) { return static_cast<std::uint8_t>(command); }
constexpr auto kInfo = Code(FrameCommand::kInfo);

bool IsError(const Result<device::Message>& answer, FrameError error) {
  return answer && answer->command == Code(FrameCommand::kError) && answer->payload.size() == 1 &&
         answer->payload[0] == static_cast<std::uint8_t>(error);
}

// BlePort over the fake key without descriptors.
struct Rig {
  explicit Rig(std::size_t max_fragment = 244, BleHolding holding = kForEver) {
    auto made = std::make_unique<test::BleFace>(key, max_fragment);
    face = made.get();
    port = BlePort::Start(
        std::move(made), [this](const Error& why) { gone.set_value(why); }, holding);
  }
  std::unique_ptr<device::KeyClient> Client() {
    auto link = port->OpenLink(kLong);
    REQUIRE(link);
    return std::make_unique<device::KeyClient>(*std::move(link));
  }

  test::FakeKey key;
  std::promise<Error> gone;
  test::BleFace* face = nullptr;
  std::shared_ptr<BlePort> port;
};

// The same over socket pairs, as BlueZ gives them.
struct SocketRig {
  explicit SocketRig(std::size_t max_fragment = 244)
      : pump(key, max_fragment),
        port(BlePort::Start(
            device::AdoptBleTransport(pump.write_fd(), pump.notify_fd(), max_fragment, "test"),
            [this](const Error& why) { gone.set_value(why); })) {}

  test::FakeKey key;
  std::promise<Error> gone;
  test::BlePump pump;
  std::shared_ptr<BlePort> port;
};

}  // namespace

TEST_CASE("messages pass at every size of fragment", "[ble]") {
  for (const std::size_t fragment : {20u, 21u, 97u, 244u, 500u}) {
    SocketRig rig(fragment);
    device::KeyClient client(*rig.port->OpenLink(kLong));
    const test::Organisation organisation;
    REQUIRE(client.Handshake(organisation.Host(1), rig.key.noise_public));
    CHECK(client.GetAttestation());  // 300 bytes
    CHECK(client.GetStatus());
  }
}

TEST_CASE("the port never writes more than a fragment", "[ble]") {
  SocketRig rig(20);
  auto link = rig.port->OpenLink(kLong);
  const std::vector<std::uint8_t> ping(1024, 0x55);
  const int before = rig.pump.face.fragments;
  CHECK((*link)->Transact(Code(FrameCommand::kPing), ping, kLong, {}));
  // 17 bytes in the first, 19 in each that follows.
  CHECK(rig.pump.face.fragments - before == 1 + (1024 - 17 + 18) / 19);
}

TEST_CASE("a link keeps the channel between handshake, PIN and release", "[ble]") {
  Rig rig;
  const test::Organisation organisation;
  auto first = rig.Client();
  REQUIRE(first->Handshake(organisation.Host(2), rig.key.noise_public));
  auto second = rig.port->OpenLink(kLong);
  // INFO goes in between and breaks nothing; a handshake has to wait.
  CHECK((*second)->Transact(kInfo, {}, kLong, {}));
  const std::vector<std::uint8_t> hs1(protocol::kHs1Size, 9);
  const auto waited = (*second)->Transact(Code(FrameCommand::kHs1), hs1, kNoTurn, {});
  REQUIRE_FALSE(waited);
  CHECK(waited.error().code == ErrorCode::kDeadline);
  CHECK(first->PinVerify(SecureBytes::CopyOf("123456")));
  CHECK(first->Release(rig.key.account_id, 0, {}));
  CHECK(rig.face->inits == 1);
}

TEST_CASE("the channel goes on when its owner's link closes, and the session ends with it",
          "[ble]") {
  Rig rig;
  const test::Organisation organisation;
  auto first = rig.Client();
  REQUIRE(first->Handshake(organisation.Host(1), rig.key.noise_public));
  auto second = rig.Client();
  auto waiting = std::async(std::launch::async, [&] {
    return second->Handshake(organisation.Host(1), rig.key.noise_public).has_value();
  });
  const int inits = rig.face->inits;
  first.reset();
  CHECK(waiting.get());
  CHECK(rig.face->inits == inits + 1);
  CHECK(second->GetStatus());
}

TEST_CASE("an idle owner loses the channel and is told as the key would tell it", "[ble]") {
  Rig rig(244, kNotAtAll);
  const test::Organisation organisation;
  auto first = rig.Client();
  auto second = rig.Client();
  REQUIRE(first->Handshake(organisation.Host(2), rig.key.noise_public));
  REQUIRE(first->PinVerify(SecureBytes::CopyOf("123456")));
  REQUIRE(second->Handshake(organisation.Host(1), rig.key.noise_public));
  // Bound to what was said in the session: the caller must begin again.
  const auto release = first->Release(rig.key.account_id, 0, {});
  REQUIRE_FALSE(release);
  CHECK(release.error().code == ErrorCode::kConflict);
  // Not bound: a new session is opened without a word, and it is now the other one's that is gone.
  const int handshakes = rig.key.handshakes;
  CHECK(first->GetStatus());
  CHECK(rig.key.handshakes == handshakes + 1);
  CHECK(second->GetStatus());
  CHECK(rig.key.handshakes == handshakes + 2);
}

TEST_CASE("a link without the channel hears NO_SESSION and HANDSHAKE, and nothing is sent",
          "[ble]") {
  Rig rig;
  auto link = rig.port->OpenLink(kLong);
  const int before = rig.face->fragments;
  const std::vector<std::uint8_t> message(40);
  CHECK(IsError((*link)->Transact(Code(FrameCommand::kMsg), message, kLong, {}),
                FrameError::kNoSession));
  const std::vector<std::uint8_t> hs3(protocol::kHs3Size);
  CHECK(
      IsError((*link)->Transact(Code(FrameCommand::kHs3), hs3, kLong, {}), FrameError::kHandshake));
  CHECK(rig.face->fragments == before);
}

TEST_CASE("links that all want sessions get them in turn", "[ble]") {
  Rig rig(244, {milliseconds(200), milliseconds(20)});
  const test::Organisation organisation;
  std::vector<std::future<int>> users;
  for (int i = 0; i < 4; ++i) {
    users.push_back(std::async(std::launch::async, [&] {
      auto link = rig.port->OpenLink(kLong);
      if (!link) return -1;
      device::KeyClient client(*std::move(link));
      int good = 0;
      // A channel that has just gone is told to the caller, who then begins again.
      for (int tries = 0; good < 20 && tries < 1000; ++tries) {
        if (client.has_session()
                ? client.GetStatus().has_value()
                : client.Handshake(organisation.Host(1), rig.key.noise_public).has_value()) {
          ++good;
        }
      }
      return good;
    }));
  }
  for (auto& user : users) CHECK(user.get() == 20);
}

TEST_CASE("a busy owner must let another in after a while", "[ble]") {
  Rig rig(244, {milliseconds(3600000), milliseconds(30)});
  const test::Organisation organisation;
  auto busy = rig.Client();
  REQUIRE(busy->Handshake(organisation.Host(1), rig.key.noise_public));
  std::atomic<bool> served = false;
  auto other = std::async(std::launch::async, [&] {
    auto client = rig.Client();
    const bool good = client->Handshake(organisation.Host(1), rig.key.noise_public).has_value();
    served = true;
    return good;
  });
  while (!served) CHECK(busy->GetStatus());
  CHECK(other.get());
}

TEST_CASE("a command without an answer ends in time; its late answer is not mistaken", "[ble]") {
  Rig rig;
  auto link = rig.port->OpenLink(kLong);
  rig.key.faults.never_answer_times = 1;
  const auto lost = (*link)->Transact(kInfo, {}, kShort, {});
  REQUIRE_FALSE(lost);
  CHECK(lost.error().code == ErrorCode::kDeadline);
  const int inits = rig.face->inits;
  const auto answer = (*link)->Transact(kInfo, {}, kLong, {});
  REQUIRE(answer);
  CHECK(answer->command == kInfo);
  CHECK(rig.face->inits == inits + 1);
}

TEST_CASE("an answer that comes after its time is dropped by the next command", "[ble]") {
  SocketRig rig;
  auto link = rig.port->OpenLink(kLong);
  rig.key.faults.never_answer_times = 1;
  REQUIRE_FALSE((*link)->Transact(kInfo, {}, kShort, {}));
  const std::uint8_t late[] = {0x80 | 0x01, 0, 2, 0xAA, 0xBB};  // PING's
  rig.pump.Spill(late);
  const std::vector<std::uint8_t> ping{1, 2, 3};
  rig.key.faults.raw.reset();
  const auto answer = (*link)->Transact(kInfo, {}, kLong, {});
  REQUIRE(answer);
  CHECK(answer->command == kInfo);
}

TEST_CASE("an answer that comes twice spoils one request at most", "[ble]") {
  Rig rig;
  const test::Organisation organisation;
  auto client = rig.Client();
  REQUIRE(client->ReadInfo());
  rig.face->twice = 1;
  REQUIRE(client->ReadInfo());
  // Of another kind: dropped.
  REQUIRE(client->Handshake(organisation.Host(1), rig.key.noise_public));
  rig.face->twice = 1;
  REQUIRE(client->GetStatus());
  // Of the same kind: noticed by the channel's cipher, and the next session begins with INIT.
  const auto spoilt = client->GetStatus();
  REQUIRE_FALSE(spoilt);
  CHECK(spoilt.error().code == ErrorCode::kProtocol);
  const int inits = rig.face->inits;
  CHECK(client->GetStatus());
  CHECK(client->GetStatus());
  CHECK(rig.face->inits == inits + 1);
}

TEST_CASE("KEEPALIVE without end does not stretch the wait on BLE", "[ble]") {
  Rig rig;
  auto link = rig.port->OpenLink(kLong);
  rig.key.faults.keepalive_for_ever = true;
  int seen = 0;
  const auto lost = (*link)->Transact(kInfo, {}, kShort, [&](device::Keepalive) { ++seen; });
  REQUIRE_FALSE(lost);
  CHECK(lost.error().code == ErrorCode::kDeadline);
  CHECK(seen == 50);
}

TEST_CASE("CANCEL reaches the key only while the link's own command runs", "[ble]") {
  Rig rig;
  auto running = rig.port->OpenLink(kLong);
  auto other = rig.port->OpenLink(kLong);
  CHECK((*running)->Post(Code(FrameCommand::kCancel), {}));
  CHECK(rig.key.cancels == 0);
  rig.key.faults.keepalive_for_ever = true;
  bool posted = false;
  REQUIRE_FALSE((*running)->Transact(kInfo, {}, kShort, [&](device::Keepalive) {
    if (posted) return;
    posted = true;
    CHECK((*other)->Post(Code(FrameCommand::kCancel), {}));
    CHECK(rig.key.cancels == 0);
    CHECK((*running)->Post(Code(FrameCommand::kCancel), {}));
    CHECK(rig.key.cancels == 1);
  }));
  CHECK(rig.key.cancels == 2);  // and one by the link itself, when nobody waits any more
}

TEST_CASE("losing the connection ends a waiting command at once and is told once", "[ble]") {
  const auto how = GENERATE(0, 1, 2);
  CAPTURE(how);
  SocketRig rig;
  auto link = rig.port->OpenLink(kLong);
  rig.key.faults.never_answer = true;
  auto waiting =
      std::async(std::launch::async, [&] { return (*link)->Transact(kInfo, {}, kLong, {}); });
  while (rig.key.messages == 0) std::this_thread::yield();
  if (how == 0) rig.pump.HangUp();
  if (how == 1) rig.pump.HangUpWriteOnly();
  if (how == 2) rig.port->Lose({ErrorCode::kUnavailable, "away", {}, 0});
  const auto answer = waiting.get();
  REQUIRE_FALSE(answer);
  CHECK(answer.error().code == ErrorCode::kUnavailable);
  CHECK(rig.gone.get_future().get().code == ErrorCode::kUnavailable);
  CHECK((*link)->Transact(kInfo, {}, kLong, {}).error().code == ErrorCode::kUnavailable);
  CHECK(rig.port->OpenLink(kLong).error().code == ErrorCode::kUnavailable);
}

TEST_CASE("a connection lost in mid-message is no answer", "[ble]") {
  SocketRig rig;
  auto link = rig.port->OpenLink(kLong);
  rig.key.faults.never_answer = true;
  auto waiting =
      std::async(std::launch::async, [&] { return (*link)->Transact(kInfo, {}, kLong, {}); });
  while (rig.key.messages == 0) std::this_thread::yield();
  std::vector<std::uint8_t> half{0x80 | kInfo, 0, 56};
  half.resize(23);
  rig.pump.Spill(half);
  rig.pump.HangUp();
  CHECK(waiting.get().error().code == ErrorCode::kUnavailable);
}

TEST_CASE("garbage is refused and the link is good afterwards", "[ble]") {
  const std::vector<std::vector<std::uint8_t>> garbage{
      {0x80 | kInfo},                 // no length
      {0x80 | kInfo, 0xFF, 0xFF, 1},  // longer than any message
      {0x80 | kInfo, 0, 1, 1, 2},     // carries more than it claims
      {0x80 | 0x3B, 0, 1, 9},         // KEEPALIVE of no kind
      {0x80 | 0x3B, 0, 2, 1, 1},      // too long a KEEPALIVE
  };
  for (const auto& bytes : garbage) {
    SocketRig rig;
    auto link = rig.port->OpenLink(kLong);
    rig.key.faults.never_answer_times = 1;
    auto waiting =
        std::async(std::launch::async, [&] { return (*link)->Transact(kInfo, {}, kLong, {}); });
    while (rig.key.messages == 0) std::this_thread::yield();
    rig.pump.Spill(bytes);
    const auto answer = waiting.get();
    REQUIRE_FALSE(answer);
    CHECK(answer.error().code == ErrorCode::kProtocol);
    CHECK((*link)->Transact(kInfo, {}, kLong, {}));
  }
}

TEST_CASE("empty and lonely fragments are dropped", "[ble]") {
  SocketRig rig;
  auto link = rig.port->OpenLink(kLong);
  rig.key.faults.never_answer_times = 1;
  auto waiting =
      std::async(std::launch::async, [&] { return (*link)->Transact(kInfo, {}, kLong, {}); });
  while (rig.key.messages == 0) std::this_thread::yield();
  rig.pump.Spill({});
  const std::uint8_t lonely[] = {3, 1, 2};
  rig.pump.Spill(lonely);
  const std::uint8_t answer[] = {0x80 | kInfo, 0, 1, 7};
  rig.pump.Spill(answer);
  const auto got = waiting.get();
  REQUIRE(got);
  CHECK(got->payload == std::vector<std::uint8_t>{7});
}

TEST_CASE("a key that floods on BLE is given up", "[ble]") {
  SocketRig rig;
  REQUIRE(rig.port->OpenLink(kLong));
  const std::uint8_t noise[] = {0xEE, 1, 2, 3};
  for (std::size_t i = 0; i < BlePort::kMaxStray; ++i) rig.pump.Spill(noise);
  CHECK(rig.gone.get_future().get().code == ErrorCode::kProtocol);
}

TEST_CASE("what cannot be sent over BLE is not sent", "[ble]") {
  Rig rig;
  auto link = rig.port->OpenLink(kLong);
  const std::vector<std::uint8_t> huge(1025);
  const std::vector<std::uint8_t> nonce(8);
  CHECK((*link)->Transact(0x24, huge, kLong, {}).error().code == ErrorCode::kInvalidArgument);
  CHECK((*link)->Transact(Code(FrameCommand::kInit), nonce, kLong, {}).error().code ==
        ErrorCode::kInvalidArgument);
}

TEST_CASE("a bonded impostor gets no certificate and no job", "[ble]") {
  Rig rig;
  const test::Organisation organisation;
  auto client = rig.Client();
  protocol::X25519Public enrolled = rig.key.noise_public;
  enrolled[0] ^= 1;
  const auto refused = client->Handshake(organisation.Host(1), enrolled);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ErrorCode::kProtocol);
  CHECK(rig.key.handshakes == 0);  // HS3 never came
  CHECK_FALSE(client->PutJob(std::vector<std::uint8_t>(300)));
  CHECK(rig.key.stored.empty());
}

TEST_CASE("no descriptor is left of a hundred connections", "[ble]") {
  const auto count = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
  };
  { SocketRig warm; }
  const auto before = count();
  for (int i = 0; i < 100; ++i) {
    SocketRig rig;
    auto link = rig.port->OpenLink(kLong);
    REQUIRE(link);
    if (i % 2 == 0) rig.pump.HangUp();
  }
  CHECK(count() == before);
}
