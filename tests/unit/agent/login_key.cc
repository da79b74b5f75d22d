#include "tests/unit/agent/login_key.h"

#include <algorithm>

#include "protocol/framing.h"
#include "protocol/login_proof.h"
#include "protocol/secure/system_random.h"

namespace keyferry::test {

using protocol::ByteView;
using protocol::FrameCommand;
using protocol::Op;
using protocol::Status;

class LoginKey::Link final : public device::MessageLink {
 public:
  explicit Link(LoginKey& key) : key_(key) {}

  Result<device::Message> Transact(std::uint8_t command, std::span<const std::uint8_t> payload,
                                   const device::Patience&,
                                   const device::KeepaliveHandler& on_keepalive) override {
    if (key_.faults.silent) return Fail(ErrorCode::kDeadline, "No answer.");
    if (key_.faults.unplugged_after == 0) dead_ = true;
    if (key_.faults.unplugged_after > 0) --key_.faults.unplugged_after;
    if (dead_) return Fail(ErrorCode::kUnavailable, "Gone.");
    switch (static_cast<FrameCommand>(command)) {
      case FrameCommand::kInfo: {
        const auto info = key_.info.Encode();
        return device::Message{command, {info.begin(), info.end()}};
      }
      case FrameCommand::kHs1:
        return Hs1(payload);
      case FrameCommand::kHs3:
        return Hs3(payload);
      case FrameCommand::kMsg:
        return Request(payload, on_keepalive);
      default:
        return ErrorFrame(protocol::FrameError::kInvalidCommand);
    }
  }

  Result<void> Post(std::uint8_t command, std::span<const std::uint8_t>) override {
    if (command != static_cast<std::uint8_t>(FrameCommand::kCancel)) {
      return Fail(ErrorCode::kInternal, "not a CANCEL");
    }
    const std::scoped_lock lock(key_.mutex_);
    key_.cancelled_ = true;
    key_.changed_.notify_all();
    return {};
  }

  device::TransportKind Kind() const override { return device::TransportKind::kSocket; }

 private:
  static device::Message ErrorFrame(protocol::FrameError error) {
    return {static_cast<std::uint8_t>(FrameCommand::kError), {static_cast<std::uint8_t>(error)}};
  }

  Result<device::Message> Hs1(ByteView hs1) {
    protocol::X25519Private ephemeral;
    protocol::X25519Public unused{};
    protocol::X25519Generate(OsRandom(), ephemeral, unused);
    handshake_.emplace(key_.noise_key, ephemeral,
                       protocol::HopPrologue(protocol::Transport::kSocket, key_.info.Encode()));
    protocol::Bytes<protocol::kHs2Size> hs2{};
    if (!handshake_->ReadHs1(hs1) || !handshake_->WriteHs2(hs2)) {
      return ErrorFrame(protocol::FrameError::kHandshake);
    }
    return device::Message{static_cast<std::uint8_t>(FrameCommand::kHs2), {hs2.begin(), hs2.end()}};
  }

  Result<device::Message> Hs3(ByteView hs3) {
    protocol::Bytes<protocol::kHostCertSize> bytes{};
    protocol::HopSession session;
    if (!handshake_ || !handshake_->ReadHs3(hs3, bytes, session)) {
      return ErrorFrame(protocol::FrameError::kHandshake);
    }
    const auto certificate = protocol::HostCert::Parse(bytes);
    if (!certificate || certificate->host_noise_pub != handshake_->host_static()) {
      return ErrorFrame(protocol::FrameError::kHandshake);
    }
    const std::scoped_lock lock(key_.mutex_);
    ++key_.handshakes_;
    protocol::KeyStatus now = key_.status;
    now.role = certificate->role;
    protocol::Bytes<protocol::kHs4Size> hs4{};
    session.send.Seal(static_cast<std::uint8_t>(FrameCommand::kHs4), now.Encode(), hs4);
    session_ = session;
    return device::Message{static_cast<std::uint8_t>(FrameCommand::kHs4), {hs4.begin(), hs4.end()}};
  }

  Result<device::Message> Request(ByteView sealed, const device::KeepaliveHandler& on_keepalive) {
    if (!session_ || sealed.size() < 20) return ErrorFrame(protocol::FrameError::kNoSession);
    std::vector<std::uint8_t> request(sealed.size() - protocol::kTagSize);
    if (!session_->receive.Open(static_cast<std::uint8_t>(FrameCommand::kMsg), sealed, request)) {
      session_.reset();
      return ErrorFrame(protocol::FrameError::kDecrypt);
    }
    const auto header = protocol::MessageHeader::Parse(request);
    std::vector<std::uint8_t> body;
    const Status result =
        key_.Serve(static_cast<Op>(header->op), ByteView(request).subspan(4), body, on_keepalive);
    const protocol::MessageHeader head{header->op, static_cast<std::uint8_t>(result),
                                       header->req_id};
    std::vector<std::uint8_t> response(4 + body.size());
    protocol::Writer(response).Put(head.Encode()).Put(body);
    device::Message answer{static_cast<std::uint8_t>(FrameCommand::kMsgResp), {}};
    answer.payload.resize(response.size() + protocol::kTagSize);
    session_->send.Seal(answer.command, response, answer.payload);
    return answer;
  }

