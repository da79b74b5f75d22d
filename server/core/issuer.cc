#include "server/core/issuer.h"

#include <sodium.h>

#include <algorithm>
#include <string>
#include <utility>

#include "protocol/certs.h"
#include "protocol/job.h"
#include "server/core/encoding.h"

namespace keyferry::server {
namespace {

SecureBytes Keep(const protocol::P256Private& key) { return SecureBytes::CopyOf(key.view()); }

tl::unexpected<Error> Primitive(const char* what) {
  return Fail(ErrorCode::kInternal, "The server could not sign or seal; see its log.", what);
}

template <std::size_t N>
Bytes ToVector(const std::array<std::uint8_t, N>& bytes) {
  return Bytes(bytes.begin(), bytes.end());
}

// libsodium's X25519 gives the same bytes as mbedTLS's in a tenth of the time, and a server seals a
// job for every key of everybody.
bool Agree(const protocol::X25519Private& ephemeral, const protocol::X25519Public& recipient,
           protocol::HpkeSender& sender) {
  return crypto_scalarmult_base(sender.enc.data(), ephemeral.bytes.data()) == 0 &&
         crypto_scalarmult(sender.dh.bytes.data(), ephemeral.bytes.data(), recipient.data()) == 0;
}

}  // namespace

Result<Authority> MakeAuthority(protocol::RandomSource& random, std::int64_t not_before,
                                std::int64_t not_after) {
  protocol::P256Private root, issuer;
  protocol::P256Public root_pub{}, issuer_pub{};
  if (!protocol::P256Generate(random, root, root_pub) ||
      !protocol::P256Generate(random, issuer, issuer_pub)) {
    return Primitive("P256Generate");
  }
  protocol::IssuerCert cert;
  cert.issuer_epoch = 1;
  cert.issuer_pub = issuer_pub;
  cert.not_before = static_cast<std::uint64_t>(not_before);
  cert.not_after = static_cast<std::uint64_t>(not_after);
  cert.root_kid = protocol::KidOf(root_pub);
  if (!cert.Sign(root)) return Primitive("IssuerCert");
  Authority authority;
  authority.root_private = Keep(root);
  authority.root_pub = ToVector(root_pub);
  authority.issuer_private = Keep(issuer);
  authority.issuer_cert = ToVector(cert.Encode());
  return authority;
}

Issuer::Issuer(SecureBytes issuer_private, const protocol::Kid& kid, Bytes issuer_cert,
               Bytes root_pub)
    : private_(std::move(issuer_private)),
      kid_(kid),
      certificate_(std::move(issuer_cert)),
      root_pub_(std::move(root_pub)) {}

Issuer::~Issuer() = default;

Result<std::unique_ptr<Issuer>> Issuer::Load(SecureBytes issuer_private, Bytes issuer_cert,
                                             Bytes root_pub, std::int64_t now) {
  protocol::P256Public root{};
  if (root_pub.size() != root.size()) {
    return Fail(ErrorCode::kInvalidArgument, "The root's public key must be 65 bytes.");
  }
  std::copy(root_pub.begin(), root_pub.end(), root.begin());
  const auto cert = protocol::IssuerCert::Parse(issuer_cert);
  if (!cert || !cert->VerifySignature(root)) {
    return Fail(ErrorCode::kInvalidArgument,
                "The issuer certificate is damaged or was not signed by this root.");
  }
  protocol::P256Public derived{};
  if (issuer_private.size() != protocol::kP256PrivateSize ||
      !protocol::P256DerivePublic(ScalarOf(issuer_private), derived) ||
      derived != cert->issuer_pub) {
    return Fail(ErrorCode::kInvalidArgument,
                "The issuer's private key does not belong to the issuer certificate.");
  }
  if (now < 0 || static_cast<std::uint64_t>(now) < cert->not_before ||
      static_cast<std::uint64_t>(now) > cert->not_after) {
    return Fail(ErrorCode::kInvalidArgument,
                "The issuer certificate is outside its dates; make a new issuer with the root.");
  }
  return std::unique_ptr<Issuer>(new Issuer(std::move(issuer_private), protocol::KidOf(derived),
                                            std::move(issuer_cert), std::move(root_pub)));
}

Result<Bytes> Issuer::HostCert(std::uint8_t role, const WorkstationId& host,
                               const std::array<std::uint8_t, 32>& noise_pub,
                               std::int64_t not_before, std::int64_t not_after) const {
  protocol::HostCert cert;
  cert.role = role;
  cert.host_id = host.bytes;
  cert.host_noise_pub = noise_pub;
  cert.issuer_kid = kid_;
  cert.not_before = static_cast<std::uint64_t>(not_before);
  cert.not_after = static_cast<std::uint64_t>(not_after);
  if (!cert.Sign(ScalarOf(private_))) return Primitive("HostCert");
  return ToVector(cert.Encode());
}

Result<void> Issuer::ChallengeKey(const WorkstationId& workstation,
                                  const std::array<std::uint8_t, 32>& login_noise_pub,
                                  std::uint64_t span, protocol::X25519Private& key) const {
  const auto prk =
      protocol::HkdfExtract(protocol::Label("keyferry/login-challenge/v1"), private_.span());
  std::array<std::uint8_t, 56> context{};
  protocol::Writer(context).Put(workstation.bytes).Put(login_noise_pub).U64(span);
  if (!protocol::HkdfExpand(prk.view(), context, key.span())) return Primitive("HKDF");
  return {};
}

Result<void> Issuer::FactorKey(protocol::Secret<32>& key) const {
  const auto prk =
      protocol::HkdfExtract(protocol::Label("keyferry/second-factor/v1"), private_.span());
  if (!protocol::HkdfExpand(prk.view(), {}, key.span())) return Primitive("HKDF");
  return {};
}

Result<void> Issuer::NoticeKey(protocol::Secret<32>& key) const {
  const auto prk = protocol::HkdfExtract(protocol::Label("keyferry/notice/v1"), private_.span());
  if (!protocol::HkdfExpand(prk.view(), {}, key.span())) return Primitive("HKDF");
  return {};
}

Result<void> Issuer::ManagerKey(protocol::Secret<32>& key) const {
  const auto prk = protocol::HkdfExtract(protocol::Label("keyferry/manager/v1"), private_.span());
  if (!protocol::HkdfExpand(prk.view(), {}, key.span())) return Primitive("HKDF");
  return {};
}

Result<Bytes> Issuer::Grant(const GrantRequest& request) const {
  const auto policy = protocol::Policy::Parse(request.policy);
  if (!policy) {
    return Fail(ErrorCode::kInvalidArgument, "The configured key policy is out of range.");
  }
  protocol::EnrolGrant grant;
  grant.device_id = request.device.bytes;
  grant.account_id = request.account.bytes;
  grant.policy = *policy;
  grant.nonce = request.nonce;
  grant.statement_hash = protocol::Sha256Of(request.statement);
  grant.activation_hash = request.activation_hash;
  if (!grant.Sign(ScalarOf(private_))) return Primitive("EnrolGrant");
  return ToVector(grant.Encode());
}

Result<SealedJob> Issuer::SealPassword(const SealRequest& request, const SecureBytes& password,
                                       protocol::RandomSource& random) const {
  if (request.login.empty() || request.login.size() > protocol::kMaxLogin) {
    return Fail(ErrorCode::kInvalidArgument,
                "The employee's login name must have 1 to 104 bytes to fit on a key.");
  }
  if (password.empty() || password.size() > protocol::kMaxPassword) {
    return Fail(ErrorCode::kInvalidArgument, "A password must have 1 to 256 bytes.");
  }
  SecureBytes body(protocol::kMaxJobBody);
  const protocol::SetPasswordBody fields{protocol::AsBytes(request.login), password.span()};
  const std::size_t body_size = fields.Encode(body.span());
  if (body_size == 0) return Primitive("SET_PASSWORD body");
  return Seal(request, request.hold ? JobType::kHold : JobType::kSet, body.span().first(body_size),
              random);
}

Result<SealedJob> Issuer::SealNaming(const SealRequest& request, JobType type, const JobId& named,
                                     protocol::RandomSource& random) const {
  return Seal(request, type, named.bytes, random);
}

Result<SealedJob> Issuer::SealWipe(const SealRequest& request,
                                   protocol::RandomSource& random) const {
  const std::array<std::uint8_t, 1> body{};
  return Seal(request, JobType::kWipe, body, random);
}

Result<SealedJob> Issuer::Seal(const SealRequest& request, JobType type,
                               std::span<const std::uint8_t> body,
                               protocol::RandomSource& random) const {
  protocol::X25519Private ephemeral;
  if (!random.Fill(ephemeral.span())) return Primitive("random");
  protocol::JobHeader header;
  header.type = type == JobType::kCommit                            ? protocol::JobType::kCommit
                : type == JobType::kDrop || type == JobType::kProbe ? protocol::JobType::kDrop
                : type == JobType::kWipe                            ? protocol::JobType::kWipe
                                         : protocol::JobType::kSetPassword;
  header.flags = type == JobType::kHold ? protocol::kFlagHold : std::uint8_t{0};
  header.device_id = request.device.bytes;
  header.account_id = request.account.bytes;
  header.recipient_epoch = request.epoch;
  header.seq = request.seq;
  header.base_seq = request.base_seq;
  header.created = static_cast<std::uint64_t>(request.created);
  header.job_id = request.job.bytes;
  protocol::HpkeSender sender;
  if (!Agree(ephemeral, request.recipient_pub, sender)) return Primitive("X25519");
  SealedJob sealed;
  sealed.bytes.resize(protocol::kMaxJobSize);
  const std::size_t size = protocol::SealJob(header, body, request.recipient_pub,
                                             ScalarOf(private_), kid_, sender, sealed.bytes);
  if (size == 0) return Primitive("SealJob");
  sealed.bytes.resize(size);
  sealed.hash = protocol::JobHash(sealed.bytes);
  return sealed;
}

}  // namespace keyferry::server
