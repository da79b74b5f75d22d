#include "tests/vm/desk.h"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <map>

#include "client-daemon/core/encoding.h"
#include "firmware-sim/endpoint/control_client.h"
#include "tests/support/paced_link.h"
#include "tests/vm/waiting.h"

namespace keyferry::test {

namespace {

constexpr char kPin[] = "246813";
constexpr int kAttempts = 8;
constexpr std::size_t kMaxNotes = 12;
// Between one key's arrival and the next, when ours has not been among them.
constexpr std::chrono::seconds kNextArrival{6};

std::string Words(const Error& error) { return error.message + " / " + error.detail; }

}  // namespace

Desk::Desk(const Road& road)
    : road_(road),
      host_(organisation_.Host(protocol::kRoleDeliver)),
      login_(organisation_.Host(protocol::kRoleLogin, {2})) {
  const Waiting step("the key plugged in");
  presence_ = std::make_unique<Presence>(Must("watching for keys", road.watch()));
  std::vector<std::string> arguments{KEYFERRY_BIN "/keyferry-sim",
                                     "--state",
                                     dir_ / "flash",
                                     "--control",
                                     dir_ / "control",
                                     "--touch",
                                     "auto"};
  arguments.insert(arguments.end(), road.plug.begin(), road.plug.end());
  key_ = std::make_unique<Process>(arguments);
  if (!key_->WaitForLine("ready")) GiveUp("keyferry-sim ended instead of being ready");
  const std::string start = "\"device_id\":\"";
  device_id_ = key_->output().substr(key_->output().find(start) + start.size(), 32);
  if (road.introduce) Must("the introduction", road.introduce());
  Enrol();
}

Desk& Desk::On(const Road& road) {
  static std::map<const Road*, std::unique_ptr<Desk>> desks;
  auto& desk = desks[&road];
  if (!desk) desk = std::make_unique<Desk>(road);
  return *desk;
}

bool Desk::Note(const std::string& what, const Error& error) {
  notes_.push_back(what + ": " + Words(error));
  if (notes_.size() > kMaxNotes) notes_.pop_front();
  return false;
}

void Desk::GiveUp(const std::string& what) const {
  std::string words = std::string(road_.name) + ": " + what + "; before that: ";
  for (const std::string& note : notes_) words += note + " | ";
  const auto places = presence_ ? presence_->places() : std::vector<device::KeyPlace>();
  words += std::to_string(places.size()) + " keys there:";
  for (const device::KeyPlace& place : places) words += " " + place.path;
  FAIL(words);
  std::abort();  // FAIL has thrown
}

std::string Desk::Control(const std::string& command) {
  const Waiting step("keyferry-sim to obey \"" + command + "\"");
  const std::string answer =
      Must("control: " + command, sim::SendControl(dir_ / "control", command));
  if (answer.rfind(R"({"ok":true)", 0) != 0) GiveUp("control: " + command + ": " + answer);
  return answer;
}

bool Desk::Plugged() { return Control("status").find("\"plugged\":true") != std::string::npos; }

std::unique_ptr<device::KeyClient> Desk::Connect(int divisor) {
  const Waiting step("the key to answer");
  if (!presence_->Wait()) {
    if (!Plugged()) GiveUp("the key is not plugged in");
    Note("connect", {ErrorCode::kUnavailable, "No key is there.", {}, 0});
    return nullptr;
  }
  for (const device::KeyPlace& place : presence_->places()) {
    if (auto client = ConnectAt(place, divisor)) return client;
  }
  return nullptr;
}

std::unique_ptr<device::KeyClient> Desk::ConnectAt(const device::KeyPlace& place, int divisor) {
  const Waiting step(place.path);
  const double pace = road_.pace / divisor;
  auto port = road_.open(place, {});
  if (!port) {
    Note("open", port.error());
    return nullptr;
  }
  auto link = (*port)->OpenLink(Paced({}, pace));
  if (!link) {
    Note("INIT to " + place.path, link.error());
    return nullptr;
  }
  auto client =
      std::make_unique<device::KeyClient>(std::make_unique<PacedLink>(*std::move(link), pace));
  const auto info = client->ReadInfo();
  if (!info) {
    Note("INFO of " + place.path, info.error());
    return nullptr;
  }
  return daemon::Hex(info->device_id) == device_id_ ? std::move(client) : nullptr;
}

std::unique_ptr<device::KeyClient> Desk::OpenAs(
    const device::HostIdentity& host, const std::optional<protocol::X25519Public>& expected) {
  const Waiting step("a session");
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    auto client = Connect();
    if (!client) continue;
    const auto opened = client->Handshake(host, expected);
    if (opened) return client;
    Note("handshake", opened.error());
  }
  GiveUp("no session in " + std::to_string(kAttempts) + " attempts");
}

