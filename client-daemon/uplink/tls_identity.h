#pragma once

#include <cstdint>
#include <string>

#include "protocol/result.h"

namespace keyferry::daemon {

// The workstation's TLS identity: a P-256 key that never leaves the machine, and what is asked of
// the server for it.
struct TlsRequest {
  std::string csr_pem;      // PKCS#10, subject CN = the workstation's name
  std::string fingerprint;  // SHA-256 of the SubjectPublicKeyInfo, hex digits in groups of four
};

// Loads the key at `key_file` (PEM, 0600), making it first when there is none. `name` is cut to the
// 64 bytes that a CN may have.
Result<TlsRequest> LoadOrMakeTlsKey(const std::string& key_file, const std::string& name);

// Whether `certificate_pem` is one X.509 certificate for the key in `key_file`, else kProtocol.
Result<void> CheckCertificate(const std::string& certificate_pem, const std::string& key_file);

// When the certificate in `file` is to be replaced: once less than a third of its life is left at
// `now` (Unix seconds). False when it cannot be read.
bool CertificateDue(const std::string& file, std::int64_t now);

// A new key in place of the present one, in three steps. What a crash leaves between them is put in
// order by FinishRenewal, which is called at every start; until the last step the present key and
// certificate stay as they are.
Result<TlsRequest> PrepareRenewal(const std::string& key_file, const std::string& name);
Result<void> CompleteRenewal(const std::string& certificate_pem, const std::string& key_file,
                             const std::string& certificate_file);
Result<void> FinishRenewal(const std::string& key_file, const std::string& certificate_file);

}  // namespace keyferry::daemon
