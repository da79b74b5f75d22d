#include "tests/unit/device/organisation.h"

#include <algorithm>
#include <array>

#include "protocol/secure/system_random.h"

namespace keyferry::test {

using protocol::AsBytes;

Organisation::Organisation() {
  protocol::P256Public issuer_public{};
  protocol::P256Generate(OsRandom(), root_key, root);
  protocol::P256Generate(OsRandom(), issuer_key, issuer_public);
  issuer.issuer_epoch = 1;
  issuer.issuer_pub = issuer_public;
  issuer.not_after = 0x7FFFFFFFFF;
  issuer.root_kid = protocol::KidOf(root);
  issuer.Sign(root_key);
}

protocol::Bytes<protocol::kHostCertSize> Organisation::Certify(
    const protocol::X25519Public& noise_pub, std::uint8_t role, const protocol::Id& host_id) const {
  protocol::HostCert cert;
  cert.role = role;
  cert.host_id = host_id;
  cert.host_noise_pub = noise_pub;
  cert.issuer_kid = protocol::KidOf(issuer.issuer_pub);
  cert.not_after = 0x7FFFFFFFFF;
  cert.host_epoch = 1;
  cert.Sign(issuer_key);
  return cert.Encode();
}

device::HostIdentity Organisation::Host(std::uint8_t role, const protocol::Id& host_id) const {
  device::HostIdentity host;
  protocol::X25519Public noise_pub{};
  protocol::X25519Generate(OsRandom(), host.noise_key, noise_pub);
  host.certificate = Certify(noise_pub, role, host_id);
  return host;
}

protocol::Bytes<protocol::kEnrollBeginSize> Organisation::Begin() const {
  protocol::EnrollBegin begin;
  OsRandom().Fill(begin.nonce);
  begin.root_pub = root;
  begin.issuer = issuer;
  return begin.Encode();
}

protocol::EnrolGrant Organisation::Grant(const protocol::Bytes<protocol::kEnrollBeginSize>& begin,
                                         const protocol::Bytes<protocol::kStatementSize>& statement,
                                         const protocol::Id& account) const {
  protocol::EnrolGrant grant;
  grant.device_id = protocol::Statement::Parse(statement)->device_id;
  grant.account_id = account;
  std::copy_n(begin.begin(), grant.nonce.size(), grant.nonce.begin());
  grant.statement_hash = protocol::Sha256Of(protocol::ByteView(statement));
  grant.activation_hash = protocol::ActivationHash(grant.device_id, AsBytes("ACTIVATE-ME"));
  grant.Sign(issuer_key);
  return grant;
}

protocol::Bytes<device::kKeyRecordSize> Organisation::Record(
    const protocol::Bytes<protocol::kStatementSize>& statement,
    const protocol::EnrolGrant& grant) const {
  protocol::Bytes<device::kKeyRecordSize> record{};
  const auto issuer_bytes = issuer.Encode();
  const auto grant_bytes = grant.Encode();
  protocol::Writer(record).Put(issuer_bytes).Put(statement).Put(grant_bytes);
  return record;
}

std::vector<std::uint8_t> Organisation::Job(const protocol::Id& device_id,
                                            const protocol::Id& account,
                                            const protocol::X25519Public& recipient,
                                            std::uint32_t epoch, std::uint64_t seq,
                                            std::uint64_t base_seq, const protocol::Id& job_id,
                                            std::string_view password) const {
  protocol::JobHeader header;
  header.device_id = device_id;
  header.account_id = account;
  header.recipient_epoch = epoch;
  header.seq = seq;
  header.base_seq = base_seq;
  header.job_id = job_id;
  std::array<std::uint8_t, protocol::kMaxJobBody> body{};
  const protocol::SetPasswordBody content{AsBytes(kJobLogin), AsBytes(password)};
  const std::size_t size = content.Encode(body);
  protocol::X25519Private ephemeral;
  protocol::X25519Public unused{};
  protocol::X25519Generate(OsRandom(), ephemeral, unused);
  std::array<std::uint8_t, protocol::kMaxJobSize> out{};
  const std::size_t sealed =
      protocol::SealJob(header, std::span(body).first(size), recipient, issuer_key,
                        protocol::KidOf(issuer.issuer_pub), ephemeral, out);
  return {out.begin(), out.begin() + static_cast<std::ptrdiff_t>(sealed)};
}

}  // namespace keyferry::test
