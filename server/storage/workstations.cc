#include <string>

#include "server/storage/rows.h"
#include "server/storage/sql_store.h"

namespace keyferry::server {
namespace {

struct WorkstationColumns {
  static constexpr const char* kList =
      "workstation_id, name, os, version, fingerprint, state, address, csr_pem, "
      "deliver_noise_pub, login_noise_pub, poll_token_hash, created, last_seen, certificate_pem, "
      "certificate_sha256, deliver_cert, login_cert, host_certs_end, login_requested, "
      "domain_name, computer, computer_id, protocol, next_pem, next_sha256, next_fingerprint, "
      "former_sha256, former_until";

  std::string id, name, os, version, fingerprint, state, address, csr_pem, deliver_noise_pub,
      login_noise_pub, poll_token_hash, certificate_pem, certificate_sha256, deliver_cert,
      login_cert, login_requested, domain_name, computer, computer_id, next_pem, next_sha256,
      next_fingerprint, former_sha256;
  long long created = 0, last_seen = 0, host_certs_end = 0, protocol = 1, former_until = 0;

  template <typename Prepared>
  void Into(Prepared& p) {
    p, soci::into(id), soci::into(name), soci::into(os), soci::into(version),
        soci::into(fingerprint), soci::into(state), soci::into(address), soci::into(csr_pem),
        soci::into(deliver_noise_pub), soci::into(login_noise_pub), soci::into(poll_token_hash),
        soci::into(created), soci::into(last_seen), soci::into(certificate_pem),
        soci::into(certificate_sha256), soci::into(deliver_cert), soci::into(login_cert),
        soci::into(host_certs_end), soci::into(login_requested), soci::into(domain_name),
        soci::into(computer), soci::into(computer_id), soci::into(protocol), soci::into(next_pem),
        soci::into(next_sha256), soci::into(next_fingerprint), soci::into(former_sha256),
        soci::into(former_until);
  }
  WorkstationRecord Read() const {
    WorkstationRecord record;
    record.id = ReadId<WorkstationId>(id);
    record.name = name;
    record.os = os;
    record.version = version;
    record.fingerprint = fingerprint;
    record.state = ReadState(state, WorkstationState::kRevoked);
    record.address = address;
    record.csr_pem = csr_pem;
    record.deliver_noise_pub = ReadFixed<32>(deliver_noise_pub);
    if (!login_noise_pub.empty()) record.login_noise_pub = ReadFixed<32>(login_noise_pub);
    record.poll_token_hash = ReadFixed<32>(poll_token_hash);
    record.created = created;
    record.last_seen = last_seen;
    record.certificate_pem = certificate_pem;
    if (!certificate_sha256.empty()) record.certificate_sha256 = ReadFixed<32>(certificate_sha256);
    record.deliver_cert = ReadBytes(deliver_cert);
    record.login_cert = ReadBytes(login_cert);
    record.host_certs_end = host_certs_end;
    record.domain = domain_name;
    record.computer = computer;
    record.computer_id = ReadOptionalId<AccountId>(computer_id);
    record.protocol = static_cast<int>(protocol);
    record.next_pem = next_pem;
    record.next_fingerprint = next_fingerprint;
    if (!next_sha256.empty()) record.next_sha256 = ReadFixed<32>(next_sha256);
    if (!former_sha256.empty()) record.former_sha256 = ReadFixed<32>(former_sha256);
    record.former_until = former_until;
    if (!login_requested.empty()) record.login_requested = ReadFixed<32>(login_requested);
    return record;
  }
};

std::string SelectWorkstations(const std::string& rest) {
  return std::string("SELECT ") + WorkstationColumns::kList + " FROM workstations " + rest;
}

}  // namespace

Result<std::vector<WorkstationRecord>> SqlStore::Workstations() {
  return database_.Read([](soci::session& sql) -> Result<std::vector<WorkstationRecord>> {
    return Select<WorkstationColumns>(sql, SelectWorkstations("ORDER BY number DESC"));
  });
}

Result<std::vector<WorkstationRecord>> SqlStore::WorkstationsPage(const WorkstationFilter& filter) {
  return database_.Read([&](soci::session& sql) -> Result<std::vector<WorkstationRecord>> {
    const std::string state = filter.state ? Name(*filter.state) : "";
    const std::string after = WriteOptionalId(filter.after);
    const long long limit = Signed(filter.limit);
    std::string where = filter.state ? "WHERE state = :state" : "WHERE :state = ''";
    where += after.empty() ? " AND :after = ''"
                           : " AND number < (SELECT w.number FROM workstations w WHERE "
                             "w.workstation_id = :after)";
    return Select<WorkstationColumns>(
        sql, SelectWorkstations(where + " ORDER BY number DESC LIMIT :limit"), state, after, limit);
  });
}

Result<std::optional<WorkstationRecord>> SqlStore::FindWorkstation(const WorkstationId& id) {
  return database_.Read([&](soci::session& sql) -> Result<std::optional<WorkstationRecord>> {
    return FirstOf(Select<WorkstationColumns>(sql, SelectWorkstations("WHERE workstation_id = :id"),
                                              id.Hex()));
  });
}

Result<std::optional<WorkstationRecord>> SqlStore::FindByCertificate(const Hash32& sha256) {
  return database_.Read([&](soci::session& sql) -> Result<std::optional<WorkstationRecord>> {
    return FirstOf(Select<WorkstationColumns>(
        sql,
        SelectWorkstations("WHERE (certificate_sha256 = :hash AND certificate_sha256 <> '') OR "
                           "(next_sha256 = :next AND next_sha256 <> '') OR "
                           "(former_sha256 = :former AND former_sha256 <> '')"),
        ToHex(sha256), ToHex(sha256), ToHex(sha256)));
  });
}

Result<void> SqlStore::AddWorkstation(const WorkstationRecord& record, const RegisterLimits& limits,
                                      const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<void> {
    const long long oldest = limits.pending_since;
    Execute(t.sql, "DELETE FROM workstations WHERE state = 'pending' AND created < :oldest",
            oldest);
    const long long since = limits.address_since;
    if (Unsigned(SelectNumber(t.sql,
                              "SELECT COUNT(*) FROM workstations WHERE address = :address AND "
                              "created >= :since",
                              record.address, since)) >= limits.per_address) {
      return Fail(ErrorCode::kRateLimited,
                  "Too many workstations were registered from this address; try again in an hour.");
    }
    if (Unsigned(
            SelectNumber(t.sql, "SELECT COUNT(*) FROM workstations WHERE state = 'pending'")) >=
        limits.pending) {
      return Fail(ErrorCode::kRateLimited,
                  "Too many workstations wait for approval; an administrator must decide on them "
                  "first.");
    }
    const std::string state = Name(WorkstationState::kPending), none;
    const std::string login_pub =
        record.login_noise_pub ? ToHex(*record.login_noise_pub) : std::string();
    const long long created = record.created, zero = 0;
    Execute(t.sql,
            "INSERT INTO workstations (workstation_id, name, os, version, fingerprint, state, "
            "address, csr_pem, deliver_noise_pub, login_noise_pub, poll_token_hash, created, "
            "last_seen, certificate_pem, certificate_sha256, deliver_cert, login_cert, "
            "host_certs_end, domain_name, computer) VALUES (:id, :name, :os, :version, "
            ":fingerprint, :state, :address, "
            ":csr, :deliver, :login, :token, :created, :seen, :pem, :sha256, :deliver_cert, "
            ":login_cert, :end, :domain, :computer)",
            record.id.Hex(), record.name, record.os, record.version, record.fingerprint, state,
            record.address, record.csr_pem, ToHex(record.deliver_noise_pub), login_pub,
            ToHex(record.poll_token_hash), created, zero, none, none, none, none, zero,
            record.domain, record.computer);
    AppendChained(t.sql, audit);
    return {};
  });
}

