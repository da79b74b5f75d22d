#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "server/core/services.h"

namespace keyferry::server {

// What a connected workstation is told first, and again when its certificates changed: the event
// `hello` of docs/workstation-api.md.
WorkstationEvent HelloEvent(const CorePorts& ports, const WorkstationConfig& config,
                            const WorkstationRecord& record);

// The HostCerts of workstations (protocol/PROTOCOL.md section 4), at the approval and after it.
// Thread-safe; the ports outlive it.
class HostCertificates {
 public:
  HostCertificates(const CorePorts& ports, const WorkstationConfig& config)
      : ports_(ports), config_(config) {}

  // Both certificates of `record`, from `now` on (Unix seconds). Nothing is stored.
  Result<void> Make(WorkstationRecord& record, std::int64_t now) const;
  std::int64_t End(std::int64_t now) const;
  // Less than a third of their life is left.
  bool Due(const WorkstationRecord& record, std::int64_t now) const;
  // As WorkstationService::RenewCertificate.
  Result<std::string> Renew(WorkstationRecord record, std::string_view csr_pem) const;
  // Whether a certificate that was found in this record may be used now.
  Result<WorkstationId> Accept(const WorkstationRecord& record, const Hash32& sha256) const;

  // As WorkstationService. `record` is an approved workstation's.
  Result<std::array<std::uint8_t, 32>> Challenge(
      const WorkstationRecord& record, const std::array<std::uint8_t, 32>& login_noise_pub) const;
  Result<Bytes> CertifyLogin(WorkstationRecord record,
                             const std::array<std::uint8_t, 32>& login_noise_pub,
                             const std::array<std::uint8_t, 32>& challenge,
                             const std::array<std::uint8_t, 32>& proof) const;
  Result<void> AllowLogin(const Actor& actor, WorkstationRecord record) const;

 private:
  Result<void> MakeLogin(WorkstationRecord& record, std::int64_t now) const;
  bool Proven(const WorkstationRecord& record, const std::array<std::uint8_t, 32>& login_noise_pub,
              const std::array<std::uint8_t, 32>& challenge,
              const std::array<std::uint8_t, 32>& proof) const;

  CorePorts ports_;
  WorkstationConfig config_;
};

}  // namespace keyferry::server