  LoginKey& key_;
  std::optional<protocol::NoiseResponder> handshake_;
  std::optional<protocol::HopSession> session_;
  bool dead_ = false;
};

LoginKey::LoginKey(const Organisation& organisation) {
  protocol::P256Public device_public{};
  protocol::P256Generate(OsRandom(), device_key, device_public);
  protocol::X25519Generate(OsRandom(), noise_key, noise_public);
  OsRandom().Fill(info.device_id);
  OsRandom().Fill(account);
  info.state = status.state = protocol::KeyState::kReady;
  info.simulator = true;
  status.tries = 8;
  status.slots = 1;
  status.epoch = 1;

  protocol::Statement statement;
  statement.device_id = info.device_id;
  statement.sig_pub = device_public;
  statement.noise_pub = noise_public;
  statement.simulator = true;
  const auto begin = organisation.Begin();
  statement.begin_hash = protocol::Sha256Of(ByteView(begin));
  statement.Sign(device_key, device_key);
  const auto grant = organisation.Grant(begin, statement.Encode(), account);
  const auto record = organisation.Record(statement.Encode(), grant);
  std::copy(record.begin(), record.end(), record_.begin());
}

std::unique_ptr<device::MessageLink> LoginKey::Open() { return std::make_unique<Link>(*this); }

int LoginKey::Count(Op op) const {
  const std::scoped_lock lock(mutex_);
  return static_cast<int>(std::count(ops_.begin(), ops_.end(), op));
}

int LoginKey::handshakes() const {
  const std::scoped_lock lock(mutex_);
  return handshakes_;
}

bool LoginKey::cancelled() const {
  const std::scoped_lock lock(mutex_);
  return cancelled_;
}

void LoginKey::WaitForTouchWait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return waiting_; });
}

Status LoginKey::WaitForTouch(const device::KeepaliveHandler& on_keepalive) {
  std::unique_lock lock(mutex_);
  waiting_ = true;
  changed_.notify_all();
  if (touch == Touch::kTimeout) return Status::kTouchTimeout;
  do {
    // As a key does while it waits; the handler may post a CANCEL.
    lock.unlock();
    if (on_keepalive) on_keepalive(device::Keepalive::kTouchNeeded);
    lock.lock();
    if (touch == Touch::kAtOnce) return Status::kOk;
    changed_.wait_for(lock, std::chrono::milliseconds(5), [&] { return cancelled_; });
  } while (!cancelled_);
  return Status::kCancelled;
}

Status LoginKey::ComparePin(std::string_view given, std::vector<std::uint8_t>& answer) {
  if (status.tries == 0) {
    answer = {0};
    return Status::kPinLocked;
  }
  if (given == pin) {
    status.tries = 8;
    answer = {8};
    return Status::kOk;
  }
  answer = {--status.tries};
  return status.tries == 0 ? Status::kPinLocked
                           : (status.tries == 5 ? Status::kPinBlocked : Status::kPinWrong);
}

