#include "protocol/framing.h"

#include <algorithm>

namespace keyferry::protocol {

bool IsHostCommand(std::uint8_t command) {
  switch (static_cast<FrameCommand>(command)) {
    case FrameCommand::kPing:
    case FrameCommand::kInit:
    case FrameCommand::kWink:
    case FrameCommand::kReset:
    case FrameCommand::kCancel:
    case FrameCommand::kHs1:
    case FrameCommand::kHs3:
    case FrameCommand::kMsg:
    case FrameCommand::kInfo:
      return true;
    default:
      return false;
  }
}

bool IsHostLength(std::uint8_t command, std::size_t length) {
  switch (static_cast<FrameCommand>(command)) {
    case FrameCommand::kInit:
      return length == 8;
    case FrameCommand::kWink:
    case FrameCommand::kReset:
    case FrameCommand::kCancel:
    case FrameCommand::kInfo:
      return length == 0;
    default:
      return length <= kMaxMessage;
  }
}

bool HidSplitter::Next(Report& report) {
  if (started_ && offset_ >= data_.size()) return false;
  Writer out(report);
  out.U32(cid_);
  std::size_t room = kContPayload;
  if (!started_) {
    out.U8(static_cast<std::uint8_t>(0x80 | static_cast<std::uint8_t>(command_)))
        .U16(static_cast<std::uint16_t>(data_.size()));
    room = kInitPayload;
    started_ = true;
  } else {
    out.U8(sequence_++);
  }
  const std::size_t size = std::min(room, data_.size() - offset_);
  out.Put(data_.subspan(offset_, size)).Zero(room - size);
  offset_ += size;
  return true;
}

HidFrame HidFrame::Parse(const Report& report) {
  Reader in(report);
  HidFrame frame;
  frame.cid = in.U32();
  const std::uint8_t type = in.U8();
  frame.first = (type & 0x80) != 0;
  if (frame.first) {
    frame.command = static_cast<std::uint8_t>(type & 0x7F);
    frame.length = in.U16();
  } else {
    frame.sequence = type;
  }
  frame.data = in.Take(in.remaining());
  return frame;
}

Assembler::Step Assembler::Begin(std::uint8_t command, std::size_t length, ByteView data) {
  Reset();
  if (length > kMaxMessage) return Step::kBadLength;
  command_ = command;
  expected_ = length;
  assembling_ = true;
  return Append(data);
}

Assembler::Step Assembler::Continue(std::uint8_t sequence, ByteView data) {
  if (!assembling_ || sequence != sequence_) {
    Reset();
    return Step::kBadSequence;
  }
  ++sequence_;
  return Append(data);
}

Assembler::Step Assembler::Append(ByteView data) {
  const std::size_t size = std::min(data.size(), expected_ - received_);
  if (size != 0) std::memcpy(buffer_.data() + received_, data.data(), size);
  received_ += size;
  if (received_ < expected_) return Step::kMore;
  assembling_ = false;
  return Step::kComplete;
}

void Assembler::Reset() {
  expected_ = 0;
  received_ = 0;
  command_ = 0;
  sequence_ = 0;
  assembling_ = false;
}

std::size_t BleSplitter::Next(MutableBytes out) {
  if (max_fragment_ < kMinFragment || (started_ && offset_ >= data_.size())) return 0;
  Writer writer(out);
  if (!started_) {
    writer.U8(static_cast<std::uint8_t>(0x80 | static_cast<std::uint8_t>(command_)))
        .U16(static_cast<std::uint16_t>(data_.size()));
    started_ = true;
  } else {
    writer.U8(sequence_++);  // 54 fragments of 20 bytes hold the longest message: below 0x80
  }
  const std::size_t size = std::min(max_fragment_ - writer.size(), data_.size() - offset_);
  writer.Put(data_.subspan(offset_, size));
  offset_ += size;
  return writer.ok() ? writer.size() : 0;
}

bool BleFragment::Parse(ByteView raw, BleFragment& out) {
  Reader in(raw);
  const std::uint8_t type = in.U8();
  out.first = (type & 0x80) != 0;
  if (out.first) {
    out.command = static_cast<std::uint8_t>(type & 0x7F);
    out.length = in.U16();
  } else {
    out.sequence = type;
  }
  if (!in.ok()) return false;
  out.data = in.Take(in.remaining());
  return true;
}

Parsed<InitResponse> InitResponse::Parse(ByteView data) {
  Reader in(data);
  InitResponse out;
  out.nonce = in.Array<8>();
  out.cid = in.U32();
  out.proto_min = in.U8();
  out.proto_max = in.U8();
  out.firmware = in.U32();
  if (!in.AtEnd()) return tl::unexpected(Status::kBadFormat);
  return out;
}

Bytes<kInitResponseSize> InitResponse::Encode() const {
  Bytes<kInitResponseSize> out{};
  Writer(out).Put(nonce).U32(cid).U8(proto_min).U8(proto_max).U32(firmware);
  return out;
}

}  // namespace keyferry::protocol
