// The host's key client against the real simulator that drops, damages and pulls out at every
// frame: whatever happens, the job is on the key exactly once and its receipt arrives in the end.
#include <catch2/catch.hpp>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <optional>

#include "device/hid_port.h"
#include "device/key_client.h"
#include "device/socket/socket_transport.h"
#include "tests/integration/daemon/process.h"
#include "tests/support/paced_link.h"
#include "tests/unit/client-daemon/temp_dir.h"
#include "tests/unit/device/organisation.h"

using namespace keyferry;
namespace fs = std::filesystem;
using std::chrono::milliseconds;

namespace {

struct Rig {
  test::TempDir dir;
  test::Organisation organisation;
  device::HostIdentity host = organisation.Host(protocol::kRoleDeliver);
  protocol::Id account{0xAC};
  protocol::Statement statement;
  std::vector<std::uint8_t> job;
  std::unique_ptr<test::Process> key;
  std::string socket = dir / "key.sock";

  void Start(const std::string& faults = {}, const std::string& flash = "flash") {
    key.reset();
    std::vector<std::string> arguments{KEYFERRY_SIM, "--socket", socket, "--state",
                                       dir / flash,  "--touch",  "auto"};
    if (!faults.empty()) arguments.insert(arguments.end(), {"--faults", faults});
    key = std::make_unique<test::Process>(arguments);
    REQUIRE(key->WaitForLine("ready"));
  }

  std::unique_ptr<device::KeyClient> Connect(int divisor = 10) {
    auto transport = device::OpenSocketTransport(socket);
    if (!transport) return nullptr;
    auto port = device::HidPort::Start(*std::move(transport), {});
    const milliseconds answer(3000 / divisor);
    auto link = port->OpenLink({answer, answer, answer});
    if (!link) return nullptr;
    return std::make_unique<device::KeyClient>(
        std::make_unique<test::PacedLink>(*std::move(link), 1.0 / divisor));
  }

  // An enrolled key in "flash" and a first job for it; the process is ended, so that its state can
  // be copied.
  void Enrol() {
    Start();
    auto client = Connect(1);
    REQUIRE(client);
    REQUIRE(client->Handshake(organisation.Host(protocol::kRoleEnroll), std::nullopt));
    const auto begin = organisation.Begin();
    const auto bytes = client->EnrollBegin(begin);
    REQUIRE(bytes);
    statement = *protocol::Statement::Parse(*bytes);
    const auto receipt = client->EnrollFinish(organisation.Grant(begin, *bytes, account).Encode());
    REQUIRE(receipt);
    job = organisation.Job(statement.device_id, account, receipt->recipient_pub, receipt->epoch, 1,
                           0, {1});
    key->Stop(SIGTERM);
  }

  void CopyState() {
    for (const char* part : {"", ".counter"}) {
      fs::copy_file(dir / ("flash" + std::string(part)), dir / ("copy" + std::string(part)),
                    fs::copy_options::overwrite_existing);
    }
  }

