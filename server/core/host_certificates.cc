#include "server/core/host_certificates.h"

#include <utility>

#include "protocol/login_proof.h"
#include "protocol/messages.h"
#include "server/core/audit_entry.h"
#include "server/core/clock.h"
#include "server/core/dispatch.h"
#include "server/core/encoding.h"
#include "server/core/json_line.h"

namespace keyferry::server {
namespace {

constexpr std::int64_t kOverlapSeconds = 600;  // of a TLS certificate and the one after it
constexpr std::int64_t kChallengeSpan = 60;    // seconds; the span before is taken too

// What the audit log calls a hop key.
std::string Called(const std::array<std::uint8_t, 32>& pub) {
  return "login key " + ToHex(pub).substr(0, 16);
}

}  // namespace

WorkstationEvent HelloEvent(const CorePorts& ports, const WorkstationConfig& config,
                            const WorkstationRecord& record) {
  JsonLine hello;
  hello.Text("version", config.server_version)
      .Number("protocol", record.protocol)
      .Number("now", ports.clock.UnixSeconds());
  if (record.login_cert.empty()) {
    hello.Null("login_cert");
  } else {
    hello.Base64("login_cert", record.login_cert);
  }
  hello.Base64("deliver_cert", record.deliver_cert)
      .Base64("issuer_cert", ports.issuer.certificate());
  return {"hello", hello.Take()};
}

std::int64_t HostCertificates::End(std::int64_t now) const {
  return now + config_.certificate_days * kDaySeconds;
}

bool HostCertificates::Due(const WorkstationRecord& record, std::int64_t now) const {
  return record.host_certs_end - now < config_.certificate_days * kDaySeconds / 3;
}

Result<std::string> HostCertificates::Renew(WorkstationRecord record,
                                            std::string_view csr_pem) const {
  const auto facts = ports_.ca.Inspect(csr_pem);
  if (!facts) return tl::unexpected(facts.error());
  const std::int64_t now = ports_.clock.UnixSeconds();
  const auto made =
      ports_.ca.SignWorkstation(csr_pem, record.id, now - kClockSlackSeconds, End(now));
  if (!made) return tl::unexpected(made.error());
  record.next_pem = made->pem;
  record.next_sha256 = made->sha256;
  record.next_fingerprint = ToFingerprint(facts->spki_sha256);
  const auto stored = ports_.store.OfferCertificate(
      record, AuditByWorkstation(ports_.clock, record, "workstation.certificate", record.name,
                                 "pending", record.next_fingerprint));
  if (!stored) return tl::unexpected(stored.error());
  return made->pem;
}

Result<WorkstationId> HostCertificates::Accept(const WorkstationRecord& record,
                                               const Hash32& sha256) const {
  if (sha256 == record.certificate_sha256) return record.id;
  const std::int64_t now = ports_.clock.UnixSeconds();
  if (sha256 == record.next_sha256) {
    const auto promoted = ports_.store.PromoteCertificate(
        record.id, sha256, now + kOverlapSeconds,
        AuditByWorkstation(ports_.clock, record, "workstation.certificate", record.name, "ok",
                           record.next_fingerprint + " in place of " + record.fingerprint));
    if (!promoted) return tl::unexpected(promoted.error());
    ports_.bus.Publish("workstations", {"change", "{}"});
    return record.id;
  }
  if (sha256 == record.former_sha256 && now <= record.former_until) return record.id;
  return Fail(ErrorCode::kPermissionDenied,
              "This workstation has a newer certificate; this one is no longer accepted.");
}

Result<void> HostCertificates::Make(WorkstationRecord& record, std::int64_t now) const {
  auto deliver = ports_.issuer.HostCert(protocol::kRoleDeliver, record.id, record.deliver_noise_pub,
                                        now - kClockSlackSeconds, End(now));
  if (!deliver) return tl::unexpected(std::move(deliver.error()));
  record.deliver_cert = *std::move(deliver);
  record.login_cert.clear();
  if (record.login_noise_pub) {
    if (auto made = MakeLogin(record, now); !made) return made;
  }
  record.host_certs_end = End(now);
  return {};
}

Result<void> HostCertificates::MakeLogin(WorkstationRecord& record, std::int64_t now) const {
  auto login = ports_.issuer.HostCert(protocol::kRoleLogin, record.id, *record.login_noise_pub,
                                      now - kClockSlackSeconds, End(now));
  if (!login) return tl::unexpected(std::move(login.error()));
  record.login_cert = *std::move(login);
  return {};
}

Result<std::array<std::uint8_t, 32>> HostCertificates::Challenge(
    const WorkstationRecord& record, const std::array<std::uint8_t, 32>& login_noise_pub) const {
  const auto span = static_cast<std::uint64_t>(ports_.clock.UnixSeconds() / kChallengeSpan);
  protocol::X25519Private key;
  if (auto made = ports_.issuer.ChallengeKey(record.id, login_noise_pub, span, key); !made) {
    return tl::unexpected(std::move(made.error()));
  }
  std::array<std::uint8_t, 32> challenge{};
  if (!protocol::X25519DerivePublic(key, challenge)) {
    return Fail(ErrorCode::kInternal, "No challenge could be made; see the log.");
  }
  return challenge;
}

bool HostCertificates::Proven(const WorkstationRecord& record,
                              const std::array<std::uint8_t, 32>& login_noise_pub,
                              const std::array<std::uint8_t, 32>& challenge,
                              const std::array<std::uint8_t, 32>& proof) const {
  const auto now = static_cast<std::uint64_t>(ports_.clock.UnixSeconds() / kChallengeSpan);
  for (const std::uint64_t span : {now, now - 1}) {
    protocol::X25519Private key;
    std::array<std::uint8_t, 32> made{};
    protocol::Hash expected{};
    if (!ports_.issuer.ChallengeKey(record.id, login_noise_pub, span, key) ||
        !protocol::X25519DerivePublic(key, made) || made != challenge) {
      continue;
    }
    return protocol::LoginProof(key, login_noise_pub, {record.id.bytes, login_noise_pub, challenge},
                                expected) &&
           protocol::ConstantTimeEquals(expected, proof);
  }
  return false;
}

Result<Bytes> HostCertificates::CertifyLogin(WorkstationRecord record,
                                             const std::array<std::uint8_t, 32>& login_noise_pub,
                                             const std::array<std::uint8_t, 32>& challenge,
                                             const std::array<std::uint8_t, 32>& proof) const {
  const auto audit = [&](const char* outcome, const std::string& detail) {
    return AuditByWorkstation(ports_.clock, record, "workstation.login_cert", record.name, outcome,
                              detail);
  };
  if (!Proven(record, login_noise_pub, challenge, proof)) {
    const auto noted = ports_.store.AppendAudit(
        audit("denied", Called(login_noise_pub) + " was not proven to be the login agent's"));
    if (!noted) return tl::unexpected(noted.error());
    return Fail(ErrorCode::kPermissionDenied,
                "The login agent's key was not proven, or too late; ask for a new challenge.");
  }
  if (record.login_noise_pub == login_noise_pub && !record.login_cert.empty()) {
    return record.login_cert;
  }
  if (record.login_noise_pub && record.login_noise_pub != login_noise_pub) {
    if (record.login_requested != login_noise_pub) {
      record.login_requested = login_noise_pub;
      const auto asked = ports_.store.RequestLogin(
          record, audit("pending", Called(login_noise_pub) + " in place of " +
                                       Called(*record.login_noise_pub)));
      if (!asked) return tl::unexpected(asked.error());
      ports_.bus.Publish("workstations", {"change", "{}"});
    }
    return Fail(ErrorCode::kConflict,
                "This workstation's login agent has a new key; an administrator must allow it on "
                "the page Workstations.");
  }
  record.login_noise_pub = login_noise_pub;
  if (auto made = MakeLogin(record, ports_.clock.UnixSeconds()); !made) {
    return tl::unexpected(std::move(made.error()));
  }
  const auto stored = ports_.store.CertifyLogin(
      record, audit("ok", Called(login_noise_pub) + ", after the approval"));
  if (!stored) return tl::unexpected(stored.error());
  ports_.bus.Publish("workstations", {"change", "{}"});
  return record.login_cert;
}

Result<void> HostCertificates::AllowLogin(const Actor& actor, WorkstationRecord record) const {
  if (!record.login_requested) {
    return Fail(ErrorCode::kConflict, "No new key of its login agent waits for a decision.");
  }
  record.login_noise_pub = record.login_requested;
  if (auto made = MakeLogin(record, ports_.clock.UnixSeconds()); !made) return made;
  const auto stored = ports_.store.CertifyLogin(
      record, AuditOf(ports_.clock, actor, "workstation.login_allow", record.name, "ok",
                      Called(*record.login_noise_pub)));
  if (!stored) return stored;
  Send(ports_, record.id, HelloEvent(ports_, config_, record));
  ports_.bus.Publish("workstations", {"change", "{}"});
  return {};
}

}  // namespace keyferry::server
