#include "server/app/state.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "protocol/secure/system_random.h"
#include "server/app/files.h"
#include "server/app/open.h"
#include "server/tls/ca.h"

namespace keyferry::server {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kOneDay = 24 * 3600;
constexpr std::int64_t kAuthorityDays = 3650;
constexpr std::int64_t kServerDays = 397;
constexpr std::int64_t kRenewDays = 30;
constexpr std::int64_t kSkew = 300;  // clocks of others may be behind by this much
constexpr unsigned kSecretMode = 0600;
constexpr unsigned kPublicMode = 0644;  // certificates; the folder keeps others out all the same

Result<Bytes> ReadBytes(const fs::path& file) {
  auto text = ReadTextFile(file, Sharing::kOthersMayRead);
  if (!text) return tl::unexpected(text.error());
  return Bytes(text->begin(), text->end());
}

Result<void> Put(const fs::path& file, std::span<const std::uint8_t> bytes, unsigned mode) {
  return CreateFile(file, bytes, mode);
}

// Names as the certificate reports them, for the comparison with the configuration.
bool SameNames(std::vector<std::string> a, std::vector<std::string> b) {
  std::sort(a.begin(), a.end());
  std::sort(b.begin(), b.end());
  return a == b;
}

Result<void> MakeKeyAuthority(const StateFiles& files, std::int64_t now) {
  auto authority = MakeAuthority(OsRandom(), now - kSkew, now + kAuthorityDays * kOneDay);
  if (!authority) return tl::unexpected(authority.error());
  if (auto done = Put(files.root_key, authority->root_private.span(), kSecretMode); !done) {
    return done;
  }
  if (auto done = Put(files.root_pub, authority->root_pub, kPublicMode); !done) return done;
  if (auto done = Put(files.issuer_key, authority->issuer_private.span(), kSecretMode); !done) {
    return done;
  }
  return Put(files.issuer_cert, authority->issuer_cert, kPublicMode);
}

// This server's own key and certificate.
Result<void> MakeOwnTls(const ServerConfig& config, const StateFiles& files,
                        const std::string& ca_pem, const SecureBytes& ca_key, std::int64_t now) {
  auto server =
      MakeServerCertificate(ca_pem, ca_key, config.names, now - kSkew, now + kServerDays * kOneDay);
  if (!server) return tl::unexpected(server.error());
  if (auto done = Put(files.server_key, server->key_pem.span(), kSecretMode); !done) return done;
  return CreateFile(files.server_cert, server->certificate_pem, kPublicMode);
}

Result<void> MakeTls(const ServerConfig& config, const StateFiles& files, std::int64_t now) {
  auto ca =
      MakeCa("Keyferry CA of " + config.names.front(), now - kSkew, now + kAuthorityDays * kOneDay);
  if (!ca) return tl::unexpected(ca.error());
  if (auto done = Put(files.ca_key, ca->key_pem.span(), kSecretMode); !done) return done;
  if (auto done = CreateFile(files.ca_cert, ca->certificate_pem, kPublicMode); !done) return done;
  return MakeOwnTls(config, files, ca->certificate_pem, ca->key_pem, now);
}
// Whether somebody has put the key material of the first server into the folder of another one, and
// nothing else.
bool IsJoining(const ServerConfig& config, const StateFiles& files) {
  if (!config.postgres) return false;
  std::error_code ec;
  for (const fs::path* file :
       {&files.root_pub, &files.issuer_key, &files.issuer_cert, &files.ca_key, &files.ca_cert}) {
    if (!fs::exists(*file, ec)) return false;
  }
  return !fs::exists(files.server_key, ec) && !fs::exists(files.server_cert, ec);
}

Result<void> Join(const ServerConfig& config, const StateFiles& files, std::int64_t now) {
  const auto issuer = LoadIssuer(config, now);
  if (!issuer) return tl::unexpected(issuer.error());
  if (auto authority = LoadAuthority(config); !authority) {
    return tl::unexpected(authority.error());
  }
  const auto ca = ReadTextFile(files.ca_cert, Sharing::kOthersMayRead);
  if (!ca) return tl::unexpected(ca.error());
  const auto ca_key = ReadSecretFile(files.ca_key);
  if (!ca_key) return tl::unexpected(ca_key.error());
  const auto store = MakeStore(config);
  if (!store) return tl::unexpected(store.error());
  if (auto bound = (*store)->BindRoot((*issuer)->root_pub()); !bound) return bound;
  return MakeOwnTls(config, files, *ca, *ca_key, now);
}

Result<void> MakeAuditKey(const StateFiles& files) {
  protocol::P256Private key;
  protocol::P256Public pub{};
  if (!protocol::P256Generate(OsRandom(), key, pub)) {
    return Fail(ErrorCode::kInternal, "No audit key could be made.");
  }
  if (auto done = Put(files.audit_key, key.view(), kSecretMode); !done) return done;
  return Put(files.audit_pub, pub, kPublicMode);
}

}  // namespace

