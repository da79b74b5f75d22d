#include "device/key_client.h"

#include <catch2/catch.hpp>
#include <random>

#include "device/hid_port.h"
#include "tests/unit/device/fake_key.h"
#include "tests/unit/device/organisation.h"

using namespace keyferry;
using device::KeyClient;
using protocol::Status;

namespace {

// Cuts the wait for a key short that has been told not to answer, so that it costs milliseconds.
class Impatient final : public device::MessageLink {
 public:
  Impatient(std::unique_ptr<device::MessageLink> link, test::FakeKey& key)
      : link_(std::move(link)), key_(key) {}
  Result<device::Message> Transact(std::uint8_t command, std::span<const std::uint8_t> payload,
                                   const device::Patience& patience,
                                   const device::KeepaliveHandler& on_keepalive) override {
    bool in_vain = false;
    key_.Trouble([&in_vain](const test::FakeKey::Faults& faults) {
      in_vain = faults.never_answer || faults.never_answer_times != 0 ||
                faults.swallow_receipt_once || faults.raw.has_value();
    });
    const int divisor = in_vain ? 20 : 1;
    return link_->Transact(
        command, payload,
        {patience.answer / divisor, patience.touch / divisor, patience.turn / divisor},
        on_keepalive);
  }
  Result<void> Post(std::uint8_t command, std::span<const std::uint8_t> payload) override {
    return link_->Post(command, payload);
  }
  device::TransportKind Kind() const override { return link_->Kind(); }

 private:
  std::unique_ptr<device::MessageLink> link_;
  test::FakeKey& key_;
};

struct ClientRig {
  test::Organisation organisation;
  test::FakeKey key;
  std::shared_ptr<device::HidPort> port = device::HidPort::Start(key.Connect(), {});
  KeyClient client{std::make_unique<Impatient>(*port->OpenLink({}), key)};
  device::HostIdentity host = organisation.Host(protocol::kRoleDeliver);

  std::vector<std::uint8_t> Job(std::uint64_t seq) {
    return organisation.Job(key.info.device_id, key.account_id, key.noise_public, 1, seq, 0,
                            {static_cast<std::uint8_t>(seq)});
  }
  SecureBytes Pin(std::string_view pin) { return SecureBytes::CopyOf(pin); }
};

}  // namespace

TEST_CASE("INFO, handshake and status") {
  ClientRig rig;
  const auto info = rig.client.ReadInfo();
  REQUIRE(info);
  CHECK(info->device_id == rig.key.info.device_id);
  const auto status = rig.client.Handshake(rig.host, rig.key.noise_public);
  REQUIRE(status);
  CHECK(status->role == protocol::kRoleDeliver);
  CHECK(rig.client.key_static() == rig.key.noise_public);
  REQUIRE(rig.client.GetStatus());
  CHECK(rig.client.GetAttestation()->size() == 300);
  CHECK(rig.client.Wink());
}

TEST_CASE("another key than the expected one gets no certificate") {
  ClientRig rig;
  const test::FakeKey other;
  const auto status = rig.client.Handshake(rig.host, other.noise_public);
  REQUIRE_FALSE(status);
  CHECK(status.error().code == ErrorCode::kProtocol);
  CHECK(rig.key.handshakes == 0);
}

TEST_CASE("INFO that moved is read again, once") {
  ClientRig rig;
  REQUIRE(rig.client.ReadInfo());
  rig.key.info.state = protocol::KeyState::kEnrolledNoPin;
  CHECK(rig.client.Handshake(rig.host, {}));
  CHECK(rig.client.info()->state == protocol::KeyState::kEnrolledNoPin);

  rig.key.faults.error = protocol::FrameError::kHandshake;
  const auto refused = rig.client.Handshake(rig.host, {});
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ErrorCode::kPermissionDenied);
}

