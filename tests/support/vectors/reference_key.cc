#include "tests/support/vectors/reference_key.h"

#include <algorithm>

namespace keyferry::vectors {

using namespace protocol;  // NOLINT: this file speaks of nothing else

// Steps 3 to 7 of section 2. `type` is set once the body has been read.
Status ReferenceKey::Check(const ParsedJob& job, JobType& type) const {
  const JobHeader& header = job.header;
  if (header.device_id != device_id) return Status::kWrongDevice;
  if (header.account_id != account_id) return Status::kWrongAccount;
  const P256Public& signer = header.type == JobType::kIssuerRotate ? root_pub : issuer_pub;
  if (header.issuer_kid != KidOf(signer)) {
    return header.issuer_kid == revoked_kid ? Status::kIssuerRevoked : Status::kUnknownIssuer;
  }
  if (!job.VerifySignature(signer)) return Status::kBadSignature;
  if (header.seq <= last_seq) return Status::kReplay;
  if (header.base_seq > last_seq || header.seq - last_seq > kSequenceWindow) return Status::kGap;
  if (header.recipient_epoch != epoch && header.recipient_epoch != epoch - 1)
    return Status::kWrongEpoch;
  const auto opened =
      OpenJob(job, header.recipient_epoch == epoch ? recipient : previous_recipient);
  if (!opened) return opened.error();
  type = header.type;
  Reader body(opened->body());
  bool good = true;
  if (type == JobType::kCommit || type == JobType::kDrop) {
    good = pending_job && *pending_job == body.Array<kIdSize>();
  } else if (type == JobType::kHostRevoke) {
    good = body.U32() >= min_host_epoch;
  } else if (type == JobType::kIssuerRotate) {
    const auto cert = IssuerCert::Parse(opened->body());
    good = cert && cert->VerifySignature(root_pub) && cert->issuer_epoch > issuer_epoch;
  }
  return good ? Status::kOk : Status::kBadPlaintext;
}

ReferenceKey::Answer ReferenceKey::PutJob(ByteView raw) const {
  const auto job = ParsedJob::Parse(raw);
  if (!job) return {job.error(), {}};
  const Hash hash = JobHash(raw);
  if (hash == last_job_hash) return {Status::kOk, last_receipt};

  Receipt receipt;
  receipt.device_id = device_id;
  receipt.account_id = account_id;
  receipt.seq = last_seq;
  receipt.prev_seq = last_seq;
  receipt.job_hash = hash;
  receipt.receipt_ctr = receipt_ctr;
  receipt.epoch = epoch;
  receipt.recipient_pub = recipient.pub;
  receipt.previous_hash = ReceiptHash(last_receipt);
  receipt.firmware = firmware;
  receipt.boot = boot;
  bool held = pending_job.has_value();
  bool pin = pin_set;
  JobType type{};
  receipt.result = Check(*job, type);
  if (receipt.result == Status::kOk) {
    receipt.seq = job->header.seq;
    ++receipt.receipt_ctr;
    ++receipt.epoch;
    receipt.recipient_pub = next_recipient.pub;
    if (receipt.seq > receipt.prev_seq + 1) receipt.flags |= kReceiptGap;
    if (type == JobType::kSetPassword) held = (job->header.flags & kFlagHold) != 0;
    if (type == JobType::kCommit || type == JobType::kDrop || type == JobType::kPinUnblock)
      held = false;
    if (type == JobType::kPinUnblock) pin = false;
  }
  if (pin) receipt.flags |= kReceiptPinSet;
  if (held) receipt.flags |= kReceiptHeld;
  return Sign(receipt);
}

ReferenceKey::Answer ReferenceKey::Sign(Receipt receipt) const {
  if (!receipt.Sign(sig_priv)) return {Status::kInternal, {}};
  const Bytes<kReceiptSize> raw = receipt.Encode();
  return {receipt.result, {raw.begin(), raw.end()}};
}

// The order of section 6 for a first frame; no command runs here for longer than its report.
std::optional<FrameError> ReferenceLink::CheckFirst(const HidFrame& frame) const {
  const bool init = frame.command == static_cast<std::uint8_t>(FrameCommand::kInit);
  const bool allocated = std::find(cids_.begin(), cids_.end(), frame.cid) != cids_.end();
  if (!allocated && !(frame.cid == kBroadcastCid && init)) return FrameError::kInvalidChannel;
  if (assembler_.assembling() && frame.cid != owner_) return FrameError::kBusy;
  if (assembler_.assembling() && !init) return FrameError::kInvalidSequence;
  if (!IsHostCommand(frame.command)) return FrameError::kInvalidCommand;
  if (!IsHostLength(frame.command, frame.length)) return FrameError::kInvalidLength;
  return std::nullopt;
}

namespace {

void Send(std::uint32_t cid, FrameCommand command, ByteView data, std::vector<Report>& out) {
  HidSplitter splitter(cid, command, data);
  for (Report report{}; splitter.Next(report);) out.push_back(report);
}

void SendError(std::uint32_t cid, FrameError error, std::vector<Report>& out) {
  const Bytes<1> code{static_cast<std::uint8_t>(error)};
  Send(cid, FrameCommand::kError, code, out);
}

}  // namespace

std::vector<Report> ReferenceLink::Take(const Report& report) {
  std::vector<Report> out;
  const HidFrame frame = HidFrame::Parse(report);
  if (frame.first) {
    if (const auto error = CheckFirst(frame)) {
      // Only a fault of the channel's own message gives the buffer up.
      if (*error == FrameError::kInvalidSequence) assembler_.Reset();
      SendError(frame.cid, *error, out);
      return out;
    }
    owner_ = frame.cid;
    if (assembler_.Begin(frame.command, frame.length, frame.data) == Assembler::Step::kComplete)
      Handle(frame.cid, out);
    return out;
  }
  if (!assembler_.assembling() || frame.cid != owner_) return out;
  switch (assembler_.Continue(frame.sequence, frame.data)) {
    case Assembler::Step::kComplete:
      Handle(frame.cid, out);
      break;
    case Assembler::Step::kBadSequence:
      SendError(frame.cid, FrameError::kInvalidSequence, out);
      break;
    default:
      break;
  }
  return out;
}

void ReferenceLink::Handle(std::uint32_t cid, std::vector<Report>& out) {
  const auto command = static_cast<FrameCommand>(assembler_.command());
  const ByteView message = assembler_.message();
  switch (command) {
    case FrameCommand::kPing:
    case FrameCommand::kWink:
      return Send(cid, command, message, out);
    case FrameCommand::kInit: {
      InitResponse response;
      response.nonce = Reader(message).Array<8>();
      response.cid = cid;
      response.firmware = firmware_;
      return Send(cid, command, response.Encode(), out);
    }
    case FrameCommand::kCancel:
      return;
    case FrameCommand::kMsg:
      return SendError(cid, FrameError::kNoSession, out);
    default:  // HS1 that cannot be a key, HS3 that follows no HS1
      return SendError(cid, FrameError::kHandshake, out);
  }
}

}  // namespace keyferry::vectors