StateFiles::StateFiles(const fs::path& folder)
    : root_key(folder / "root.key"),
      root_pub(folder / "root.pub"),
      issuer_key(folder / "issuer.key"),
      issuer_cert(folder / "issuer.cert"),
      ca_cert(folder / "ca.pem"),
      ca_key(folder / "ca.key"),
      server_cert(folder / "server.pem"),
      server_key(folder / "server.key"),
      database(folder / "keyferry.db"),
      replay_cache(folder / "tickets.replay"),
      audit_key(folder / "audit.key"),
      audit_pub(folder / "audit.pub"),
      checkpoints(folder / "audit-checkpoints.log"),
      forwarded(folder / "audit-syslog.position") {}

Result<void> Initialise(const ServerConfig& config, std::int64_t now) {
  std::error_code ec;
  const fs::path& folder = config.state_dir;
  if (!fs::exists(folder, ec) && ::mkdir(folder.c_str(), 0700) != 0) {
    return Fail(ErrorCode::kIo,
                "Cannot make the folder " + folder.string() + ": " + std::strerror(errno) + ".");
  }
  if (auto done = CheckPrivateFolder(folder); !done) return done;
  const StateFiles files(folder);
  if (IsJoining(config, files)) return Join(config, files, now);
  for (const fs::path* file :
       {&files.root_key, &files.root_pub, &files.issuer_key, &files.issuer_cert, &files.ca_key,
        &files.ca_cert, &files.server_key, &files.server_cert, &files.audit_key, &files.audit_pub,
        &files.checkpoints, &files.database}) {
    if (!fs::exists(*file, ec)) continue;
    const bool finished = fs::exists(files.Last(config), ec);
    return Fail(ErrorCode::kConflict,
                finished ? file->string() +
                               " is there already. This server is initialised; nothing was changed."
                         : folder.string() + " holds the files of an init that did not finish (" +
                               file->filename().string() + "). Empty the folder and try again.");
  }
  if (config.postgres) {
    // Before anything is made: whether it can be reached, and is new, is the likeliest thing to be
    // wrong.
    const auto store = MakeStore(config);
    if (!store) return tl::unexpected(store.error());
    const auto root = (*store)->Root();
    if (!root) return tl::unexpected(root.error());
    if (*root) {
      return Fail(
          ErrorCode::kConflict,
          "The database " + config.postgres->place() +
              " is in use by a Keyferry server. To add another one, copy root.pub, "
              "issuer.key, issuer.cert, ca.pem, ca.key, audit.key and audit.pub from that one's "
              "state folder to " +
              folder.string() + " and run init again.");
    }
  }
  if (auto done = MakeKeyAuthority(files, now); !done) return done;
  if (auto done = MakeAuditKey(files); !done) return done;
  if (auto done = MakeTls(config, files, now); !done) return done;
  const auto store = MakeStore(config);
  if (!store) return tl::unexpected(store.error());
  const auto root = ReadBytes(files.root_pub);
  if (!root) return tl::unexpected(root.error());
  return (*store)->BindRoot(*root);
}

Result<std::unique_ptr<Issuer>> LoadIssuer(const ServerConfig& config, std::int64_t now) {
  const StateFiles files(config.state_dir);
  auto key = ReadSecretFile(files.issuer_key);
  if (!key) return tl::unexpected(key.error());
  auto certificate = ReadBytes(files.issuer_cert);
  if (!certificate) return tl::unexpected(certificate.error());
  auto root = ReadBytes(files.root_pub);
  if (!root) return tl::unexpected(root.error());
  return Issuer::Load(std::move(*key), std::move(*certificate), std::move(*root), now);
}

