#include "protocol/attestation.h"

#include <utility>

#include "server/core/ca.h"

namespace keyferry::server {
namespace {

class TrustedAttestationVerifier final : public AttestationVerifier {
 public:
  explicit TrustedAttestationVerifier(AttestationTrust trust) : trust_(std::move(trust)) {}

  Result<AttestationFacts> Verify(std::span<const std::uint8_t> der) override {
    Error last{ErrorCode::kProtocol, "The key's attestation certificate is not from a known maker.",
               "no CA configured", 0};
    for (const std::string& pem : trust_.vendor_ca_pems) {
      const auto found = protocol::VerifyAttestation(der, pem);
      if (found) return Facts(*found, false);
      last.detail = found.error().message + " " + found.error().detail;
    }
    for (const std::string& pem : trust_.simulator_ca_pems) {
      auto found = protocol::VerifyAttestation(der, pem);
      if (!found) {
        last.detail = found.error().message + " " + found.error().detail;
        continue;
      }
      if (!trust_.allow_simulator) {
        return Fail(ErrorCode::kPermissionDenied,
                    "This is a simulated key; this server accepts real keys only.");
      }
      return Facts(*found, true);
    }
    return tl::unexpected(std::move(last));
  }

 private:
  static AttestationFacts Facts(const protocol::Attestation& found, bool simulator) {
    return {DeviceId{found.device_id}, found.pub, simulator};
  }

  AttestationTrust trust_;
};

}  // namespace

std::unique_ptr<AttestationVerifier> MakeAttestationVerifier(AttestationTrust trust) {
  return std::make_unique<TrustedAttestationVerifier>(std::move(trust));
}

}  // namespace keyferry::server
