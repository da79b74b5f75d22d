#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/result.h"
#include "protocol/secure/secure_bytes.h"
#include "server/core/ca.h"

// X.509 with OpenSSL: the server's own TLS CA, its server certificate, and workstation
// certificates. PEM text; private keys are unencrypted PKCS#8 PEM that
// belongs into a file of mode 0600. Times are Unix seconds. Everything is P-256.
namespace keyferry::server {

struct CertificateAndKey {
  std::string certificate_pem;
  SecureBytes key_pem;
};

// A self-signed CA that may sign end certificates only (pathlen 0). `name` becomes its CN.
Result<CertificateAndKey> MakeCa(std::string_view name, std::int64_t not_before,
                                 std::int64_t not_after);

// A server certificate (serverAuth) for DNS names and IP addresses, signed by the CA. The first
// name becomes the CN. kInvalidArgument names the entry that is neither.
Result<CertificateAndKey> MakeServerCertificate(std::string_view ca_pem, const SecureBytes& ca_key,
                                                const std::vector<std::string>& names,
                                                std::int64_t not_before, std::int64_t not_after);

// Dates and names of a PEM certificate, for check-config and doctor.
struct CertificateFacts {
  std::int64_t not_before = 0;
  std::int64_t not_after = 0;
  std::vector<std::string> names;  // DNS and IP subject alternative names
  std::string sha256;              // of the DER, groups of four hex digits
};
Result<CertificateFacts> InspectCertificate(std::string_view pem);

// kInvalidArgument when key and certificate do not belong together.
Result<std::unique_ptr<CertificateAuthority>> LoadCertificateAuthority(std::string_view ca_pem,
                                                                       const SecureBytes& ca_key);

}  // namespace keyferry::server