Result<void> SqlStore::ApproveWorkstation(const WorkstationRecord& record,
                                          const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<void> {
    const long long end = record.host_certs_end;
    if (Execute(t.sql,
                "UPDATE workstations SET state = 'approved', certificate_pem = :pem, "
                "certificate_sha256 = :sha256, deliver_cert = :deliver, login_cert = :login, "
                "host_certs_end = :end, computer_id = :computer WHERE workstation_id = :id AND "
                "state = 'pending'",
                record.certificate_pem, ToHex(record.certificate_sha256),
                ToBase64(record.deliver_cert), ToBase64(record.login_cert), end,
                WriteOptionalId(record.computer_id), record.id.Hex()) == 0) {
      return Fail(ErrorCode::kConflict, "This workstation is not waiting for approval.");
    }
    AppendChained(t.sql, audit);
    return {};
  });
}

Result<void> SqlStore::RevokeWorkstation(const WorkstationId& id, const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<void> {
    if (Execute(t.sql,
                "UPDATE workstations SET state = 'revoked' WHERE workstation_id = :id AND state <> "
                "'revoked'",
                id.Hex()) == 0) {
      return Fail(ErrorCode::kConflict, "This workstation is already revoked.");
    }
    AppendChained(t.sql, audit);
    return {};
  });
}

