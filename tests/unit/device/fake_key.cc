#include "tests/unit/device/fake_key.h"

#include <algorithm>
#include <array>

#include "protocol/job.h"
#include "protocol/secure/system_random.h"

namespace keyferry::test {

using protocol::ByteView;
using protocol::FrameCommand;
using protocol::FrameError;
using protocol::Op;
using protocol::Report;
using protocol::Status;

class FakeKey::Port final : public device::Transport {
 public:
  explicit Port(FakeKey& key) : key_(key) {}
  ~Port() override {
    const std::scoped_lock lock(key_.mutex_);
    std::erase(key_.ports_, this);
  }

  Result<void> Write(std::span<const std::uint8_t> bytes, device::Deadline) override {
    const std::scoped_lock lock(key_.mutex_);
    if (key_.unplugged_ || cancelled_) return Fail(ErrorCode::kUnavailable, "gone");
    Report report{};
    std::copy(bytes.begin(), bytes.end(), report.begin());
    for (const Report& answer : key_.OnReport(report)) reports_.push_back(answer);
    changed_.notify_all();
    return {};
  }

  Result<std::size_t> Read(std::span<std::uint8_t> buffer, device::Deadline deadline) override {
    std::unique_lock lock(key_.mutex_);
    changed_.wait_until(lock, deadline,
                        [&] { return cancelled_ || key_.unplugged_ || !reports_.empty(); });
    if (key_.unplugged_ || cancelled_) return Fail(ErrorCode::kUnavailable, "gone");
    if (reports_.empty()) return Fail(ErrorCode::kDeadline, "late");
    std::copy(reports_.front().begin(), reports_.front().end(), buffer.begin());
    reports_.pop_front();
    return protocol::kReportSize;
  }

  void Cancel() override {
    const std::scoped_lock lock(key_.mutex_);
    cancelled_ = true;
    changed_.notify_all();
  }

  device::TransportInfo Describe() const override {
    return {static_cast<device::TransportKind>(key_.transport), "fake", protocol::kReportSize};
  }

