#include "tests/vm/desk.h"

#include <catch2/catch.hpp>
#include <map>

#include "client-daemon/core/encoding.h"
#include "firmware-sim/endpoint/control_client.h"
#include "tests/support/impatient.h"

namespace keyferry::test {

namespace {

constexpr char kPin[] = "246813";
constexpr int kAttempts = 8;

std::string Words(const Error& error) { return error.message + " / " + error.detail; }

}  // namespace

Desk::Desk(const Road& road)
    : road_(road),
      host_(organisation_.Host(protocol::kRoleDeliver)),
      login_(organisation_.Host(protocol::kRoleLogin, {2})) {
  auto watch = road.watch();
  INFO((watch ? "" : Words(watch.error())));
  REQUIRE(watch);
  presence_ = std::make_unique<Presence>(*std::move(watch));
  std::vector<std::string> arguments{KEYFERRY_BIN "/keyferry-sim",
                                     "--state",
                                     dir_ / "flash",
                                     "--control",
                                     dir_ / "control",
                                     "--touch",
                                     "auto"};
  arguments.insert(arguments.end(), road.plug.begin(), road.plug.end());
  key_ = std::make_unique<Process>(arguments);
  REQUIRE(key_->WaitForLine("ready"));
  const std::string start = "\"device_id\":\"";
  device_id_ = key_->output().substr(key_->output().find(start) + start.size(), 32);
  if (road.introduce) {
    const auto introduced = road.introduce();
    INFO((introduced ? "" : Words(introduced.error())));
    REQUIRE(introduced);
  }
  Enrol();
}

Desk& Desk::On(const Road& road) {
  static std::map<const Road*, std::unique_ptr<Desk>> desks;
  auto& desk = desks[&road];
  if (!desk) desk = std::make_unique<Desk>(road);
  return *desk;
}

std::string Desk::Control(const std::string& command) {
  const auto answer = sim::SendControl(dir_ / "control", command);
  INFO(command << ": " << (answer ? *answer : Words(answer.error())));
  REQUIRE(answer);
  REQUIRE(answer->rfind(R"({"ok":true)", 0) == 0);
  return *answer;
}

bool Desk::Plugged() { return Control("status").find("\"plugged\":true") != std::string::npos; }

std::unique_ptr<device::KeyClient> Desk::Connect(int divisor) {
  if (!presence_->Wait()) return nullptr;
  for (const device::KeyPlace& place : presence_->places()) {
    if (auto client = ConnectAt(place, divisor)) return client;
  }
  return nullptr;
}

std::unique_ptr<device::KeyClient> Desk::ConnectAt(const device::KeyPlace& place, int divisor) {
  auto port = road_.open(place, {});
  if (!port) {
    UNSCOPED_INFO("open: " << Words(port.error()));
    return nullptr;
  }
  auto link = (*port)->OpenLink(Shortened({}, divisor));
  if (!link) {
    UNSCOPED_INFO("link: " << Words(link.error()));
    return nullptr;
  }
  auto client =
      std::make_unique<device::KeyClient>(std::make_unique<Impatient>(*std::move(link), divisor));
  const auto info = client->ReadInfo();
  if (!info) {
    UNSCOPED_INFO("INFO: " << Words(info.error()));
    return nullptr;
  }
  return daemon::Hex(info->device_id) == device_id_ ? std::move(client) : nullptr;
}

std::unique_ptr<device::KeyClient> Desk::OpenAs(
    const device::HostIdentity& host, const std::optional<protocol::X25519Public>& expected) {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    auto client = Connect();
    if (!client) continue;
    const auto opened = client->Handshake(host, expected);
    if (opened) return client;
    UNSCOPED_INFO("handshake: " << Words(opened.error()));
  }
  return nullptr;
}