Result<void> SqlStore::CertifyLogin(const WorkstationRecord& record, const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<void> {
    if (Execute(t.sql,
                "UPDATE workstations SET login_noise_pub = :pub, login_cert = :cert, "
                "login_requested = '' WHERE workstation_id = :id AND state = 'approved'",
                ToHex(*record.login_noise_pub), ToBase64(record.login_cert),
                record.id.Hex()) == 0) {
      return Fail(ErrorCode::kConflict, "This workstation is not approved.");
    }
    AppendChained(t.sql, audit);
    return {};
  });
}

Result<void> SqlStore::RequestLogin(const WorkstationRecord& record, const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<void> {
    if (Execute(t.sql,
                "UPDATE workstations SET login_requested = :pub WHERE workstation_id = :id AND "
                "state = 'approved'",
                ToHex(*record.login_requested), record.id.Hex()) == 0) {
      return Fail(ErrorCode::kConflict, "This workstation is not approved.");
    }
    AppendChained(t.sql, audit);
    return {};
  });
}

Result<void> SqlStore::RenewHostCerts(const WorkstationRecord& record) {
  return database_.Write([&](Transaction& t) -> Result<void> {
    const long long end = record.host_certs_end;
    Execute(t.sql,
            "UPDATE workstations SET deliver_cert = :deliver, login_cert = :login, host_certs_end "
            "= :end WHERE workstation_id = :id AND state = 'approved'",
            ToBase64(record.deliver_cert), ToBase64(record.login_cert), end, record.id.Hex());
    return {};
  });
}

Result<void> SqlStore::OfferCertificate(const WorkstationRecord& record, const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<void> {
    if (Execute(t.sql,
                "UPDATE workstations SET next_pem = :pem, next_sha256 = :sha256, next_fingerprint "
                "= :fingerprint WHERE workstation_id = :id AND state = 'approved'",
                record.next_pem, ToHex(record.next_sha256), record.next_fingerprint,
                record.id.Hex()) == 0) {
      return Fail(ErrorCode::kConflict, "This workstation is not approved.");
    }
    AppendChained(t.sql, audit);
    return {};
  });
}

Result<void> SqlStore::PromoteCertificate(const WorkstationId& id, const Hash32& next,
                                          std::int64_t former_until, const AuditEntry& audit) {
  return database_.Write([&](Transaction& t) -> Result<void> {
    const long long until = former_until;
    if (Execute(t.sql,
                "UPDATE workstations SET former_sha256 = certificate_sha256, former_until = "
                ":until, certificate_pem = next_pem, certificate_sha256 = next_sha256, fingerprint "
                "= next_fingerprint, next_pem = '', next_sha256 = '', next_fingerprint = '' WHERE "
                "workstation_id = :id AND next_sha256 = :next AND state = 'approved'",
                until, id.Hex(), ToHex(next)) == 0) {
      t.commit = false;
      return {};
    }
    AppendChained(t.sql, audit);
    return {};
  });
}

Result<void> SqlStore::GreetWorkstation(const WorkstationId& id, std::int64_t time,
                                        std::string_view version, int protocol) {
  return database_.Write([&](Transaction& t) -> Result<void> {
    const long long now = time, number = protocol;
    const std::string text(version);
    Execute(t.sql,
            "UPDATE workstations SET last_seen = :now, version = :version, protocol = :protocol "
            "WHERE workstation_id = :id",
            now, text, number, id.Hex());
    return {};
  });
}

Result<void> SqlStore::TouchWorkstation(const WorkstationId& id, std::int64_t time) {
  return database_.Write([&](Transaction& t) -> Result<void> {
    const long long now = time;
    Execute(t.sql, "UPDATE workstations SET last_seen = :now WHERE workstation_id = :id", now,
            id.Hex());
    return {};
  });
}

}  // namespace keyferry::server
