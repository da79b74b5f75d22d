#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "protocol/crypto.h"
#include "protocol/info.h"
#include "protocol/result.h"

// The attestation certificate (PROTOCOL.md section 4): X.509, P-256, at most 900 bytes of DER, its
// subject's one CN the device_id in lower-case hex. Host side: this part allocates and is not used
// by firmware-sim/core.
namespace keyferry::protocol {

struct Attestation {
  Id device_id{};
  P256Public pub{};
};

// What the certificate says of itself: layout, P-256, one CN that is a device_id. Whose signature
// it bears is not looked at.
Result<Attestation> ReadAttestation(ByteView der);

// ReadAttestation, and checks the signature chain against the CA certificates in `ca_pem` (dates
// are not checked: keys outlive clocks).
Result<Attestation> VerifyAttestation(ByteView der, std::string_view ca_pem);

// For provisioning: a self-signed CA (PEM) for `ca`, and a certificate (DER) for a device key under
// it. `ca_name` is an RFC 4514 name such as "CN=Keyferry simulator CA,O=Keyferry SIMULATOR"; both
// calls must use the same. Valid 2025 … 2055. Signatures are deterministic: `random` blinds the
// computation.
Result<std::string> MakeAttestationCa(const P256Private& ca, const std::string& ca_name,
                                      RandomSource& random);
Result<std::vector<std::uint8_t>> MakeAttestation(const P256Private& ca, const std::string& ca_name,
                                                  const Id& device_id, const P256Public& device_pub,
                                                  RandomSource& random);

}  // namespace keyferry::protocol