void Desk::Enrol() {
  // Others may have come before ours; one that answers too late is asked again.
  for (int tries = 0, arrivals = 0; !Connect(); ++tries) {
    REQUIRE(tries < 10);
    (void)presence_->Wait(arrivals, std::chrono::seconds(6));
    arrivals = presence_->arrivals();
  }
  const auto client = OpenAs(organisation_.Host(protocol::kRoleEnroll), std::nullopt);
  REQUIRE(client);
  const auto begin = organisation_.Begin();
  const auto bytes = client->EnrollBegin(begin);
  INFO((bytes ? "" : Words(bytes.error())));
  REQUIRE(bytes);
  statement_ = *protocol::Statement::Parse(*bytes);
  const auto receipt = client->EnrollFinish(organisation_.Grant(begin, *bytes, account_).Encode());
  REQUIRE(receipt);
  REQUIRE(receipt->VerifySignature(statement_.sig_pub));
  last_ = *receipt;
}

std::string Desk::Password(std::uint64_t seq) {
  return "Road-" + std::to_string(seq) + "-" + std::string(60, static_cast<char>('a' + seq % 26));
}

void Desk::Seal() {
  ++seq_;
  protocol::Id id{};
  for (std::size_t i = 0; i < 8; ++i) id[i] = static_cast<std::uint8_t>(seq_ >> (8 * i));
  job_ = organisation_.Job(statement_.device_id, account_, last_.recipient_pub, last_.epoch, seq_,
                           last_.seq, id, Password(seq_));
}

bool Desk::Open(device::KeyClient& client) {
  if (client.has_session()) return true;
  const auto opened = client.Handshake(host_, statement_.noise_pub);
  if (!opened) UNSCOPED_INFO("handshake: " << Words(opened.error()));
  return opened.has_value();
}

std::optional<protocol::Receipt> Desk::Deliver(int divisor) {
  std::unique_ptr<device::KeyClient> client;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const int arrivals = presence_->arrivals();
    if (!client) client = Connect(divisor);
    if (client && Open(*client)) {
      const auto receipt = client->PutJob(job_);
      if (receipt) return *receipt;
      UNSCOPED_INFO("PUT_JOB: " << Words(receipt.error()));
    }
    if (Plugged()) continue;
    ++pulls_;
    client.reset();
    Control("plug");
    if (!presence_->Wait(arrivals)) return std::nullopt;
  }
  return std::nullopt;
}

void Desk::CheckOnce(const std::optional<protocol::Receipt>& receipt) {
  REQUIRE(receipt);
  CHECK(receipt->positive());
  CHECK(receipt->VerifySignature(statement_.sig_pub));
  CHECK(receipt->job_hash == protocol::JobHash(job_));
  CHECK(receipt->seq == seq_);
  CHECK(receipt->receipt_ctr == last_.receipt_ctr + 1);
  CHECK(receipt->previous_hash == protocol::ReceiptHash(last_.Encode()));
  const auto client = OpenAs(host_, statement_.noise_pub);
  REQUIRE(client);
  const auto status = client->GetStatus();
  INFO((status ? "" : Words(status.error())));
  REQUIRE(status);
  CHECK(status->last_seq == seq_);
  CHECK(status->receipt_ctr == receipt->receipt_ctr);
  const auto again = client->PutJob(job_);
  INFO((again ? "" : Words(again.error())));
  REQUIRE(again);
  CHECK(again->Encode() == receipt->Encode());
  last_ = *receipt;
}

bool Desk::Releases(std::uint64_t seq) {
  const auto client = OpenAs(login_, statement_.noise_pub);
  REQUIRE(client);
  const SecureBytes pin = SecureBytes::CopyOf(kPin);
  if (!has_pin_) {
    const auto set = client->PinSet(SecureBytes::CopyOf("ACTIVATE-ME"), pin);
    REQUIRE(set);
    REQUIRE(set->accepted());
    has_pin_ = true;
  }
  const auto verified = client->PinVerify(pin);
  REQUIRE(verified);
  REQUIRE(verified->accepted());
  const auto released = client->Release(account_, 0, {});
  INFO((released ? "" : Words(released.error())));
  REQUIRE(released);
  REQUIRE(client->ConfirmLogin(account_, released->seq));
  return released->seq == seq && released->password.view() == Password(seq);
}

}  // namespace keyferry::test
