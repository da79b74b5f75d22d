#include "client-daemon/core/approval.h"

#include <ctime>

#include "protocol/certs.h"
#include "protocol/messages.h"

namespace keyferry::daemon {
namespace {

bool ValidNow(std::uint64_t not_before, std::uint64_t not_after) {
  const auto now = static_cast<std::uint64_t>(std::time(nullptr));
  return now >= not_before && now <= not_after;
}

Result<void> CheckHostCert(const std::array<std::uint8_t, 144>& bytes,
                           const protocol::P256Public& issuer, const Id& workstation,
                           std::uint8_t role, const std::optional<NoisePublic>& noise_pub) {
  const auto cert = protocol::HostCert::Parse(bytes);
  if (!cert || !cert->VerifySignature(issuer) || cert->host_id != workstation ||
      cert->role != role || (noise_pub && cert->host_noise_pub != *noise_pub)) {
    return Fail(ErrorCode::kProtocol,
                "The server issued a certificate for keys that is not this workstation's.",
                role == protocol::kRoleDeliver ? "deliver" : "login");
  }
  if (!ValidNow(cert->not_before, cert->not_after)) {
    return Fail(ErrorCode::kPermissionDenied,
                "This workstation's certificate is not valid today; check the clock, or ask for a "
                "new approval.");
  }
  return {};
}

}  // namespace

Result<void> CheckCertificates(const Certificates& certificates,
                               const std::array<std::uint8_t, 65>& root, const Id& workstation,
                               const NoisePublic& deliver,
                               const std::optional<NoisePublic>& login) {
  const auto issuer = protocol::IssuerCert::Parse(certificates.issuer);
  if (!issuer || !issuer->VerifySignature(root)) {
    return Fail(ErrorCode::kProtocol,
                "The server's issuer is not of the organisation that approved this workstation.");
  }
  if (!ValidNow(issuer->not_before, issuer->not_after)) {
    return Fail(ErrorCode::kPermissionDenied,
                "The organisation's issuer is not valid today; check the clock.");
  }
  if (auto checked = CheckHostCert(certificates.deliver, issuer->issuer_pub, workstation,
                                   protocol::kRoleDeliver, deliver);
      !checked || !certificates.login) {
    return checked;
  }
  return CheckHostCert(*certificates.login, issuer->issuer_pub, workstation, protocol::kRoleLogin,
                       login);
}

std::optional<NoisePublic> HopKeyOf(const std::array<std::uint8_t, 144>& certificate) {
  const auto cert = protocol::HostCert::Parse(certificate);
  if (!cert) return std::nullopt;
  return cert->host_noise_pub;
}

}  // namespace keyferry::daemon