Result<std::unique_ptr<AuditSigner>> LoadAuditSigner(const ServerConfig& config) {
  const StateFiles files(config.state_dir);
  std::error_code ec;
  if (!fs::exists(files.audit_key, ec) && !fs::exists(files.audit_pub, ec) &&
      !fs::exists(files.checkpoints, ec)) {
    if (auto made = MakeAuditKey(files); !made) return tl::unexpected(made.error());
  }
  auto key = ReadSecretFile(files.audit_key);
  if (!key) return tl::unexpected(key.error());
  auto signer = AuditSigner::Load(std::move(*key));
  if (!signer) return signer;
  const auto pub = LoadAuditPub(config);
  if (!pub) return tl::unexpected(pub.error());
  if (*pub != (*signer)->pub()) {
    return Fail(ErrorCode::kInvalidArgument, files.audit_key.string() + " and " +
                                                 files.audit_pub.string() +
                                                 " do not belong together; restore both from a "
                                                 "backup.");
  }
  return signer;
}

Result<protocol::P256Public> LoadAuditPub(const ServerConfig& config) {
  const StateFiles files(config.state_dir);
  const auto bytes = ReadBytes(files.audit_pub);
  if (!bytes) return tl::unexpected(bytes.error());
  protocol::P256Public pub{};
  if (bytes->size() != pub.size()) {
    return Fail(ErrorCode::kInvalidArgument,
                files.audit_pub.string() + " is damaged: it must have 65 bytes.");
  }
  std::copy(bytes->begin(), bytes->end(), pub.begin());
  return pub;
}

Result<std::unique_ptr<CertificateAuthority>> LoadAuthority(const ServerConfig& config) {
  const StateFiles files(config.state_dir);
  auto certificate = ReadTextFile(files.ca_cert, Sharing::kOthersMayRead);
  if (!certificate) return tl::unexpected(certificate.error());
  auto key = ReadSecretFile(files.ca_key);
  if (!key) return tl::unexpected(key.error());
  return LoadCertificateAuthority(*certificate, *key);
}

Result<std::unique_ptr<AttestationVerifier>> LoadAttestation(const ServerConfig& config) {
  AttestationTrust trust;
  trust.allow_simulator = config.keys.allow_simulator;
  const auto read = [](const std::vector<fs::path>& paths,
                       std::vector<std::string>& pems) -> Result<void> {
    for (const fs::path& path : paths) {
      auto pem = ReadTextFile(path, Sharing::kOthersMayRead);
      if (!pem) return tl::unexpected(pem.error());
      pems.push_back(std::move(*pem));
    }
    return {};
  };
  if (auto done = read(config.keys.vendor_ca, trust.vendor_ca_pems); !done) {
    return tl::unexpected(done.error());
  }
  if (auto done = read(config.keys.simulator_ca, trust.simulator_ca_pems); !done) {
    return tl::unexpected(done.error());
  }
  return MakeAttestationVerifier(std::move(trust));
}

Result<ServerIdentity> LoadIdentity(const ServerConfig& config, std::int64_t now) {
  const StateFiles files(config.state_dir);
  ServerIdentity identity;
  auto ca = ReadTextFile(files.ca_cert, Sharing::kOthersMayRead);
  if (!ca) return tl::unexpected(ca.error());
  identity.ca_pem = std::move(*ca);
  auto certificate = ReadTextFile(files.server_cert, Sharing::kOthersMayRead);
  if (!certificate) return tl::unexpected(certificate.error());
  auto key = ReadSecretFile(files.server_key);
  if (!key) return tl::unexpected(key.error());
  const auto facts = InspectCertificate(*certificate);
  if (!facts) return tl::unexpected(facts.error());
  if (facts->not_after - now > kRenewDays * kOneDay && SameNames(facts->names, config.names)) {
    identity.certificate_pem = std::move(*certificate);
    identity.key_pem = std::move(*key);
    return identity;
  }
  auto ca_key = ReadSecretFile(files.ca_key);
  if (!ca_key) return tl::unexpected(ca_key.error());
  auto fresh = MakeServerCertificate(identity.ca_pem, *ca_key, config.names, now - kSkew,
                                     now + kServerDays * kOneDay);
  if (!fresh) return tl::unexpected(fresh.error());
  // Key first: should the machine die in between, the pair does not fit and the next start says so
  // by making it anew.
  if (auto done = ReplaceFile(files.server_key, fresh->key_pem.view(), kSecretMode); !done) {
    return tl::unexpected(done.error());
  }
  if (auto done = ReplaceFile(files.server_cert, fresh->certificate_pem, kPublicMode); !done) {
    return tl::unexpected(done.error());
  }
  identity.certificate_pem = std::move(fresh->certificate_pem);
  identity.key_pem = std::move(fresh->key_pem);
  identity.renewed = true;
  return identity;
}

}  // namespace keyferry::server
