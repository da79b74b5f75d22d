#pragma once

#include <filesystem>
#include <memory>

#include "protocol/result.h"
#include "protocol/secure/secure_bytes.h"
#include "server/app/config.h"
#include "server/core/audit_checkpoint.h"
#include "server/core/ca.h"
#include "server/core/issuer.h"
#include "server/http/listener.h"

namespace keyferry::server {

// What `keyferry-server init` makes in the state folder (docs/operations.md says what to keep
// where). All files are 0600, the folder 0700.
struct StateFiles {
  explicit StateFiles(const std::filesystem::path& folder);
  std::filesystem::path root_key, root_pub, issuer_key, issuer_cert;  // what the keys trust
  std::filesystem::path ca_cert, ca_key;                              // TLS authority
  std::filesystem::path server_cert, server_key;                      // TLS server certificate
  std::filesystem::path database;                                     // of SQLite
  std::filesystem::path replay_cache;                                 // of Kerberos tickets
  // What the audit log's checkpoints are signed with, these themselves, and how far syslog came.
  std::filesystem::path audit_key, audit_pub, checkpoints, forwarded;
  // The file that init makes last: with it the folder counts as initialised.
  const std::filesystem::path& Last(const ServerConfig& config) const {
    return config.postgres ? server_cert : database;
  }
};

// On PostgreSQL, in a folder that holds nothing but the key material of a server that is there
// already (root.pub, issuer.key, issuer.cert, ca.pem, ca.key): makes this server's own certificate
// and joins. Otherwise:
// Makes root, issuer, TLS authority, server certificate and database. Refuses to overwrite
// anything: kConflict names the first file that is there.
Result<void> Initialise(const ServerConfig& config, std::int64_t now);

Result<std::unique_ptr<Issuer>> LoadIssuer(const ServerConfig& config, std::int64_t now);
// The audit key. Made here for a state folder of a version that had none; not when there are
// checkpoints: then it was lost.
Result<std::unique_ptr<AuditSigner>> LoadAuditSigner(const ServerConfig& config);
// Its public half alone, for who verifies.
Result<protocol::P256Public> LoadAuditPub(const ServerConfig& config);
Result<std::unique_ptr<CertificateAuthority>> LoadAuthority(const ServerConfig& config);
Result<std::unique_ptr<AttestationVerifier>> LoadAttestation(const ServerConfig& config);

// The server certificate and its key. Makes a new one when it ends within 30 days or its names are
// no longer those of the configuration; `renewed` says so.
struct ServerIdentity {
  std::string certificate_pem;
  SecureBytes key_pem;
  std::string ca_pem;
  bool renewed = false;
};
Result<ServerIdentity> LoadIdentity(const ServerConfig& config, std::int64_t now);

}  // namespace keyferry::server