  FakeKey& key_;
  std::condition_variable changed_;
  std::deque<Report> reports_;
  bool cancelled_ = false;
};

FakeKey::FakeKey() {
  protocol::P256Generate(OsRandom(), device_key, device_public);
  protocol::X25519Generate(OsRandom(), noise_key, noise_public);
  OsRandom().Fill(info.device_id);
  OsRandom().Fill(account_id);
  info.state = protocol::KeyState::kReady;
  info.simulator = true;
  info.firmware = 0x01000000;
  status.state = info.state;
  status.epoch = 1;
  status.boot = 1;
  status.firmware = info.firmware;
}

std::unique_ptr<device::Transport> FakeKey::Connect() {
  const std::scoped_lock lock(mutex_);
  auto port = std::make_unique<Port>(*this);
  ports_.push_back(port.get());
  return port;
}

void FakeKey::Unplug() {
  const std::scoped_lock lock(mutex_);
  unplugged_ = true;
  channels_.clear();
  for (Port* port : ports_) port->changed_.notify_all();
}

void FakeKey::PlugIn() {
  const std::scoped_lock lock(mutex_);
  unplugged_ = false;
}

void FakeKey::Spill(const Report& report) {
  const std::scoped_lock lock(mutex_);
  for (Port* port : ports_) {
    port->reports_.push_back(report);
    port->changed_.notify_all();
  }
}

void FakeKey::Reply(Reports& out, std::uint32_t cid, FrameCommand command, ByteView payload) {
  if (faults.other_cid_first) {
    Report stranger{};
    stranger.fill(0xEE);
    out.push_back(stranger);
  }
  protocol::HidSplitter splitter(cid, command, payload);
  Report report{};
  while (splitter.Next(report)) out.push_back(report);
}

void FakeKey::Error(Reports& out, std::uint32_t cid, FrameError error) {
  const std::uint8_t code[] = {static_cast<std::uint8_t>(error)};
  Reply(out, cid, FrameCommand::kError, code);
}

FakeKey::Reports FakeKey::OnReport(const Report& report) {
  Reports out;
  const auto frame = protocol::HidFrame::Parse(report);
  if (frame.first && frame.command == static_cast<std::uint8_t>(FrameCommand::kInit)) {
    protocol::InitResponse answer;
    std::copy_n(frame.data.begin(), answer.nonce.size(), answer.nonce.begin());
    answer.cid = frame.cid == protocol::kBroadcastCid ? next_cid_++ : frame.cid;
    if (frame.cid != protocol::kBroadcastCid && channels_.count(frame.cid) == 0) {
      Error(out, frame.cid, FrameError::kInvalidChannel);
      return out;
    }
    channels_[answer.cid] = {};
    Reply(out, frame.cid, FrameCommand::kInit, answer.Encode());
    return out;
  }
  const auto channel = channels_.find(frame.cid);
  if (channel == channels_.end()) {
    Error(out, frame.cid, FrameError::kInvalidChannel);
    return out;
  }
  auto& assembler = channel->second.assembler;
  const auto step = frame.first ? assembler.Begin(frame.command, frame.length, frame.data)
                                : assembler.Continue(frame.sequence, frame.data);
  if (step == protocol::Assembler::Step::kComplete) {
    const std::vector<std::uint8_t> message(assembler.message().begin(), assembler.message().end());
    const auto command = static_cast<FrameCommand>(assembler.command());
    assembler.Reset();
    OnMessage(out, frame.cid, command, message);
  }
  return out;
}

void FakeKey::OnMessage(Reports& out, std::uint32_t cid, FrameCommand command, ByteView payload) {
  if (command == FrameCommand::kCancel) {
    ++cancels;
    return;
  }
  ++messages;
  if (faults.never_answer || faults.never_answer_times > 0) {
    --faults.never_answer_times;
    return;
  }
  if (faults.error) return Error(out, cid, *faults.error);
  if (faults.keepalive_for_ever || faults.touch_for_ever) {
    const std::uint8_t state[] = {faults.touch_for_ever ? protocol::kKeepaliveTouch
                                                        : protocol::kKeepaliveProcessing};
    for (int i = 0; i < 50; ++i) Reply(out, cid, FrameCommand::kKeepalive, state);
    return;
  }
  if (faults.raw) {
    for (std::size_t at = 0; at < faults.raw->size(); at += 60) {
      Report report{};
      protocol::Writer(report).U32(cid);
      std::copy_n(faults.raw->begin() + static_cast<std::ptrdiff_t>(at),
                  std::min<std::size_t>(60, faults.raw->size() - at), report.begin() + 4);
      out.push_back(report);
    }
    return;
  }
  switch (command) {
    case FrameCommand::kInfo:
      return Reply(out, cid, FrameCommand::kInfo, info.Encode());
    case FrameCommand::kWink:
      return Reply(out, cid, FrameCommand::kWink, {});
    case FrameCommand::kHs1:
    case FrameCommand::kHs3:
      return OnHandshake(out, cid, command, payload);
    case FrameCommand::kMsg:
      return OnRequest(out, cid, payload);
    default:
      return Error(out, cid, FrameError::kInvalidCommand);
  }
}

void FakeKey::OnHandshake(Reports& out, std::uint32_t cid, FrameCommand command, ByteView payload) {
  Channel& channel = channels_[cid];
  if (command == FrameCommand::kHs1) {
    protocol::X25519Private ephemeral;
    protocol::X25519Public unused{};
    protocol::X25519Generate(OsRandom(), ephemeral, unused);
    channel.session.reset();
    channel.handshake.emplace(noise_key, ephemeral,
                              protocol::HopPrologue(transport, info.Encode()));
    protocol::Bytes<protocol::kHs2Size> hs2{};
    if (!channel.handshake->ReadHs1(payload) || !channel.handshake->WriteHs2(hs2)) {
      return Error(out, cid, FrameError::kHandshake);
    }
    return Reply(out, cid, FrameCommand::kHs2, hs2);
  }
  protocol::Bytes<protocol::kHostCertSize> certificate{};
  protocol::HopSession session;
  if (!channel.handshake || !channel.handshake->ReadHs3(payload, certificate, session)) {
    return Error(out, cid, FrameError::kHandshake);
  }
  ++handshakes;
  channel.handshake.reset();
  protocol::KeyStatus now = status;
  now.role = certificate[1];
  protocol::Bytes<protocol::kHs4Size> hs4{};
  session.send.Seal(static_cast<std::uint8_t>(FrameCommand::kHs4), now.Encode(), hs4);
  channel.session = session;
  Reply(out, cid, FrameCommand::kHs4, hs4);
}

void FakeKey::OnRequest(Reports& out, std::uint32_t cid, ByteView payload) {
  Channel& channel = channels_[cid];
  if (faults.drop_session_times > 0) {
    --faults.drop_session_times;
    channel.session.reset();
  }
  if (!channel.session) return Error(out, cid, FrameError::kNoSession);
  std::vector<std::uint8_t> request(payload.size() < 20 ? 0 : payload.size() - 16);
  if (request.empty() || !channel.session->receive.Open(
                             static_cast<std::uint8_t>(FrameCommand::kMsg), payload, request)) {
    channel.session.reset();
    return Error(out, cid, FrameError::kDecrypt);
  }
  const std::uint8_t touch[] = {protocol::kKeepaliveTouch};
  for (int i = 0; i < faults.touch_keepalives; ++i) {
    Reply(out, cid, FrameCommand::kKeepalive, touch);
  }
  const auto header = protocol::MessageHeader::Parse(request);
  std::vector<std::uint8_t> answer;
  const Status result =
      faults.refuse ? *faults.refuse
                    : Serve(static_cast<Op>(header->op), ByteView(request).subspan(4), answer);
  const protocol::MessageHeader head{
      header->op, static_cast<std::uint8_t>(result),
      static_cast<std::uint16_t>(header->req_id + (faults.wrong_req_id ? 1 : 0))};
  std::vector<std::uint8_t> response(4 + answer.size());
  protocol::Writer(response).Put(head.Encode()).Put(answer);
  std::vector<std::uint8_t> sealed(response.size() + 16);
  channel.session->send.Seal(static_cast<std::uint8_t>(FrameCommand::kMsgResp), response, sealed);
  if (faults.swallow_receipt_once && header->op == static_cast<std::uint8_t>(Op::kPutJob)) {
    faults.swallow_receipt_once = false;
    return;
  }
  Reply(out, cid, FrameCommand::kMsgResp, sealed);
}

protocol::Receipt FakeKey::MakeReceipt(Status result, const protocol::Hash& job_hash) {
  protocol::Receipt receipt;
  receipt.result = result;
  receipt.device_id = info.device_id;
  receipt.account_id = account_id;
  receipt.seq = receipt.prev_seq = status.last_seq;
  receipt.job_hash = job_hash;
  if (faults.wrong_receipt) receipt.job_hash[0] ^= 1;
  receipt.receipt_ctr = status.receipt_ctr;
  receipt.epoch = status.epoch;
  receipt.firmware = info.firmware;
  receipt.boot = 1;
  return receipt;
}

Status FakeKey::PutJob(ByteView job, std::vector<std::uint8_t>& answer) {
  const auto give = [&](const protocol::Bytes<protocol::kReceiptSize>& receipt) {
    answer.assign(receipt.begin(), receipt.end());
  };
  if (!stored.empty() &&
      std::equal(job.begin(), job.end(), stored.back().begin(), stored.back().end())) {
    give(journal.back());
    return Status::kOk;
  }
  const auto parsed = protocol::ParsedJob::Parse(job);
  if (!parsed) return parsed.error();
  const protocol::Hash hash = protocol::JobHash(job);
  const bool replay = parsed->header.seq <= status.last_seq;
  protocol::Receipt receipt = MakeReceipt(replay ? Status::kReplay : Status::kOk, hash);
  if (!replay) {
    receipt.seq = status.last_seq = parsed->header.seq;
    receipt.receipt_ctr = ++status.receipt_ctr;
    receipt.epoch = ++status.epoch;
    if (!journal.empty()) receipt.previous_hash = protocol::ReceiptHash(journal.back());
  }
  receipt.Sign(device_key);
  if (faults.forged_receipt) receipt.signature[5] ^= 1;
  if (!replay) {
    stored.emplace_back(job.begin(), job.end());
    journal.push_back(receipt.Encode());
  }
  give(receipt.Encode());
  return receipt.result;
}

Status FakeKey::Serve(Op op, ByteView body, std::vector<std::uint8_t>& answer) {
  switch (op) {
    case Op::kGetStatus: {
      const auto bytes = status.Encode();
      answer.assign(bytes.begin(), bytes.end());
      return Status::kOk;
    }
    case Op::kGetAttestation:
      answer.assign(300, 0x30);
      return Status::kOk;
    case Op::kPutJob:
      return PutJob(body, answer);
    case Op::kGetReceipt: {
      const std::uint64_t ctr = protocol::Reader(body).U64();
      const std::uint64_t wanted = ctr == 0 ? journal.size() : ctr;
      if (wanted == 0 || wanted > journal.size()) return Status::kNoPassword;
      answer.assign(journal[wanted - 1].begin(), journal[wanted - 1].end());
      return Status::kOk;
    }
    case Op::kEnrollBegin: {
      if (info.state != protocol::KeyState::kProvisioned) return Status::kAlreadyEnrolled;
      protocol::Statement statement;
      statement.device_id = info.device_id;
      statement.sig_pub = device_public;
      statement.noise_pub = noise_public;
      statement.begin_hash = protocol::Sha256Of(body);
      statement.simulator = true;
      statement.Sign(device_key, device_key);
      const auto bytes = statement.Encode();
      answer.assign(bytes.begin(), bytes.end());
      return Status::kOk;
    }
    case Op::kEnrollFinish: {
      const auto grant = protocol::EnrolGrant::Parse(body);
      if (!grant) return grant.error();
      account_id = grant->account_id;
      status.state = info.state = protocol::KeyState::kEnrolledNoPin;
      protocol::Receipt receipt = MakeReceipt(Status::kOk, protocol::Sha256Of(body));
      receipt.receipt_ctr = status.receipt_ctr = 1;
      receipt.Sign(device_key);
      journal.push_back(receipt.Encode());
      answer.assign(journal.back().begin(), journal.back().end());
      return Status::kOk;
    }
    case Op::kPinVerify: {
      const auto pin = protocol::ParsePinField(body);
      if (!pin) return pin.error();
      const bool right =
          std::string_view(reinterpret_cast<const char*>(pin->data()), pin->size()) == "123456";
      answer.push_back(right ? 8 : 7);
      return right ? Status::kOk : Status::kPinWrong;
    }
    case Op::kRelease: {
      answer.resize(protocol::kReleaseBodySize);
      const protocol::Released released{status.last_seq, protocol::AsBytes("alice"),
                                        protocol::AsBytes("the password")};
      released.Encode(answer);
      return Status::kOk;
    }
    default:
      return Status::kBadFormat;
  }
}

}  // namespace keyferry::test
