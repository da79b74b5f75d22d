#include "protocol/receipt.h"

namespace keyferry::protocol {
namespace {
constexpr Bytes<4> kReceiptMagic{'K', 'F', 'R', '1'};
Hash SignedHash(ByteView body) { return Sha256Of(Label("keyferry/receipt/v1"), body); }
}  // namespace

Parsed<Receipt> Receipt::Parse(ByteView data) {
  Reader in(data);
  Receipt out;
  const Bytes<4> magic = in.Array<4>();
  const std::uint8_t version = in.U8();
  const std::uint8_t result = in.U8();
  out.flags = in.U16();
  out.device_id = in.Array<kIdSize>();
  out.account_id = in.Array<kIdSize>();
  out.seq = in.U64();
  out.prev_seq = in.U64();
  out.job_hash = in.Array<kHashSize>();
  out.receipt_ctr = in.U64();
  out.epoch = in.U32();
  out.recipient_pub = in.Array<kX25519Size>();
  out.previous_hash = in.Array<kHashSize>();
  out.firmware = in.U32();
  out.boot = in.U32();
  out.signature = in.Array<kSignatureSize>();
  if (!in.AtEnd() || magic != kReceiptMagic) return tl::unexpected(Status::kBadFormat);
  if (version != 1) return tl::unexpected(Status::kUnsupportedVersion);
  if (!IsKnownStatus(result) || out.flags > 7) return tl::unexpected(Status::kBadFormat);
  out.result = static_cast<Status>(result);
  return out;
}

Bytes<kReceiptBodySize> Receipt::EncodeBody() const {
  Bytes<kReceiptBodySize> out{};
  Writer(out)
      .Put(kReceiptMagic)
      .U8(1)
      .U8(static_cast<std::uint8_t>(result))
      .U16(flags)
      .Put(device_id)
      .Put(account_id)
      .U64(seq)
      .U64(prev_seq)
      .Put(job_hash)
      .U64(receipt_ctr)
      .U32(epoch)
      .Put(recipient_pub)
      .Put(previous_hash)
      .U32(firmware)
      .U32(boot);
  return out;
}

Bytes<kReceiptSize> Receipt::Encode() const {
  Bytes<kReceiptSize> out{};
  Writer(out).Put(EncodeBody()).Put(signature);
  return out;
}

bool Receipt::Sign(const P256Private& device_key) {
  return P256SignHash(device_key, SignedHash(EncodeBody()), signature);
}

bool Receipt::VerifySignature(const P256Verifier& device_pub) const {
  return device_pub.Verify(SignedHash(EncodeBody()), signature);
}

Hash ReceiptHash(ByteView receipt) { return Sha256Of(receipt); }

}  // namespace keyferry::protocol