Status LoginKey::Serve(Op op, ByteView body, std::vector<std::uint8_t>& answer,
                       const device::KeepaliveHandler& on_keepalive) {
  const auto text = [](ByteView bytes) {
    return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  };
  {
    const std::scoped_lock lock(mutex_);
    ops_.push_back(op);
  }
  switch (op) {
    case Op::kGetStatus: {
      protocol::KeyStatus now = status;
      now.role = protocol::kRoleLogin;
      const auto bytes = now.Encode();
      answer.assign(bytes.begin(), bytes.end());
      return Status::kOk;
    }
    case Op::kPinVerify: {
      const auto field = protocol::ParsePinField(body);
      return field ? ComparePin(text(*field), answer) : field.error();
    }
    case Op::kPinSet: {
      const auto given = protocol::ParseCodeField(body.first(protocol::kCodeFieldSize));
      const auto field = protocol::ParsePinField(body.subspan(protocol::kCodeFieldSize), 6);
      if (!given || !field) return Status::kBadFormat;
      if (text(*given) != code) {
        answer = {--status.tries};
        return status.tries == 0 ? Status::kPinLocked : Status::kPinWrong;
      }
      pin = text(*field);
      status.state = protocol::KeyState::kReady;
      return Status::kOk;
    }
    case Op::kPinChange: {
      const auto old_pin = protocol::ParsePinField(body.first(protocol::kPinFieldSize));
      const auto new_pin = protocol::ParsePinField(body.subspan(protocol::kPinFieldSize), 6);
      if (!old_pin || !new_pin) return Status::kBadFormat;
      const Status result = ComparePin(text(*old_pin), answer);
      if (result == Status::kOk) pin = text(*new_pin);
      return result;
    }
    case Op::kRelease: {
      if (faults.refuse_release) return *faults.refuse_release;
      const Status touched = WaitForTouch(on_keepalive);
      if (touched != Status::kOk) return touched;
      answer.resize(protocol::kReleaseBodySize);
      const protocol::Released released{seq, protocol::AsBytes(login), protocol::AsBytes(password)};
      released.Encode(answer);
      return Status::kOk;
    }
    case Op::kConfirmLogin: {
      protocol::Reader in(body);
      if (in.Array<16>() != account) return Status::kWrongAccount;
      confirmed = in.U64();
      return Status::kOk;
    }
    case Op::kAssert: {
      const Status touched = WaitForTouch(on_keepalive);
      if (touched != Status::kOk) return touched;
      const auto request = protocol::AssertRequest::Parse(body);
      protocol::Assertion assertion;
      assertion.flags = faults.assertion_flags;
      assertion.device_id = info.device_id;
      assertion.account_id = account;
      assertion.challenge = request->challenge;
      assertion.context_hash = request->context_hash;
      assertion.Sign(device_key);
      if (faults.bad_assertion) assertion.signature[40] ^= 1;
      const auto bytes = assertion.Encode();
      answer.assign(bytes.begin(), bytes.end());
      return Status::kOk;
    }
    default:
      return Status::kBadFormat;
  }
}

Result<daemon::login::Credentials> FakeDaemon::Register(
    const protocol::X25519Public& login_noise_pub, daemon::login::Budget&) {
  if (register_error) return tl::unexpected(*register_error);
  daemon::login::Credentials out;
  out.workstation = {1};
  out.root = root.value_or(organisation_->root);
  if (certified)
    out.login_cert = organisation_->Certify(certify.value_or(login_noise_pub), role, {1});
  if (!certified && challenge) protocol::X25519DerivePublic(*challenge, out.challenge.emplace());
  return out;
}

// As the server checks it.
Result<daemon::login::Credentials> FakeDaemon::Prove(const protocol::X25519Public& login_noise_pub,
                                                     const protocol::X25519Public& answered,
                                                     const protocol::Hash& proof,
                                                     daemon::login::Budget& budget) {
  if (prove_error) return tl::unexpected(*prove_error);
  protocol::X25519Public own{};
  protocol::Hash expected{};
  protocol::X25519DerivePublic(*challenge, own);
  certified =
      answered == own &&
      protocol::LoginProof(*challenge, login_noise_pub, {{1}, login_noise_pub, own}, expected) &&
      expected == proof;
  return Register(login_noise_pub, budget);
}

Result<daemon::login::KeyAtHand> FakeDaemon::OpenRelay(const std::string&, daemon::login::Budget&) {
  if (relay_error) return tl::unexpected(*relay_error);
  if (relays > 0 && on_later_relay) on_later_relay();
  LoginKey& key = relays++ > 0 && plugged_later != nullptr ? *plugged_later : *key_;
  daemon::login::KeyAtHand out;
  out.device = device.value_or(key_->info.device_id);
  if (has_record) out.record = record.value_or(key_->Record());
  out.login = login;
  out.link = key.Open();
  return out;
}

Result<void> FakeDaemon::Used(const daemon::Id&, std::uint64_t seq, daemon::login::Budget&) {
  if (used_error) return tl::unexpected(*used_error);
  used.push_back(seq);
  return {};
}

Result<daemon::login::QuestionAtHand> FakeDaemon::Question(const std::string& asked,
                                                           daemon::login::Budget&) {
  if (questions++ > 0 && on_later_question) on_later_question();
  if (!question || asked != "alice") return Fail(ErrorCode::kNotFound, "Nothing is asked.");
  return *question;
}

Result<void> FakeDaemon::Answer(
    const daemon::Id& request,
    const std::optional<protocol::Bytes<protocol::kAssertionSize>>& proof, daemon::login::Budget&) {
  if (answer_error) return tl::unexpected(*answer_error);
  if (question && request == question->request) answers.push_back(proof);
  return {};
}

}  // namespace keyferry::test