  // Delivers as a patient host does: again and again, plugging in what fell out.
  std::optional<protocol::Receipt> DeliverInTheEnd() {
    std::unique_ptr<device::KeyClient> client;
    for (int attempt = 0; attempt < 6; ++attempt) {
      if (!client) client = Connect();
      if (!client) {
        test::RunProgram({KEYFERRY_SIM, "ctl", "--socket", socket, "plug"});
        continue;
      }
      if (!client->has_session() && !client->Handshake(host, statement.noise_pub)) {
        if (!client->ReadInfo()) client.reset();
        continue;
      }
      if (auto receipt = client->PutJob(job)) return *receipt;
      if (!client->ReadInfo()) client.reset();
    }
    return std::nullopt;
  }
};

// What must hold afterwards: one receipt for one job, and the same one for whoever asks again.
void CheckExactlyOnce(Rig& rig, const std::optional<protocol::Receipt>& receipt) {
  REQUIRE(receipt);
  CHECK(receipt->positive());
  CHECK(receipt->seq == 1);
  CHECK(receipt->receipt_ctr == 2);
  CHECK(receipt->VerifySignature(rig.statement.sig_pub));
  auto client = rig.Connect(1);  // nothing is lost any more: a slow answer is an answer
  REQUIRE(client);
  const auto status = client->Handshake(rig.host, rig.statement.noise_pub);
  REQUIRE(status);
  CHECK(status->last_seq == 1);
  CHECK(status->receipt_ctr == 2);
  const auto again = client->PutJob(rig.job);
  REQUIRE(again);
  CHECK(again->Encode() == receipt->Encode());
}

// INIT, INFO, HS1, HS3 and PUT_JOB take this many reports to the key, and their answers back.
constexpr int kFramesIn = 14;
constexpr int kFramesOut = 11;

void TryEachFrame(const std::string& fault, const std::string& tail, int step) {
  Rig rig;
  rig.Enrol();
  for (const auto& [direction, frames] :
       {std::pair("in", kFramesIn), std::pair("out", kFramesOut)}) {
    for (int frame = 1; frame <= frames; frame += step) {
      const std::string text = fault + ":" + direction + ":" + std::to_string(frame) + tail;
      INFO(text);
      rig.CopyState();
      rig.Start(text, "copy");
      CheckExactlyOnce(rig, rig.DeliverInTheEnd());
    }
  }
}

}  // namespace

TEST_CASE("the key is pulled out at any frame") { TryEachFrame("unplug", "", 1); }
TEST_CASE("any one frame is lost") { TryEachFrame("drop", "", 1); }
TEST_CASE("a frame comes twice") { TryEachFrame("duplicate", "", 2); }
TEST_CASE("two frames change places") { TryEachFrame("reorder", "", 2); }
TEST_CASE("a frame is damaged in its head") { TryEachFrame("corrupt", ":4", 3); }
TEST_CASE("a frame is damaged in its body") { TryEachFrame("corrupt", ":20", 3); }
TEST_CASE("a frame is cut short") { TryEachFrame("truncate", ":9", 3); }

TEST_CASE("a key that falls silent costs a deadline, not the program") {
  Rig rig;
  rig.Enrol();
  rig.Start("never-answer:7");
  auto client = rig.Connect();
  REQUIRE(client);
  REQUIRE(client->Handshake(rig.host, rig.statement.noise_pub));
  const auto answer = client->PutJob(rig.job);
  REQUIRE_FALSE(answer);
  CHECK(answer.error().code == ErrorCode::kDeadline);
}

TEST_CASE("a receipt that names another job is not believed, though it is signed") {
  Rig rig;
  rig.Enrol();
  rig.Start("wrong-receipt:2");
  auto client = rig.Connect(1);
  REQUIRE(client->Handshake(rig.host, rig.statement.noise_pub));
  const auto answer = client->PutJob(rig.job);
  REQUIRE_FALSE(answer);
  CHECK(answer.error().code == ErrorCode::kProtocol);
}

TEST_CASE("slow flash and a delayed answer are waited for; a refused touch is told") {
  Rig rig;
  rig.Enrol();
  rig.Start("slow-flash:3000,delay:out:8:300");
  auto client = rig.Connect(1);
  REQUIRE(client->Handshake(rig.host, rig.statement.noise_pub));
  CHECK(client->PutJob(rig.job));

  Rig fresh;
  fresh.Start("touch-refused");
  client = fresh.Connect(1);
  REQUIRE(client->Handshake(fresh.organisation.Host(protocol::kRoleEnroll), std::nullopt));
  const auto refused = client->EnrollBegin(fresh.organisation.Begin());
  REQUIRE_FALSE(refused);
  CHECK(refused.error().key_status == static_cast<int>(protocol::Status::kCancelled));
}
