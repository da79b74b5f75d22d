#pragma once

#include <openssl/types.h>

#include <string>

#include "protocol/result.h"
#include "protocol/secure/secure_bytes.h"

namespace keyferry::server {

struct TlsIdentity {
  std::string certificate_pem;  // leaf first
  SecureBytes private_key_pem;
  std::string client_ca_pem;  // not empty: clients must present a certificate by this CA
};

// TLS 1.3 only, no tickets, no renegotiation, plaintext wiped in OpenSSL's buffers, ALPN http/1.1.
// kInvalidArgument when certificate, key or CA cannot be read or do not fit.
Result<void> ConfigureTls(SSL_CTX* context, const TlsIdentity& identity);

}  // namespace keyferry::server
