#include "protocol/job.h"

#include "protocol/certs.h"
#include "protocol/hpke.h"

namespace keyferry::protocol {
namespace {

constexpr Bytes<4> kJobMagic{'K', 'F', 'J', '1'};
constexpr std::size_t kBuckets[] = {128, 256, 512};

std::size_t BucketFor(std::size_t body) {
  for (const std::size_t bucket : kBuckets) {
    if (body + 2 <= bucket) return bucket;
  }
  return 0;
}

bool FlagsFit(JobType type, std::uint8_t flags) {
  switch (type) {
    case JobType::kSetPassword:
      return flags == 0 || flags == kFlagHold || flags == kFlagDropPrevious;
    case JobType::kCommit:
      return flags == 0 || flags == kFlagDropPrevious;
    default:
      return flags == 0;
  }
}

Hash SignedHash(ByteView header, ByteView enc, ByteView ct) {
  return Sha256Of(Label("keyferry/job-sig/v1"), header, enc, ct);
}

}  // namespace

Bytes<kJobHeaderSize> JobHeader::Encode() const {
  Bytes<kJobHeaderSize> out{};
  Writer(out)
      .Put(kJobMagic)
      .U8(1)
      .U8(1)
      .U8(static_cast<std::uint8_t>(type))
      .U8(flags)
      .Put(device_id)
      .Put(account_id)
      .Put(issuer_kid)
      .U32(recipient_epoch)
      .U64(seq)
      .U64(base_seq)
      .U64(created)
      .Put(job_id)
      .U16(ct_len)
      .Zero(2);
  return out;
}

Parsed<ParsedJob> ParsedJob::Parse(ByteView job) {
  if (job.size() < kJobOverhead) return tl::unexpected(Status::kBadFormat);
  ParsedJob out;
  Reader in(job);
  out.header_bytes = job.first(kJobHeaderSize);
  const Bytes<4> magic = in.Array<4>();
  const std::uint8_t version = in.U8();
  const std::uint8_t suite = in.U8();
  const std::uint8_t type = in.U8();
  out.header.flags = in.U8();
  out.header.device_id = in.Array<kIdSize>();
  out.header.account_id = in.Array<kIdSize>();
  out.header.issuer_kid = in.Array<kKidSize>();
  out.header.recipient_epoch = in.U32();
  out.header.seq = in.U64();
  out.header.base_seq = in.U64();
  out.header.created = in.U64();
  out.header.job_id = in.Array<kIdSize>();
  out.header.ct_len = in.U16();
  const std::uint16_t zero = in.U16();

  bool bucket = false;
  for (const std::size_t size : kBuckets) bucket = bucket || out.header.ct_len == size + kTagSize;
  if (!bucket || job.size() != kJobOverhead + out.header.ct_len || magic != kJobMagic)
    return tl::unexpected(Status::kBadFormat);
  if (version != 1) return tl::unexpected(Status::kUnsupportedVersion);
  if (suite != 1) return tl::unexpected(Status::kUnsupportedSuite);
  if (type < 1 || type > 8) return tl::unexpected(Status::kBadFormat);
  out.header.type = static_cast<JobType>(type);
  if (!FlagsFit(out.header.type, out.header.flags) || out.header.seq < 1 ||
      out.header.seq > kMaxSequence || zero != 0) {
    return tl::unexpected(Status::kBadFormat);
  }
  out.enc = in.Array<kX25519Size>();
  out.ct = in.Take(out.header.ct_len);
  out.signature = in.Array<kSignatureSize>();
  return out;
}

bool ParsedJob::VerifySignature(const P256Verifier& signer) const {
  return signer.Verify(SignedHash(header_bytes, enc, ct), signature);
}

Hash JobHash(ByteView job) { return Sha256Of(job); }

Bytes<45> JobInfo(const JobHeader& header) {
  Bytes<45> out{};
  Writer(out)
      .Put(Label("keyferry/job/v1"))
      .U8(1)
      .Put(header.device_id)
      .Put(header.issuer_kid)
      .U32(header.recipient_epoch);
  return out;
}

Parsed<OpenedJob> OpenJob(const ParsedJob& job, const X25519Private& recipient) {
  X25519Pair pair{recipient, {}};
  if (!X25519DerivePublic(recipient, pair.pub)) return tl::unexpected(Status::kOpenFailed);
  return OpenJob(job, pair);
}

Parsed<OpenedJob> OpenJob(const ParsedJob& job, const X25519Pair& recipient) {
  OpenedJob out;
  const std::size_t bucket = job.ct.size() - kTagSize;
  const MutableBytes plaintext = out.plaintext.span().first(bucket);
  if (!HpkeOpen(recipient, job.enc, JobInfo(job.header), job.header_bytes, job.ct, plaintext)) {
    return tl::unexpected(Status::kOpenFailed);
  }
  out.body_size = static_cast<std::size_t>(plaintext[0]) << 8 | plaintext[1];
  if (BucketFor(out.body_size) != bucket ||
      !IsAllZero(ByteView(plaintext).subspan(2 + out.body_size))) {
    return tl::unexpected(Status::kBadPlaintext);
  }
  const Status status = CheckBody(job.header.type, out.body());
  if (status != Status::kOk) return tl::unexpected(status);
  return out;
}

std::size_t SealJob(JobHeader header, ByteView body, const X25519Public& recipient,
                    const P256Private& signer, const Kid& signer_kid,
                    const X25519Private& ephemeral, MutableBytes out) {
  HpkeSender sender;
  return MakeHpkeSender(ephemeral, recipient, sender)
             ? SealJob(header, body, recipient, signer, signer_kid, sender, out)
             : 0;
}

std::size_t SealJob(JobHeader header, ByteView body, const X25519Public& recipient,
                    const P256Private& signer, const Kid& signer_kid, const HpkeSender& sender,
                    MutableBytes out) {
  const std::size_t bucket = BucketFor(body.size());
  if (bucket == 0 || out.size() < kJobOverhead + bucket + kTagSize) return 0;
  header.issuer_kid = signer_kid;
  header.ct_len = static_cast<std::uint16_t>(bucket + kTagSize);
  const Bytes<kJobHeaderSize> header_bytes = header.Encode();

  Secret<kMaxBucket> plaintext;
  Writer(plaintext.span()).U16(static_cast<std::uint16_t>(body.size())).Put(body);
  const MutableBytes ct = out.subspan(kJobHeaderSize + kX25519Size, header.ct_len);
  if (!HpkeSeal(sender, recipient, JobInfo(header), header_bytes, plaintext.view().first(bucket),
                ct)) {
    return 0;
  }
  Signature signature{};
  if (!P256SignHash(signer, SignedHash(header_bytes, sender.enc, ct), signature)) return 0;
  Writer writer(out);
  writer.Put(header_bytes).Put(sender.enc);
  Writer(out.subspan(kJobHeaderSize + kX25519Size + header.ct_len)).Put(signature);
  return kJobOverhead + header.ct_len;
}

Parsed<SetPasswordBody> SetPasswordBody::Parse(ByteView body) {
  Reader in(body);
  SetPasswordBody out;
  const std::size_t login = in.U8();
  out.login = in.Take(login);
  out.password = in.Take(in.remaining());
  if (!in.ok() || login < 1 || login > kMaxLogin || out.password.empty() ||
      out.password.size() > kMaxPassword) {
    return tl::unexpected(Status::kBadPlaintext);
  }
  return out;
}

std::size_t SetPasswordBody::Encode(MutableBytes out) const {
  if (login.empty() || login.size() > kMaxLogin || password.empty() ||
      password.size() > kMaxPassword)
    return 0;
  Writer writer(out);
  writer.U8(static_cast<std::uint8_t>(login.size())).Put(login).Put(password);
  return writer.ok() ? writer.size() : 0;
}

Status CheckBody(JobType type, ByteView body) {
  bool good = false;
  switch (type) {
    case JobType::kSetPassword:
      good = SetPasswordBody::Parse(body).has_value();
      break;
    case JobType::kCommit:
    case JobType::kDrop:
      good = body.size() == kIdSize;
      break;
    case JobType::kPinUnblock:
      good = body.size() == kHashSize && !IsAllZero(body);
      break;
    case JobType::kWipe:
      good = body.size() == 1 && body[0] == 0;
      break;
    case JobType::kHostRevoke:
      good = body.size() == 4;
      break;
    case JobType::kIssuerRotate:
      good = body.size() == kIssuerCertSize && IssuerCert::Parse(body).has_value();
      break;
    case JobType::kPolicy:
      good = Policy::Parse(body).has_value();
      break;
  }
  return good ? Status::kOk : Status::kBadPlaintext;
}

}  // namespace keyferry::protocol