void Desk::Enrol() {
  const Waiting step("enrolment");
  // Others may have come before ours; one that answers too late is asked again.
  for (int tries = 0, arrivals = 0; !Connect(); ++tries) {
    if (tries == kAttempts) GiveUp("the new key never came");
    (void)presence_->Wait(arrivals, kNextArrival);
    arrivals = presence_->arrivals();
  }
  for (int tries = 0; !TryEnrol(); ++tries) {
    if (tries == kAttempts) GiveUp("the key cannot be enrolled");
  }
  if (!last_.VerifySignature(statement_.sig_pub)) GiveUp("the enrolment's receipt is forged");
}

// As keyferryd does it: a key that says that it is enrolled already may be so by the try before,
// the answer to which was lost, and has its receipt.
bool Desk::TryEnrol() {
  const auto client = OpenAs(organisation_.Host(protocol::kRoleEnroll), std::nullopt);
  if (client->info()->state != protocol::KeyState::kProvisioned) {
    const auto receipt = client->GetReceipt(1);
    if (!receipt) return Note("GET_RECEIPT", receipt.error());
    if (receipt->job_hash != grant_hash_) GiveUp("the key is enrolled by somebody else");
    last_ = *receipt;
    return true;
  }
  const auto begin = organisation_.Begin();
  const auto bytes = client->EnrollBegin(begin);
  if (!bytes) return Note("ENROLL_BEGIN", bytes.error());
  statement_ = *protocol::Statement::Parse(*bytes);
  const auto grant = organisation_.Grant(begin, *bytes, account_).Encode();
  grant_hash_ = protocol::Sha256Of(grant);
  const auto receipt = client->EnrollFinish(grant);
  if (!receipt) return Note("ENROLL_FINISH", receipt.error());
  last_ = *receipt;
  return true;
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
  const Waiting step("the handshake");
  const auto opened = client.Handshake(host_, statement_.noise_pub);
  return opened ? true : Note("handshake", opened.error());
}

std::optional<protocol::Receipt> Desk::Deliver(int divisor) {
  const Waiting step("delivery of job " + std::to_string(seq_));
  delivered_by_.reset();
  std::unique_ptr<device::KeyClient> client;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const int arrivals = presence_->arrivals();
    if (!client) client = Connect(divisor);
    if (client && Open(*client)) {
      const Waiting put("PUT_JOB");
      const auto receipt = client->PutJob(job_);
      if (receipt) {
        delivered_by_ = std::move(client);
        return *receipt;
      }
      Note("PUT_JOB", receipt.error());
    }
    if (Plugged()) continue;
    ++pulls_;
    client.reset();
    Control("plug");
    const Waiting back("the key to come back");
    if (!presence_->Wait(arrivals)) {
      Note("plug", {ErrorCode::kUnavailable, "The key did not come back.", {}, 0});
      return std::nullopt;
    }
  }
  return std::nullopt;
}

void Desk::CheckOnce(const std::optional<protocol::Receipt>& receipt) {
  const Waiting step("the check of job " + std::to_string(seq_));
  if (!receipt) GiveUp("job " + std::to_string(seq_) + " was not delivered");
  CHECK(receipt->positive());
  CHECK(receipt->VerifySignature(statement_.sig_pub));
  CHECK(receipt->job_hash == protocol::JobHash(job_));
  CHECK(receipt->seq == seq_);
  CHECK(receipt->receipt_ctr == last_.receipt_ctr + 1);
  CHECK(receipt->previous_hash == protocol::ReceiptHash(last_.Encode()));
  const auto client =
      delivered_by_ ? std::move(delivered_by_) : OpenAs(host_, statement_.noise_pub);
  const auto status = Must("GET_STATUS", client->GetStatus());
  CHECK(status.last_seq == seq_);
  CHECK(status.receipt_ctr == receipt->receipt_ctr);
  const auto again = Must("PUT_JOB again", client->PutJob(job_));
  CHECK(again.Encode() == receipt->Encode());
  last_ = *receipt;
}

bool Desk::Releases(std::uint64_t seq) {
  const Waiting step("the release of job " + std::to_string(seq));
  const auto client = OpenAs(login_, statement_.noise_pub);
  const SecureBytes pin = SecureBytes::CopyOf(kPin);
  if (!has_pin_) {
    CHECK(Must("PIN_SET", client->PinSet(SecureBytes::CopyOf("ACTIVATE-ME"), pin)).accepted());
    has_pin_ = true;
  }
  CHECK(Must("PIN_VERIFY", client->PinVerify(pin)).accepted());
  const auto released = Must("RELEASE", client->Release(account_, 0, {}));
  Must("CONFIRM_LOGIN", client->ConfirmLogin(account_, released.seq));
  return released.seq == seq && released.password.view() == Password(seq);
}

}  // namespace keyferry::test
