#include "protocol/certs.h"

namespace keyferry::protocol {
namespace {

// The fixed beginning of each structure; the rest follows in the body writers below.
Status VersionOf(const Reader& in, std::uint8_t version) {
  if (!in.AtEnd()) return Status::kBadFormat;
  return version == 1 ? Status::kOk : Status::kUnsupportedVersion;
}

template <std::size_t N, typename T>
Bytes<N> WithSignature(const T& body, const Signature& signature) {
  Bytes<N> out{};
  Writer(out).Put(body).Put(signature);
  return out;
}

Bytes<80> Body(const HostCert& c) {
  Bytes<80> out{};
  Writer(out)
      .U8(1)
      .U8(c.role)
      .Zero(2)
      .Put(c.host_id)
      .Put(c.host_noise_pub)
      .Put(c.issuer_kid)
      .U64(c.not_before)
      .U64(c.not_after)
      .U32(c.host_epoch);
  return out;
}

Bytes<97> Body(const IssuerCert& c) {
  Bytes<97> out{};
  Writer(out)
      .U8(1)
      .Zero(3)
      .U32(c.issuer_epoch)
      .Put(c.issuer_pub)
      .U64(c.not_before)
      .U64(c.not_after)
      .Put(c.root_kid);
  return out;
}

Bytes<197> Body(const Statement& s) {
  Bytes<197> out{};
  Writer(out)
      .U8(1)
      .Zero(3)
      .Put(s.device_id)
      .Put(s.sig_pub)
      .Put(s.noise_pub)
      .U32(s.epoch)
      .Put(s.recipient_pub)
      .Put(s.begin_hash)
      .U32(s.firmware)
      .U32(s.boot)
      .U32(s.simulator ? 1 : 0);
  return out;
}

Bytes<140> Body(const EnrolGrant& g) {
  Bytes<140> out{};
  Writer(out)
      .U8(1)
      .Zero(3)
      .Put(g.device_id)
      .Put(g.account_id)
      .Put(g.policy.Encode())
      .Put(g.nonce)
      .Put(g.statement_hash)
      .Put(g.activation_hash);
  return out;
}

Bytes<108> Body(const Assertion& a) {
  Bytes<108> out{};
  Writer(out)
      .U8(1)
      .U8(a.flags)
      .Zero(2)
      .Put(a.device_id)
      .Put(a.account_id)
      .Put(a.challenge)
      .Put(a.context_hash)
      .U64(a.receipt_ctr);
  return out;
}

Hash ToSign(const HostCert& c) { return Sha256Of(Label("keyferry/host/v1"), Body(c)); }
Hash ToSign(const IssuerCert& c) { return Sha256Of(Label("keyferry/issuer/v1"), Body(c)); }
Hash ToSign(const Statement& s) { return Sha256Of(Label("keyferry/statement/v1"), Body(s)); }
Hash ToSign(const EnrolGrant& g) { return Sha256Of(Label("keyferry/enrol/v1"), Body(g)); }
Hash ToSign(const Assertion& a) { return Sha256Of(Label("keyferry/assert/v1"), Body(a)); }

}  // namespace

Parsed<HostCert> HostCert::Parse(ByteView data) {
  Reader in(data);
  HostCert c;
  const std::uint8_t version = in.U8();
  c.role = in.U8();
  in.Zero(2);
  c.host_id = in.Array<kIdSize>();
  c.host_noise_pub = in.Array<kX25519Size>();
  c.issuer_kid = in.Array<kKidSize>();
  c.not_before = in.U64();
  c.not_after = in.U64();
  c.host_epoch = in.U32();
  c.signature = in.Array<kSignatureSize>();
  const Status status = VersionOf(in, version);
  if (status != Status::kOk) return tl::unexpected(status);
  if (c.role < 1 || c.role > 7) return tl::unexpected(Status::kBadFormat);
  return c;
}

Bytes<kHostCertSize> HostCert::Encode() const {
  return WithSignature<kHostCertSize>(Body(*this), signature);
}
bool HostCert::Sign(const P256Private& issuer) {
  return P256SignHash(issuer, ToSign(*this), signature);
}
bool HostCert::VerifySignature(const P256Verifier& issuer) const {
  return issuer.Verify(ToSign(*this), signature);
}

Parsed<IssuerCert> IssuerCert::Parse(ByteView data) {
  Reader in(data);
  IssuerCert c;
  const std::uint8_t version = in.U8();
  in.Zero(3);
  c.issuer_epoch = in.U32();
  c.issuer_pub = in.Array<kP256PublicSize>();
  c.not_before = in.U64();
  c.not_after = in.U64();
  c.root_kid = in.Array<kKidSize>();
  c.signature = in.Array<kSignatureSize>();
  const Status status = VersionOf(in, version);
  if (status != Status::kOk) return tl::unexpected(status);
  return c;
}

Bytes<kIssuerCertSize> IssuerCert::Encode() const {
  return WithSignature<kIssuerCertSize>(Body(*this), signature);
}
bool IssuerCert::Sign(const P256Private& root) {
  return P256SignHash(root, ToSign(*this), signature);
}
bool IssuerCert::VerifySignature(const P256Public& root) const {
  return root_kid == KidOf(root) && P256IsOnCurve(issuer_pub) &&
         P256VerifyHash(root, ToSign(*this), signature);
}

Parsed<Policy> Policy::Parse(ByteView data) {
  Reader in(data);
  Policy p;
  p.pin_min = in.U8();
  p.pin_tries = in.U8();
  const std::uint8_t touch = in.U8();
  const std::uint8_t keep = in.U8();
  p.max_offline_days = in.U16();
  in.Zero(2);
  if (!in.AtEnd() || p.pin_min < 6 || p.pin_min > kMaxPin || p.pin_tries < 1 || p.pin_tries > 8 ||
      touch > 1 || keep > 1) {
    return tl::unexpected(Status::kBadFormat);
  }
  p.touch_to_store = touch == 1;
  p.keep_previous = keep == 1;
  return p;
}

Bytes<8> Policy::Encode() const {
  Bytes<8> out{};
  Writer(out)
      .U8(pin_min)
      .U8(pin_tries)
      .U8(touch_to_store ? 1 : 0)
      .U8(keep_previous ? 1 : 0)
      .U16(max_offline_days)
      .Zero(2);
  return out;
}

Parsed<Statement> Statement::Parse(ByteView data) {
  Reader in(data);
  Statement s;
  const std::uint8_t version = in.U8();
  in.Zero(3);
  s.device_id = in.Array<kIdSize>();
  s.sig_pub = in.Array<kP256PublicSize>();
  s.noise_pub = in.Array<kX25519Size>();
  s.epoch = in.U32();
  s.recipient_pub = in.Array<kX25519Size>();
  s.begin_hash = in.Array<kHashSize>();
  s.firmware = in.U32();
  s.boot = in.U32();
  const std::uint32_t flags = in.U32();
  s.sig_device = in.Array<kSignatureSize>();
  s.sig_attestation = in.Array<kSignatureSize>();
  const Status status = VersionOf(in, version);
  if (status != Status::kOk) return tl::unexpected(status);
  if (flags > 1 || s.epoch != 1) return tl::unexpected(Status::kBadFormat);
  s.simulator = flags == 1;
  return s;
}

Bytes<kStatementSize> Statement::Encode() const {
  Bytes<kStatementSize> out{};
  Writer(out).Put(Body(*this)).Put(sig_device).Put(sig_attestation);
  return out;
}

bool Statement::Sign(const P256Private& device, const P256Private& attestation) {
  const Hash hash = ToSign(*this);
  return P256SignHash(device, hash, sig_device) && P256SignHash(attestation, hash, sig_attestation);
}

bool Statement::VerifySignatures(const P256Public& attestation) const {
  const Hash hash = ToSign(*this);
  return P256VerifyHash(sig_pub, hash, sig_device) &&
         P256VerifyHash(attestation, hash, sig_attestation);
}

Parsed<EnrolGrant> EnrolGrant::Parse(ByteView data) {
  Reader in(data);
  EnrolGrant g;
  const std::uint8_t version = in.U8();
  in.Zero(3);
  g.device_id = in.Array<kIdSize>();
  g.account_id = in.Array<kIdSize>();
  const Parsed<Policy> policy = Policy::Parse(in.Take(8));
  g.nonce = in.Array<32>();
  g.statement_hash = in.Array<kHashSize>();
  g.activation_hash = in.Array<kHashSize>();
  g.signature = in.Array<kSignatureSize>();
  const Status status = VersionOf(in, version);
  if (status != Status::kOk) return tl::unexpected(status);
  if (!policy || IsAllZero(g.activation_hash)) return tl::unexpected(Status::kBadFormat);
  g.policy = *policy;
  return g;
}

Bytes<kEnrolGrantSize> EnrolGrant::Encode() const {
  return WithSignature<kEnrolGrantSize>(Body(*this), signature);
}
bool EnrolGrant::Sign(const P256Private& issuer) {
  return P256SignHash(issuer, ToSign(*this), signature);
}
bool EnrolGrant::VerifySignature(const P256Public& issuer) const {
  return P256VerifyHash(issuer, ToSign(*this), signature);
}

Parsed<EnrollBegin> EnrollBegin::Parse(ByteView data) {
  Reader in(data);
  EnrollBegin b;
  b.nonce = in.Array<32>();
  b.root_pub = in.Array<kP256PublicSize>();
  const Parsed<IssuerCert> issuer = IssuerCert::Parse(in.Take(kIssuerCertSize));
  if (!in.AtEnd()) return tl::unexpected(Status::kBadFormat);
  if (!issuer) return tl::unexpected(issuer.error());
  b.issuer = *issuer;
  return b;
}

Bytes<kEnrollBeginSize> EnrollBegin::Encode() const {
  Bytes<kEnrollBeginSize> out{};
  Writer(out).Put(nonce).Put(root_pub).Put(issuer.Encode());
  return out;
}

Parsed<Assertion> Assertion::Parse(ByteView data) {
  Reader in(data);
  Assertion a;
  const std::uint8_t version = in.U8();
  a.flags = in.U8();
  in.Zero(2);
  a.device_id = in.Array<kIdSize>();
  a.account_id = in.Array<kIdSize>();
  a.challenge = in.Array<32>();
  a.context_hash = in.Array<32>();
  a.receipt_ctr = in.U64();
  a.signature = in.Array<kSignatureSize>();
  const Status status = VersionOf(in, version);
  if (status != Status::kOk) return tl::unexpected(status);
  const bool by_login = (a.flags & kAssertByLogin) != 0;
  if (a.flags > 7 || (!by_login && a.flags != 0)) return tl::unexpected(Status::kBadFormat);
  return a;
}

Bytes<kAssertionSize> Assertion::Encode() const {
  return WithSignature<kAssertionSize>(Body(*this), signature);
}
bool Assertion::Sign(const P256Private& device) {
  return P256SignHash(device, ToSign(*this), signature);
}
bool Assertion::VerifySignature(const P256Public& device) const {
  return P256VerifyHash(device, ToSign(*this), signature);
}

Hash ActivationHash(const Id& device_id, ByteView code) {
  return Sha256Of(Label("keyferry/activate/v1"), device_id, code);
}

Hash ContextHash(Purpose purpose, const Id& host_id, const Id& request_id, ByteView text) {
  const Bytes<1> number{static_cast<std::uint8_t>(purpose)};
  return Sha256Of(Label("keyferry/context/v1"), number, host_id, request_id, text);
}

}  // namespace keyferry::protocol
