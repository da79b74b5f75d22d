#include "test_key.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "protocol/attestation.h"
#include "protocol/secure/system_random.h"

namespace keyferry::server::testing {
namespace {

void Must(bool good) {
  if (!good) std::abort();
}

template <std::size_t N>
Blob ToBlob(const std::array<std::uint8_t, N>& bytes) {
  return Blob(bytes.begin(), bytes.end());
}

std::string Text(protocol::ByteView bytes) {
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

}  // namespace

Maker::Maker(const std::string& ca_name) : name(ca_name) {
  protocol::P256Public pub{};
  Must(protocol::P256Generate(OsRandom(), ca, pub));
  ca_pem = protocol::MakeAttestationCa(ca, name, OsRandom()).value();
}

TestKey::TestKey(const Maker& maker, bool is_simulator) : simulator(is_simulator) {
  Must(OsRandom().Fill(device_id));
  Must(protocol::P256Generate(OsRandom(), attestation_key_, attestation_pub_));
  AttestAs(maker, device_id);
}

void TestKey::AttestAs(const Maker& maker, const protocol::Id& id) {
  attestation_ =
      protocol::MakeAttestation(maker.ca, maker.name, id, attestation_pub_, OsRandom()).value();
}

void TestKey::RollRecipient() {
  ++epoch;
  protocol::X25519Private key;
  Must(protocol::X25519Generate(OsRandom(), key, recipient_pub_));
  recipients_[epoch] = key;
  recipients_.erase(epoch - 2);
}

TestKey::Answer TestKey::Begin(const Blob& begin_body) {
  Must(protocol::P256Generate(OsRandom(), sign_key_, sign_pub_));
  Must(protocol::X25519Generate(OsRandom(), noise_key_, noise_pub_));
  recipients_.clear();
  epoch = 0;
  last_seq = 0;
  receipt_ctr = 0;
  previous_ = {};
  last_job_ = {};
  journal_.clear();
  pending.clear();
  RollRecipient();
  issuer_ = protocol::EnrollBegin::Parse(begin_body).value().issuer.issuer_pub;
  protocol::Statement statement;
  statement.device_id = device_id;
  statement.sig_pub = sign_pub_;
  statement.noise_pub = noise_pub_;
  statement.epoch = epoch;
  statement.recipient_pub = recipient_pub_;
  statement.begin_hash = protocol::Sha256Of(begin_body);
  statement.firmware = 0x00010000;
  statement.boot = 1;
  statement.simulator = simulator;
  Must(statement.Sign(sign_key_, attestation_key_));
  statement_ = ToBlob(statement.Encode());
  return {statement_, attestation_};
}

protocol::Receipt TestKey::Draft() const {
  protocol::Receipt receipt;
  receipt.device_id = device_id;
  receipt.account_id = account_id;
  receipt.seq = last_seq;
  receipt.prev_seq = last_seq;
  receipt.receipt_ctr = receipt_ctr;
  receipt.epoch = epoch;
  receipt.recipient_pub = recipient_pub_;
  receipt.previous_hash = previous_;
  receipt.firmware = 0x00010000;
  receipt.boot = 1;
  return receipt;
}

Blob TestKey::Sign(protocol::Receipt receipt) const {
  Must(receipt.Sign(sign_key_));
  return ToBlob(receipt.Encode());
}

Blob TestKey::Assert(protocol::Assertion assertion) const {
  assertion.device_id = device_id;
  assertion.receipt_ctr = receipt_ctr;
  Must(assertion.Sign(sign_key_));
  return ToBlob(assertion.Encode());
}

Blob TestKey::Finish(const Blob& grant_bytes) {
  const auto grant = protocol::EnrolGrant::Parse(grant_bytes).value();
  Must(grant.VerifySignature(issuer_));
  Must(grant.device_id == device_id && grant.statement_hash == protocol::Sha256Of(statement_));
  account_id = grant.account_id;
  receipt_ctr = 1;
  protocol::Receipt receipt = Draft();
  receipt.job_hash = protocol::Sha256Of(grant_bytes);
  last_receipt_ = Sign(receipt);
  previous_ = protocol::ReceiptHash(last_receipt_);
  return last_receipt_;
}

Blob TestKey::Negative(protocol::Status status, const Blob& job) const {
  protocol::Receipt receipt = Draft();
  receipt.result = status;
  receipt.job_hash = protocol::JobHash(job);
  return Sign(receipt);
}

Blob TestKey::Put(const Blob& job) {
  using protocol::Status;
  const auto parsed = protocol::ParsedJob::Parse(job);
  Must(parsed.has_value());
  const protocol::JobHeader& header = parsed->header;
  if (protocol::JobHash(job) == last_job_) return last_receipt_;
  if (header.device_id != device_id) return Negative(Status::kWrongDevice, job);
  if (header.account_id != account_id) return Negative(Status::kWrongAccount, job);
  if (!parsed->VerifySignature(issuer_)) return Negative(Status::kBadSignature, job);
  if (header.seq <= last_seq) return Negative(Status::kReplay, job);
  if (header.base_seq > last_seq) return Negative(Status::kGap, job);
  const auto recipient = recipients_.find(header.recipient_epoch);
  if (recipient == recipients_.end()) return Negative(Status::kWrongEpoch, job);
  const auto opened = protocol::OpenJob(*parsed, recipient->second);
  if (!opened) return Negative(opened.error(), job);
  switch (header.type) {
    case protocol::JobType::kSetPassword: {
      const auto body = protocol::SetPasswordBody::Parse(opened->body());
      if (!body) return Negative(body.error(), job);
      login = Text(body->login);
      if ((header.flags & protocol::kFlagHold) != 0) {
        pending = Text(body->password);
        pending_job_ = header.job_id;
      } else {
        previous = std::exchange(password, Text(body->password));
        pending.clear();
      }
      break;
    }
    case protocol::JobType::kCommit:
    case protocol::JobType::kDrop: {
      const protocol::ByteView named = opened->body();
      if (pending.empty() || !std::equal(named.begin(), named.end(), pending_job_.begin())) {
        return Negative(Status::kBadPlaintext, job);
      }
      if (header.type == protocol::JobType::kCommit) previous = std::exchange(password, pending);
      pending.clear();
      break;
    }
    case protocol::JobType::kWipe:
      password.clear();
      previous.clear();
      pending.clear();
      wiped = true;
      break;
    default:
      return Negative(Status::kBadPlaintext, job);
  }
  protocol::Receipt receipt = Draft();
  receipt.prev_seq = last_seq;
  receipt.seq = last_seq = header.seq;
  if (receipt.seq > receipt.prev_seq + 1) receipt.flags |= protocol::kReceiptGap;
  receipt.receipt_ctr = ++receipt_ctr;
  receipt.job_hash = last_job_ = protocol::JobHash(job);
  if (wiped) {
    receipt.epoch = 0;
    receipt.recipient_pub = {};
    receipt.flags = 0;
  } else {
    RollRecipient();
    receipt.epoch = epoch;
    receipt.recipient_pub = recipient_pub_;
  }
  if (!pending.empty()) receipt.flags |= protocol::kReceiptHeld;
  last_receipt_ = Sign(receipt);
  journal_[last_job_] = last_receipt_;
  previous_ = protocol::ReceiptHash(last_receipt_);
  return last_receipt_;
}

Blob TestKey::PutOrLookUp(const Blob& job) {
  Blob answer = Put(job);
  const auto known = journal_.find(protocol::JobHash(job));
  return known == journal_.end() ? answer : known->second;
}

Blob TestKey::WipeLocally() {
  protocol::Receipt receipt = Draft();
  receipt.result = protocol::Status::kWiped;
  receipt.flags = 0;
  receipt.epoch = 0;
  receipt.recipient_pub = {};
  receipt.receipt_ctr = ++receipt_ctr;
  return Sign(receipt);
}

}  // namespace keyferry::server::testing
