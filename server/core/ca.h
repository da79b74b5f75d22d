#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/result.h"
#include "server/core/ids.h"

namespace keyferry::server {

// What a PKCS#10 request of a workstation says, after its self-signature was checked.
struct RequestFacts {
  std::array<std::uint8_t, 32> spki_sha256{};  // SHA-256 of its SubjectPublicKeyInfo
};

struct IssuedCertificate {
  std::string pem;
  std::array<std::uint8_t, 32> sha256{};  // of the DER: how the daemon listener names its peer
};

// The server's own TLS certificate authority, as the workstation service needs it (server/tls
// implements it). Thread-safe. Every input is hostile.
class CertificateAuthority {
 public:
  virtual ~CertificateAuthority() = default;
  // kInvalidArgument unless `pem` is one PKCS#10 request for a P-256 key, signed by that key, of at
  // most 8 KiB. Nothing but the public key is taken from it.
  virtual Result<RequestFacts> Inspect(std::string_view pem) = 0;
  // A client certificate for the request's key: CN = the identifier in hex, usage clientAuth only.
  // Times are Unix seconds.
  virtual Result<IssuedCertificate> SignWorkstation(std::string_view request_pem,
                                                    const WorkstationId& id,
                                                    std::int64_t not_before,
                                                    std::int64_t not_after) = 0;
};

// What a key's attestation certificate proves.
struct AttestationFacts {
  DeviceId device;                            // the subject's one CN
  std::array<std::uint8_t, 65> public_key{};  // P-256, uncompressed
  bool simulator = false;                     // issued by the simulator's CA
};

// Whose attestation certificates are believed. PEM; each entry may hold several certificates.
struct AttestationTrust {
  std::vector<std::string> vendor_ca_pems;
  std::vector<std::string> simulator_ca_pems;  // honoured only with allow_simulator
  bool allow_simulator = false;                // production servers refuse simulators
};

// Checks attestation certificates (protocol/PROTOCOL.md section 4). Thread-safe.
class AttestationVerifier {
 public:
  virtual ~AttestationVerifier() = default;
  // kProtocol: malformed, not under a trusted CA, wrong curve, CN not a device id.
  // kPermissionDenied: under the simulator's CA, and simulators are not allowed.
  virtual Result<AttestationFacts> Verify(std::span<const std::uint8_t> der) = 0;
};

std::unique_ptr<AttestationVerifier> MakeAttestationVerifier(AttestationTrust trust);

}  // namespace keyferry::server
