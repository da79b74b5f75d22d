// A real key that keeps its books wrongly, under good signatures, against the server's own
// judgement: what no workstation can see, the server has to.
#include <catch2/catch.hpp>
#include <chrono>
#include <limits>

#include "device/hid_port.h"
#include "device/key_client.h"
#include "device/socket/socket_transport.h"
#include "firmware-sim/endpoint/simulator_ca.h"
#include "protocol/certs.h"
#include "tests/integration/daemon/process.h"
#include "tests/unit/client-daemon/temp_dir.h"
#include "tests/unit/server-core/company.h"

using namespace keyferry;
using namespace keyferry::server;
using namespace keyferry::server::testing;

namespace {

template <typename T>
T Must(Result<T> result) {
  if (!result) FAIL(result.error().message << " [" << result.error().detail << "]");
  return *std::move(result);
}

// A company whose keys come from the simulator's factory, and one such key, enrolled for Alice.
struct Desk : Company {
  explicit Desk(const std::string& faults) {
    attestation = MakeAttestationVerifier({{}, {Must(sim::SimulatorCaPem())}, true});
    Restart();
    desk = AddWorkstation("desk-1");
    key = std::make_unique<keyferry::test::Process>(
        std::vector<std::string>{KEYFERRY_SIM, "--socket", dir / "key.sock", "--state",
                                 dir / "flash", "--touch", "auto", "--faults", faults});
    REQUIRE(key->WaitForLine("ready"));
    port = device::HidPort::Start(Must(device::OpenSocketTransport(dir / "key.sock")), {});
    client = std::make_unique<device::KeyClient>(Must(port->OpenLink({})));
    Enrol();
  }

  device::HostIdentity Host(std::uint8_t role) {
    device::HostIdentity host;
    protocol::X25519Public pub{};
    REQUIRE(protocol::X25519Generate(OsRandom(), host.noise_key, pub));
    const auto certificate =
        Must(issuer->HostCert(role, desk->id, pub, 0, std::numeric_limits<std::int32_t>::max()));
    std::copy(certificate.begin(), certificate.end(), host.certificate.begin());
    return host;
  }

  void Tell(int state) {
    id.bytes = client->info()->device_id;
    const std::vector<SeenKey> seen{{id, state, "socket", client->info()->firmware, true}};
    const auto told = workstations->SeenKeys(desk->id, seen);
    REQUIRE(told);
  }

  void Enrol() {
    Must(client->Handshake(Host(protocol::kRoleEnroll), std::nullopt));
    Tell(0);
    const auto started = Must(keys->BeginEnrolment(admin, alice, id, desk->id, std::nullopt));
    const Blob begin = Base64Member(desk->Named("enrol").back(), "begin");
    REQUIRE(begin.size() == protocol::kEnrollBeginSize);
    const auto statement = Must(client->EnrollBegin(
        std::span<const std::uint8_t, protocol::kEnrollBeginSize>(begin.data(), begin.size())));
    const auto attested = Must(client->GetAttestation());
    const Blob grant = Must(keys->AcceptStatement(desk->id, started.id,
                                                  {statement.begin(), statement.end()}, attested));
    REQUIRE(grant.size() == protocol::kEnrolGrantSize);
    const auto receipt = Must(client->EnrollFinish(
        std::span<const std::uint8_t, protocol::kEnrolGrantSize>(grant.data(), grant.size())));
    const auto bytes = receipt.Encode();
    REQUIRE(Must(keys->FinishEnrolment(desk->id, started.id, {bytes.begin(), bytes.end()})).kind ==
            ReceiptVerdict::kStored);
    noise = protocol::Statement::Parse(statement)->noise_pub;
    Must(client->Handshake(Host(protocol::kRoleDeliver), noise));
    Tell(1);
  }

  // A change of the password, its job to the key, the receipt to the server.
  ReceiptVerdict ChangeAndDeliver(const std::string& idempotency_key) {
    Must(Change(alice, idempotency_key));
    const auto receipt = Must(client->PutJob(NewestJob(*desk)));
    CHECK(receipt.positive());
    const auto bytes = receipt.Encode();
    return Must(keys->AcceptReceipt(desk->id, id, {bytes.begin(), bytes.end()}));
  }

  keyferry::test::TempDir dir;
  std::unique_ptr<keyferry::test::Process> key;
  std::shared_ptr<device::HidPort> port;
  std::unique_ptr<device::KeyClient> client;
  std::unique_ptr<TestWorkstation> desk;
  DeviceId id;
  protocol::X25519Public noise{};
};

}  // namespace

TEST_CASE("an honest key's receipts are taken one after the other") {
  Desk d("frame-clock:100");
  CHECK(d.ChangeAndDeliver("request-0001").kind == ReceiptVerdict::kStored);
  CHECK(d.ChangeAndDeliver("request-0002").kind == ReceiptVerdict::kStored);
  CHECK(d.Key(d.alice).alarm.empty());
  CHECK(d.Key(d.alice).last_seq == 2);
}

TEST_CASE("forked-chain: the server stops a key whose receipt does not follow the one before") {
  Desk d("forked-chain:3");
  CHECK(d.ChangeAndDeliver("request-0001").kind == ReceiptVerdict::kStored);
  const auto verdict = d.ChangeAndDeliver("request-0002");
  CHECK(verdict.kind == ReceiptVerdict::kRefused);
  CHECK(verdict.reason.find("cloned or rolled back") != std::string::npos);
  CHECK_FALSE(d.Key(d.alice).alarm.empty());
  CHECK(d.Newest(d.alice).job_state != JobState::kDelivered);
}

TEST_CASE("stale-epoch: what a key says of its epochs never takes the server back") {
  Desk d("stale-epoch:3");
  CHECK(d.ChangeAndDeliver("request-0001").kind == ReceiptVerdict::kStored);
  const auto before = d.Key(d.alice);
  CHECK(d.ChangeAndDeliver("request-0002").kind == ReceiptVerdict::kStored);
  CHECK(d.Newest(d.alice).job_state == JobState::kDelivered);
  // Receipt 3 asked for the epoch before. The key still opens what is sealed to that one, so the
  // next change arrives, and with it the present epoch.
  CHECK(d.Key(d.alice).last_seq == before.last_seq + 1);
  CHECK(d.ChangeAndDeliver("request-0003").kind == ReceiptVerdict::kStored);
  CHECK(d.ChangeAndDeliver("request-0004").kind == ReceiptVerdict::kStored);
  CHECK(d.Key(d.alice).alarm.empty());
  CHECK(d.Key(d.alice).last_seq == 4);
}