TEST_CASE("a job is answered by a receipt, and a repeated one by the same") {
  ClientRig rig;
  REQUIRE(rig.client.Handshake(rig.host, rig.key.noise_public));
  const auto job = rig.Job(1);
  const auto receipt = rig.client.PutJob(job);
  REQUIRE(receipt);
  CHECK(receipt->positive());
  CHECK(receipt->VerifySignature(rig.key.device_public));
  const auto again = rig.client.PutJob(job);
  REQUIRE(again);
  CHECK(again->Encode() == receipt->Encode());
  CHECK(rig.key.stored.size() == 1);
  CHECK(rig.client.GetReceipt(0)->Encode() == receipt->Encode());
  CHECK(rig.client.GetReceipt(1)->Encode() == receipt->Encode());
}

TEST_CASE("a signed refusal is a receipt, an unsigned one an error") {
  ClientRig rig;
  REQUIRE(rig.client.Handshake(rig.host, {}));
  REQUIRE(rig.client.PutJob(rig.Job(5)));
  const auto replay = rig.client.PutJob(rig.Job(4));
  REQUIRE(replay);
  CHECK(replay->result == Status::kReplay);
  const auto refused = rig.client.PutJob(std::vector<std::uint8_t>(336));
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ErrorCode::kKeyRefused);
  CHECK(refused.error().key_status == static_cast<int>(Status::kBadFormat));
  CHECK(rig.client.has_session());
}

TEST_CASE("a session that another program pushed out is opened again without loss") {
  ClientRig rig;
  REQUIRE(rig.client.Handshake(rig.host, rig.key.noise_public));
  rig.key.faults.drop_session_times = 1;
  CHECK(rig.client.PutJob(rig.Job(1)));
  CHECK(rig.key.handshakes == 2);
  rig.key.faults.drop_session_times = 2;  // not for ever
  const auto status = rig.client.GetStatus();
  REQUIRE_FALSE(status);
  CHECK(status.error().code == ErrorCode::kConflict);
}

TEST_CASE("what hangs on the PIN is not repeated in another session") {
  ClientRig rig;
  REQUIRE(rig.client.Handshake(rig.organisation.Host(protocol::kRoleLogin), {}));
  REQUIRE(rig.client.PinVerify(rig.Pin("123456"))->accepted());
  rig.key.faults.drop_session_times = 1;
  const auto lost = rig.client.Release(rig.key.account_id, 0, {});
  REQUIRE_FALSE(lost);
  CHECK(lost.error().code == ErrorCode::kConflict);
  CHECK(rig.key.handshakes == 1);
}

TEST_CASE("PIN, touch and password") {
  ClientRig rig;
  REQUIRE(rig.client.Handshake(rig.organisation.Host(protocol::kRoleLogin), {}));
  const auto wrong = rig.client.PinVerify(rig.Pin("654321"));
  REQUIRE(wrong);
  CHECK_FALSE(wrong->accepted());
  CHECK(wrong->tries == 7);
  CHECK(rig.client.PinVerify(rig.Pin("")).error().code == ErrorCode::kInvalidArgument);
  CHECK(rig.client.PinVerify(rig.Pin(std::string(64, '1'))).error().code ==
        ErrorCode::kInvalidArgument);
  REQUIRE(rig.client.PinVerify(rig.Pin("123456"))->accepted());
  rig.key.faults.touch_keepalives = 3;
  int touches = 0;
  const auto released = rig.client.Release(rig.key.account_id, 0, [&](device::Keepalive state) {
    touches += state == device::Keepalive::kTouchNeeded ? 1 : 0;
  });
  REQUIRE(released);
  CHECK(released->login == "alice");
  CHECK(released->password.view() == "the password");
  CHECK(touches == 3);
}

TEST_CASE("enrolment: statement, grant, receipt number 1") {
  ClientRig rig;
  rig.key.info.state = rig.key.status.state = protocol::KeyState::kProvisioned;
  REQUIRE(rig.client.Handshake(rig.organisation.Host(protocol::kRoleEnroll), {}));
  const auto begin = rig.organisation.Begin();
  const auto statement = rig.client.EnrollBegin(begin);
  REQUIRE(statement);
  const auto grant = rig.organisation.Grant(begin, *statement, {9}).Encode();
  const auto receipt = rig.client.EnrollFinish(grant);
  REQUIRE(receipt);
  CHECK(receipt->receipt_ctr == 1);
  CHECK_FALSE(rig.client.has_session());
  // Without the session of BEGIN there is nothing to finish.
  CHECK(rig.client.EnrollFinish(grant).error().code == ErrorCode::kConflict);
}

