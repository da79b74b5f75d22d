#include "protocol/messages.h"

namespace keyferry::protocol {

Parsed<Info> Info::Parse(ByteView data) {
  Reader in(data);
  Info info;
  const Bytes<4> magic = in.Array<4>();
  info.proto_min = in.U8();
  info.proto_max = in.U8();
  const std::uint8_t state = in.U8();
  const std::uint8_t flags = in.U8();
  info.device_id = in.Array<kIdSize>();
  info.firmware = in.U32();
  info.suites = in.U32();
  info.max_message = in.U16();
  in.Zero(2);
  info.attestation_hash = in.Array<20>();
  if (!in.AtEnd() || magic != Bytes<4>{'K', 'F', 'I', '1'} ||
      state > static_cast<std::uint8_t>(KeyState::kTampered) || flags > 1) {
    return tl::unexpected(Status::kBadFormat);
  }
  info.state = static_cast<KeyState>(state);
  info.simulator = flags == 1;
  return info;
}

Bytes<kInfoSize> Info::Encode() const {
  Bytes<kInfoSize> out{};
  Writer(out)
      .Put(Bytes<4>{'K', 'F', 'I', '1'})
      .U8(proto_min)
      .U8(proto_max)
      .U8(static_cast<std::uint8_t>(state))
      .U8(simulator ? 1 : 0)
      .Put(device_id)
      .U32(firmware)
      .U32(suites)
      .U16(max_message)
      .Zero(2)
      .Put(attestation_hash);
  return out;
}

Parsed<MessageHeader> MessageHeader::Parse(ByteView data) {
  Reader in(data);
  MessageHeader header;
  header.op = in.U8();
  header.status = in.U8();
  header.req_id = in.U16();
  if (!in.ok()) return tl::unexpected(Status::kBadFormat);
  return header;
}

Bytes<kRequestHeaderSize> MessageHeader::Encode() const {
  Bytes<kRequestHeaderSize> out{};
  Writer(out).U8(op).U8(status).U16(req_id);
  return out;
}

Parsed<KeyStatus> KeyStatus::Parse(ByteView data) {
  Reader in(data);
  KeyStatus status;
  status.role = in.U8();
  const std::uint8_t state = in.U8();
  status.tries = in.U8();
  status.slots = in.U8();
  status.epoch = in.U32();
  status.last_seq = in.U64();
  status.receipt_ctr = in.U64();
  status.recipient_pub = in.Array<kX25519Size>();
  status.boot = in.U32();
  status.firmware = in.U32();
  if (!in.AtEnd() || state > static_cast<std::uint8_t>(KeyState::kTampered) || status.slots > 7 ||
      status.role > 7) {
    return tl::unexpected(Status::kBadFormat);
  }
  status.state = static_cast<KeyState>(state);
  return status;
}

Bytes<kKeyStatusSize> KeyStatus::Encode() const {
  Bytes<kKeyStatusSize> out{};
  Writer(out)
      .U8(role)
      .U8(static_cast<std::uint8_t>(state))
      .U8(tries)
      .U8(slots)
      .U32(epoch)
      .U64(last_seq)
      .U64(receipt_ctr)
      .Put(recipient_pub)
      .U32(boot)
      .U32(firmware);
  return out;
}

namespace {

Parsed<ByteView> ParseField(ByteView field, std::size_t size, std::size_t minimum,
                            std::size_t maximum) {
  if (field.size() != size) return tl::unexpected(Status::kBadFormat);
  const std::size_t length = field[0];
  if (length < minimum || length > maximum || !IsAllZero(field.subspan(1 + length)))
    return tl::unexpected(Status::kBadFormat);
  return field.subspan(1, length);
}

}  // namespace

Parsed<ByteView> ParsePinField(ByteView field, std::size_t minimum) {
  return ParseField(field, kPinFieldSize, minimum, kMaxPin);
}

Parsed<ByteView> ParseCodeField(ByteView field) {
  const Parsed<ByteView> code = ParseField(field, kCodeFieldSize, kMinCode, kMaxCode);
  if (!code) return code;
  for (const std::uint8_t byte : *code) {
    if (byte < 0x21 || byte > 0x7E) return tl::unexpected(Status::kBadFormat);
  }
  return code;
}

bool EncodeField(ByteView value, MutableBytes field) {
  if (value.size() + 1 > field.size() || value.size() > 0xFF) return false;
  return Writer(field)
      .U8(static_cast<std::uint8_t>(value.size()))
      .Put(value)
      .Zero(field.size() - 1 - value.size())
      .ok();
}

Parsed<Released> Released::Parse(ByteView body) {
  Reader in(body);
  Released out;
  out.seq = in.U64();
  const std::size_t login = in.U8();
  const std::size_t password = in.U16();
  out.login = in.Take(login);
  out.password = in.Take(password);
  in.Zero(in.remaining());
  if (!in.ok() || body.size() != kReleaseBodySize || login < 1 || login > kMaxLogin ||
      password < 1 || password > kMaxPassword) {
    return tl::unexpected(Status::kBadFormat);
  }
  return out;
}

bool Released::Encode(MutableBytes body) const {
  if (body.size() != kReleaseBodySize || login.size() > kMaxLogin || password.size() > kMaxPassword)
    return false;
  Writer out(body);
  out.U64(seq)
      .U8(static_cast<std::uint8_t>(login.size()))
      .U16(static_cast<std::uint16_t>(password.size()))
      .Put(login)
      .Put(password);
  return out.Zero(body.size() - out.size()).ok();
}

Parsed<AssertRequest> AssertRequest::Parse(ByteView body) {
  Reader in(body);
  AssertRequest out;
  out.challenge = in.Array<32>();
  out.context_hash = in.Array<32>();
  out.want = in.U8();
  if (!in.AtEnd() || out.want > 3) return tl::unexpected(Status::kBadFormat);
  return out;
}

Bytes<65> AssertRequest::Encode() const {
  Bytes<65> out{};
  Writer(out).Put(challenge).Put(context_hash).U8(want);
  return out;
}

}  // namespace keyferry::protocol