TEST_CASE("a lost answer is a deadline; the same job afterwards brings the same receipt") {
  ClientRig rig;
  REQUIRE(rig.client.Handshake(rig.host, rig.key.noise_public));
  rig.key.faults.swallow_receipt_once = true;
  const auto lost = rig.client.PutJob(rig.Job(1));
  REQUIRE_FALSE(lost);
  CHECK(lost.error().code == ErrorCode::kDeadline);
  const auto job = rig.key.stored.at(0);
  const auto receipt = rig.client.PutJob(job);
  REQUIRE(receipt);
  CHECK(receipt->positive());
  CHECK(rig.key.stored.size() == 1);
}

TEST_CASE("answers that no key may give end the session") {
  ClientRig rig;
  REQUIRE(rig.client.Handshake(rig.host, rig.key.noise_public));
  SECTION("request id") { rig.key.faults.wrong_req_id = true; }
  SECTION("receipt of another job") { rig.key.faults.wrong_receipt = true; }
  SECTION("frames") { rig.key.faults.raw = std::vector<std::uint8_t>{0xA5, 0x00, 0x10, 1, 2}; }
  SECTION("a message longer than any") {
    rig.key.faults.raw = std::vector<std::uint8_t>{0xA5, 0xFF, 0xFF};
  }
  SECTION("ERROR of two bytes") {
    rig.key.faults.raw = std::vector<std::uint8_t>{0xBF, 0, 2, 6, 6};
  }
  SECTION("an unknown error") { rig.key.faults.error = static_cast<protocol::FrameError>(0x60); }
  SECTION("the answer of another command") {
    rig.key.faults.raw = std::vector<std::uint8_t>{0xA1, 0, 1, 0};
  }
  const auto answer = rig.client.PutJob(rig.Job(1));
  REQUIRE_FALSE(answer);
  CHECK(answer.error().code == ErrorCode::kProtocol);
  CHECK_FALSE(rig.client.has_session());
  rig.key.faults = {};
  CHECK(rig.client.PutJob(rig.Job(1)));
}

TEST_CASE("random bytes from a key never hang or crash the client") {
  ClientRig rig;
  std::mt19937 random(20240607);
  for (int round = 0; round < 200; ++round) {
    if (round % 4 == 0) {
      rig.key.faults = {};
      [[maybe_unused]] const auto ready = rig.client.Handshake(rig.host, rig.key.noise_public);
    }
    std::vector<std::uint8_t> bytes(random() % 400);
    for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
    if (!bytes.empty() && round % 2 == 0) {  // well framed nonsense
      bytes.resize(60);
      bytes[0] = 0x80 | static_cast<std::uint8_t>(random() % 0x40);
      bytes[1] = 0;
      bytes[2] = static_cast<std::uint8_t>(random() % 58);
    }
    rig.key.faults.raw = bytes;
    [[maybe_unused]] const auto answer = rig.client.PutJob(rig.Job(1));
  }
  rig.key.faults = {};
  REQUIRE(rig.client.Handshake(rig.host, rig.key.noise_public));
  CHECK(rig.client.PutJob(rig.Job(1)));
}

TEST_CASE("every status has words of its own") {
  for (const auto status :
       {Status::kPinRequired, Status::kPinBlocked, Status::kPinLocked, Status::kTouchTimeout,
        Status::kNotEnrolled, Status::kNoPassword, Status::kTamper, Status::kWiped}) {
    const Error error = device::KeyRefused(status);
    CHECK(error.code == ErrorCode::kKeyRefused);
    CHECK(error.key_status == static_cast<int>(status));
    CHECK(error.message.find("refused.") == std::string::npos);
  }
}
