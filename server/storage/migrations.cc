#include "server/storage/migrations.h"

#include <string>
#include <vector>

#include "server/storage/rows.h"

namespace keyferry::server {
namespace {

struct Migration {
  const char* name;
  std::vector<const char*> statements;  // @ID@ = a growing primary key
};

// Never edited after a release: a change is a new entry at the end.
const std::vector<Migration>& Migrations() {
  static const std::vector<Migration> migrations = {
      {"first schema",
       {
           R"(CREATE TABLE audit (
  number BIGINT NOT NULL PRIMARY KEY, time BIGINT NOT NULL, actor TEXT NOT NULL,
  action TEXT NOT NULL, target TEXT NOT NULL, outcome TEXT NOT NULL, detail TEXT NOT NULL,
  address TEXT NOT NULL, previous TEXT NOT NULL, hash TEXT NOT NULL))",
           R"(CREATE TABLE audit_head (
  id BIGINT NOT NULL PRIMARY KEY, number BIGINT NOT NULL, hash TEXT NOT NULL))",
           R"(INSERT INTO audit_head (id, number, hash) VALUES (1, 0,
  '0000000000000000000000000000000000000000000000000000000000000000'))",

           R"(CREATE TABLE enrolments (
  number @ID@, enrolment_id TEXT NOT NULL UNIQUE, device_id TEXT NOT NULL,
  account_id TEXT NOT NULL, login TEXT NOT NULL, display_name TEXT NOT NULL,
  workstation_id TEXT NOT NULL, state TEXT NOT NULL, error TEXT NOT NULL,
  actor_login TEXT NOT NULL, enrol_cert TEXT NOT NULL, begin_body TEXT NOT NULL,
  activation_hash TEXT NOT NULL, statement TEXT NOT NULL, grant_bytes TEXT NOT NULL,
  simulator BIGINT NOT NULL, created BIGINT NOT NULL, expires BIGINT NOT NULL))",
           R"(CREATE INDEX enrolments_open ON enrolments (expires)
  WHERE state IN ('waiting', 'granted'))",

           R"(CREATE TABLE device_keys (
  device_id TEXT NOT NULL PRIMARY KEY,
  enrolment_id TEXT NOT NULL REFERENCES enrolments (enrolment_id),
  account_id TEXT NOT NULL, login TEXT NOT NULL, display_name TEXT NOT NULL,
  state TEXT NOT NULL, simulator BIGINT NOT NULL, sig_pub TEXT NOT NULL, record TEXT NOT NULL,
  next_seq BIGINT NOT NULL, firmware BIGINT NOT NULL, pin_set BIGINT NOT NULL,
  epoch BIGINT NOT NULL, recipient_pub TEXT NOT NULL, last_seq BIGINT NOT NULL,
  receipt_ctr BIGINT NOT NULL, receipt_hash TEXT NOT NULL, enrolled BIGINT NOT NULL,
  last_seen BIGINT NOT NULL, alarm TEXT NOT NULL))",
           "CREATE INDEX device_keys_account ON device_keys (account_id)",

           R"(CREATE TABLE changes (
  number @ID@, change_id TEXT NOT NULL UNIQUE, account_id TEXT NOT NULL, login TEXT NOT NULL,
  actor_id TEXT NOT NULL, actor_login TEXT NOT NULL, address TEXT NOT NULL,
  idempotency_key TEXT NOT NULL, request_hash TEXT NOT NULL, reason TEXT NOT NULL,
  generated BIGINT NOT NULL, must_change BIGINT NOT NULL, unlock_account BIGINT NOT NULL,
  state TEXT NOT NULL, error TEXT NOT NULL, error_code TEXT NOT NULL, server TEXT NOT NULL,
  password_last_set BIGINT NOT NULL, created BIGINT NOT NULL, attempted BIGINT NOT NULL,
  confirmed BIGINT NOT NULL, device_id TEXT NOT NULL, job_id TEXT NOT NULL,
  UNIQUE (actor_id, idempotency_key)))",
           // One open change an account, whatever the number of threads and servers.
           R"(CREATE UNIQUE INDEX changes_open ON changes (account_id)
  WHERE state IN ('intent', 'held', 'attempt', 'unknown'))",
           "CREATE INDEX changes_account ON changes (account_id, number)",

           R"(CREATE TABLE jobs (
  number @ID@, job_id TEXT NOT NULL UNIQUE, device_id TEXT NOT NULL,
  enrolment_id TEXT NOT NULL REFERENCES enrolments (enrolment_id), account_id TEXT NOT NULL,
  change_id TEXT REFERENCES changes (change_id), seq BIGINT NOT NULL, base_seq BIGINT NOT NULL,
  epoch BIGINT NOT NULL, sealed TEXT NOT NULL, hash TEXT NOT NULL, state TEXT NOT NULL,
  last_error TEXT NOT NULL, created BIGINT NOT NULL, queued BIGINT NOT NULL,
  handed BIGINT NOT NULL, spooled BIGINT NOT NULL, delivered BIGINT NOT NULL,
  used BIGINT NOT NULL, workstation_id TEXT NOT NULL, receipt_ctr BIGINT NOT NULL,
  receipt_hash TEXT NOT NULL, UNIQUE (enrolment_id, seq)))",
           "CREATE UNIQUE INDEX jobs_hash ON jobs (enrolment_id, hash)",
           R"(CREATE INDEX jobs_open ON jobs (device_id, seq) WHERE state IN ('ready', 'spooled'))",
           R"(CREATE INDEX jobs_unanswered ON jobs (enrolment_id, seq)
  WHERE handed > 0 AND receipt_ctr = 0 AND state <> 'refused')",

           R"(CREATE TABLE receipts (
  number @ID@, enrolment_id TEXT NOT NULL REFERENCES enrolments (enrolment_id),
  receipt_ctr BIGINT NOT NULL, device_id TEXT NOT NULL, job_id TEXT NOT NULL,
  hash TEXT NOT NULL, receipt TEXT NOT NULL, workstation_id TEXT NOT NULL,
  received BIGINT NOT NULL, UNIQUE (enrolment_id, receipt_ctr)))",

           R"(CREATE TABLE workstations (
  number @ID@, workstation_id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, os TEXT NOT NULL,
  version TEXT NOT NULL, fingerprint TEXT NOT NULL, state TEXT NOT NULL,
  address TEXT NOT NULL, csr_pem TEXT NOT NULL, deliver_noise_pub TEXT NOT NULL,
  login_noise_pub TEXT NOT NULL, poll_token_hash TEXT NOT NULL, created BIGINT NOT NULL,
  last_seen BIGINT NOT NULL, certificate_pem TEXT NOT NULL, certificate_sha256 TEXT NOT NULL,
  deliver_cert TEXT NOT NULL, login_cert TEXT NOT NULL, host_certs_end BIGINT NOT NULL))",
           R"(CREATE UNIQUE INDEX workstations_certificate ON workstations (certificate_sha256)
  WHERE certificate_sha256 <> '')",
           "CREATE INDEX workstations_pending ON workstations (created) WHERE state = 'pending'",
           "CREATE INDEX workstations_address ON workstations (address, created)",

           R"(CREATE TABLE sessions (
  token_hash TEXT NOT NULL PRIMARY KEY, actor_id TEXT NOT NULL, login TEXT NOT NULL,
  display_name TEXT NOT NULL, role BIGINT NOT NULL, csrf TEXT NOT NULL,
  created BIGINT NOT NULL, expires BIGINT NOT NULL, idle_until BIGINT NOT NULL))",
           "CREATE INDEX sessions_idle ON sessions (idle_until)",

           R"(CREATE TABLE failures (
  counter TEXT NOT NULL PRIMARY KEY, failures BIGINT NOT NULL, first BIGINT NOT NULL,
  blocked_until BIGINT NOT NULL, forget_after BIGINT NOT NULL))",
           "CREATE INDEX failures_forget ON failures (forget_after)",
       }},
      {"evidence and history",
       {
           "ALTER TABLE changes ADD COLUMN password_version BIGINT NOT NULL DEFAULT 0",
           "ALTER TABLE changes ADD COLUMN server_time BIGINT NOT NULL DEFAULT 0",
           "ALTER TABLE changes ADD COLUMN history_salt TEXT NOT NULL DEFAULT ''",
           "ALTER TABLE changes ADD COLUMN history_hash TEXT NOT NULL DEFAULT ''",
           "CREATE INDEX changes_typed ON changes (account_id, number) WHERE history_hash <> ''",
       }},
      {"login agents that come later",
       {
           "ALTER TABLE workstations ADD COLUMN login_requested TEXT NOT NULL DEFAULT ''",
       }},
      {"changes at delivery",
       {
           "ALTER TABLE changes ADD COLUMN mode TEXT NOT NULL DEFAULT 'now'",
           "ALTER TABLE changes ADD COLUMN prepared BIGINT NOT NULL DEFAULT 0",
           "ALTER TABLE changes ADD COLUMN expires BIGINT NOT NULL DEFAULT 0",
           "ALTER TABLE changes ADD COLUMN doubt BIGINT NOT NULL DEFAULT 0",
           "ALTER TABLE changes ADD COLUMN holder TEXT NOT NULL DEFAULT ''",
           "ALTER TABLE jobs ADD COLUMN type TEXT NOT NULL DEFAULT 'set'",
           "ALTER TABLE jobs ADD COLUMN creator TEXT NOT NULL DEFAULT ''",
           "ALTER TABLE jobs ADD COLUMN attempts BIGINT NOT NULL DEFAULT 0",
           "ALTER TABLE jobs ADD COLUMN next_try BIGINT NOT NULL DEFAULT 0",
           "ALTER TABLE jobs ADD COLUMN expires BIGINT NOT NULL DEFAULT 0",
           "ALTER TABLE device_keys ADD COLUMN held BIGINT NOT NULL DEFAULT 0",
           R"(CREATE INDEX jobs_next_try ON jobs (next_try)
  WHERE state IN ('ready', 'spooled') AND next_try > 0)",
           "CREATE INDEX jobs_change ON jobs (change_id)",
           "CREATE INDEX device_keys_held ON device_keys (device_id) WHERE held <> 0",
       }},
      {"several servers",
       {
           "ALTER TABLE changes ADD COLUMN owner TEXT NOT NULL DEFAULT ''",
           R"(CREATE TABLE organisation (
  id BIGINT NOT NULL PRIMARY KEY, root_pub TEXT NOT NULL))",
           R"(CREATE TABLE nodes (
  node_id TEXT NOT NULL PRIMARY KEY, name TEXT NOT NULL, shared TEXT NOT NULL,
  alive_until BIGINT NOT NULL))",
           R"(CREATE TABLE presence (
  workstation_id TEXT NOT NULL PRIMARY KEY, node_id TEXT NOT NULL, seat TEXT NOT NULL))",
           R"(CREATE TABLE events (
  number @ID@, node_id TEXT NOT NULL, topic TEXT NOT NULL, name TEXT NOT NULL,
  data TEXT NOT NULL, created BIGINT NOT NULL))",
           "CREATE INDEX jobs_queued ON jobs (queued) WHERE state = 'ready'",
       }},
      {"workstations of a domain, new certificates, audit retention",
       {
           "ALTER TABLE workstations ADD COLUMN domain_name TEXT NOT NULL DEFAULT ''",
           "ALTER TABLE workstations ADD COLUMN computer TEXT NOT NULL DEFAULT ''",
           "ALTER TABLE workstations ADD COLUMN computer_id TEXT NOT NULL DEFAULT ''",
           "ALTER TABLE workstations ADD COLUMN protocol BIGINT NOT NULL DEFAULT 1",
           "ALTER TABLE workstations ADD COLUMN next_pem TEXT NOT NULL DEFAULT ''",
           "ALTER TABLE workstations ADD COLUMN next_sha256 TEXT NOT NULL DEFAULT ''",
           "ALTER TABLE workstations ADD COLUMN next_fingerprint TEXT NOT NULL DEFAULT ''",
           "ALTER TABLE workstations ADD COLUMN former_sha256 TEXT NOT NULL DEFAULT ''",
           "ALTER TABLE workstations ADD COLUMN former_until BIGINT NOT NULL DEFAULT 0",
           R"(CREATE INDEX workstations_next ON workstations (next_sha256)
  WHERE next_sha256 <> '')",
           R"(CREATE INDEX workstations_former ON workstations (former_sha256)
  WHERE former_sha256 <> '')",
           R"(CREATE TABLE audit_cuts (
  number BIGINT NOT NULL PRIMARY KEY, hash TEXT NOT NULL, time BIGINT NOT NULL,
  key_id TEXT NOT NULL, signature TEXT NOT NULL))",
       }},
      {"life of keys",
       {
           "ALTER TABLE device_keys ADD COLUMN state_reason TEXT NOT NULL DEFAULT ''",
           "ALTER TABLE device_keys ADD COLUMN wiped BIGINT NOT NULL DEFAULT 0",
       }},
      {"restores, rotation, mail",
       {
           "ALTER TABLE device_keys ADD COLUMN restored BIGINT NOT NULL DEFAULT 0",
           "ALTER TABLE device_keys ADD COLUMN lost_until BIGINT NOT NULL DEFAULT 0",
           "ALTER TABLE device_keys ADD COLUMN note TEXT NOT NULL DEFAULT ''",
           "ALTER TABLE organisation ADD COLUMN audit_pub TEXT NOT NULL DEFAULT ''",
           R"(CREATE TABLE restores (
  number @ID@, time BIGINT NOT NULL, backup_time BIGINT NOT NULL, audit_number BIGINT NOT NULL))",
           R"(CREATE TABLE leases (
  name TEXT NOT NULL PRIMARY KEY, holder TEXT NOT NULL, held_until BIGINT NOT NULL,
  position BIGINT NOT NULL))",
           R"(CREATE TABLE policies (
  number @ID@, policy_id TEXT NOT NULL UNIQUE, name TEXT NOT NULL UNIQUE, group_dn TEXT NOT NULL,
  max_age_days BIGINT NOT NULL, window_from BIGINT NOT NULL, window_until BIGINT NOT NULL,
  notify_days TEXT NOT NULL, enabled BIGINT NOT NULL, created BIGINT NOT NULL,
  last_run BIGINT NOT NULL, last_result TEXT NOT NULL))",
           R"(CREATE TABLE mails (
  number @ID@, mark TEXT NOT NULL UNIQUE, recipient TEXT NOT NULL, subject TEXT NOT NULL,
  body TEXT NOT NULL, state TEXT NOT NULL, attempts BIGINT NOT NULL, created BIGINT NOT NULL,
  next_try BIGINT NOT NULL, sent BIGINT NOT NULL, last_error TEXT NOT NULL))",
           "CREATE INDEX mails_due ON mails (next_try) WHERE state = 'queued'",
       }},
      {"tokens of the API, repeated requests",
       {
           R"(CREATE TABLE api_tokens (
  number @ID@, token_id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, token_hash TEXT NOT NULL UNIQUE,
  scopes TEXT NOT NULL, owner_id TEXT NOT NULL, creator TEXT NOT NULL, created BIGINT NOT NULL,
  expires BIGINT NOT NULL, last_used BIGINT NOT NULL, last_address TEXT NOT NULL,
  revoked BIGINT NOT NULL, revoked_by TEXT NOT NULL))",
           "CREATE UNIQUE INDEX api_tokens_name ON api_tokens (name) WHERE revoked = 0",
           R"(CREATE TABLE api_requests (
  principal TEXT NOT NULL, key_hash TEXT NOT NULL, request_hash TEXT NOT NULL,
  begun BIGINT NOT NULL, status BIGINT NOT NULL, content_type TEXT NOT NULL,
  sealed TEXT NOT NULL, PRIMARY KEY (principal, key_hash)))",
           "CREATE INDEX api_requests_begun ON api_requests (begun)",
       }},
      {"several password sources",
       {
           R"(CREATE TABLE change_sources (
  number @ID@, change_id TEXT NOT NULL, name TEXT NOT NULL, account_id TEXT NOT NULL,
  login TEXT NOT NULL, dn TEXT NOT NULL, state TEXT NOT NULL, error TEXT NOT NULL,
  error_code TEXT NOT NULL, server TEXT NOT NULL, password_last_set BIGINT NOT NULL,
  password_version BIGINT NOT NULL, server_time BIGINT NOT NULL, attempted BIGINT NOT NULL,
  confirmed BIGINT NOT NULL, UNIQUE (change_id, name)))",
           R"(CREATE INDEX change_sources_open ON change_sources (number)
  WHERE state IN ('planned', 'attempt', 'unknown'))",
       }},
      {"several keys a person",
       {
           "ALTER TABLE enrolments ADD COLUMN replaces TEXT NOT NULL DEFAULT ''",
       }},
      {"what was noticed last",
       {
           "CREATE TABLE noticed (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL)",
       }},
      {"help desk",
       {
           R"(CREATE TABLE help_desk_requests (
  number @ID@, request_id TEXT NOT NULL UNIQUE, agent_id TEXT NOT NULL, agent_login TEXT NOT NULL,
  account_id TEXT NOT NULL, login TEXT NOT NULL, display_name TEXT NOT NULL,
  process TEXT NOT NULL, reason TEXT NOT NULL, ticket TEXT NOT NULL, state TEXT NOT NULL,
  error TEXT NOT NULL, privileged BIGINT NOT NULL, change_id TEXT NOT NULL, acts BIGINT NOT NULL,
  version BIGINT NOT NULL, opened BIGINT NOT NULL, expires BIGINT NOT NULL,
  acted BIGINT NOT NULL, closed BIGINT NOT NULL))",
           // One open request a person, whatever the number of agents and servers.
           R"(CREATE UNIQUE INDEX help_desk_open ON help_desk_requests (account_id)
  WHERE state IN ('identified', 'verifying', 'verified', 'acting', 'acted'))",
           "CREATE INDEX help_desk_account ON help_desk_requests (account_id, process)",
           R"(CREATE INDEX help_desk_agent ON help_desk_requests (agent_id)
  WHERE state IN ('identified', 'verifying', 'verified', 'acting', 'acted'))",
           R"(CREATE TABLE help_desk_attempts (
  number @ID@, request_id TEXT NOT NULL, method TEXT NOT NULL, state TEXT NOT NULL,
  salt TEXT NOT NULL, code_hash TEXT NOT NULL, created BIGINT NOT NULL,
  expires BIGINT NOT NULL))",
           "CREATE INDEX help_desk_attempts_request ON help_desk_attempts (request_id)",
       }},
      {"second factors, sessions that are checked",
       {
           // Who is signed in proves the second factor first.
           "DELETE FROM sessions",
           "ALTER TABLE sessions ADD COLUMN session_id TEXT NOT NULL DEFAULT ''",
           "ALTER TABLE sessions ADD COLUMN stage BIGINT NOT NULL DEFAULT 0",
           "ALTER TABLE sessions ADD COLUMN proven BIGINT NOT NULL DEFAULT 0",
           "ALTER TABLE sessions ADD COLUMN checked BIGINT NOT NULL DEFAULT 0",
           "ALTER TABLE sessions ADD COLUMN asked BIGINT NOT NULL DEFAULT 0",
           "ALTER TABLE sessions ADD COLUMN address TEXT NOT NULL DEFAULT ''",
           "ALTER TABLE sessions ADD COLUMN browser TEXT NOT NULL DEFAULT ''",
           "CREATE INDEX sessions_actor ON sessions (actor_id)",
           R"(CREATE TABLE factors (
  account_id TEXT NOT NULL PRIMARY KEY, login TEXT NOT NULL, sealed TEXT NOT NULL,
  created BIGINT NOT NULL, confirmed BIGINT NOT NULL, last_step BIGINT NOT NULL,
  recovery_salt TEXT NOT NULL))",
           R"(CREATE TABLE recovery_codes (
  account_id TEXT NOT NULL, code_hash TEXT NOT NULL, PRIMARY KEY (account_id, code_hash)))",
       }},
      {"reports",
       {
           R"(CREATE INDEX changes_pending ON changes (number)
  WHERE state IN ('intent', 'held', 'attempt', 'unknown', 'confirmed'))",
           "CREATE INDEX changes_confirmed ON changes (confirmed) WHERE confirmed > 0",
           R"(CREATE INDEX audit_wrong_verification ON audit (time)
  WHERE action = 'help_desk.verify' AND outcome = 'wrong')",
           "CREATE INDEX device_keys_name ON device_keys (display_name, device_id)",
           "CREATE INDEX device_keys_state ON device_keys (state, display_name, device_id)",
           R"(CREATE INDEX device_keys_alarm ON device_keys (display_name, device_id)
  WHERE alarm <> '')",
           "CREATE INDEX workstations_state ON workstations (state, number)",
           "CREATE INDEX help_desk_opened ON help_desk_requests (opened, process, state)",
       }},
      {"searching the audit log, blocked people",
       {
           "CREATE INDEX audit_time ON audit (time, number)",
           R"(CREATE TABLE audit_filters (
  filter_id TEXT NOT NULL PRIMARY KEY, owner_id TEXT NOT NULL, name TEXT NOT NULL,
  query TEXT NOT NULL, UNIQUE (owner_id, name)))",
           R"(CREATE TABLE blocked_people (
  number @ID@, account_id TEXT NOT NULL, blocked BIGINT NOT NULL))",
           "CREATE INDEX blocked_people_time ON blocked_people (blocked, account_id)",
           R"(CREATE TABLE warnings (
  number @ID@, warning_id TEXT NOT NULL UNIQUE, people BIGINT NOT NULL, since BIGINT NOT NULL,
  raised BIGINT NOT NULL, acknowledged BIGINT NOT NULL, acknowledged_by TEXT NOT NULL,
  standing BIGINT NOT NULL))",
           "CREATE UNIQUE INDEX warnings_standing ON warnings (standing) WHERE standing = 1",
       }},
      {"four eyes, resets of one agent",
       {
           R"(CREATE TABLE approvals (
  number @ID@, approval_id TEXT NOT NULL UNIQUE, action TEXT NOT NULL, account_id TEXT NOT NULL,
  login TEXT NOT NULL, display_name TEXT NOT NULL, asker_id TEXT NOT NULL,
  asker_login TEXT NOT NULL, reason TEXT NOT NULL, facts TEXT NOT NULL, why TEXT NOT NULL,
  hash TEXT NOT NULL, state TEXT NOT NULL, approver_id TEXT NOT NULL,
  approver_login TEXT NOT NULL, answer TEXT NOT NULL, version BIGINT NOT NULL,
  created BIGINT NOT NULL, expires BIGINT NOT NULL, decided BIGINT NOT NULL,
  used BIGINT NOT NULL))",
           // One at a time of an asker for a person and an action, whatever is asked exactly.
           R"(CREATE UNIQUE INDEX approvals_live ON approvals (asker_id, account_id, action)
  WHERE state IN ('open', 'approved'))",
           "CREATE INDEX approvals_created ON approvals (created)",
           "CREATE INDEX changes_actor ON changes (actor_id, created)",
       }},
      {"the alarm",
       {
           R"(CREATE TABLE alarms (
  number @ID@, version BIGINT NOT NULL, raised_by TEXT NOT NULL, raised_login TEXT NOT NULL,
  raised BIGINT NOT NULL, reason TEXT NOT NULL, agreed_by TEXT NOT NULL,
  agreed_login TEXT NOT NULL, agreed BIGINT NOT NULL, ended_login TEXT NOT NULL,
  ended BIGINT NOT NULL))",
           // One stands at a time, whatever the number of servers.
           "CREATE UNIQUE INDEX alarms_standing ON alarms (ended) WHERE ended = 0",
       }},
      {"webhooks",
       {
           R"(CREATE TABLE webhooks (
  number @ID@, webhook_id TEXT NOT NULL UNIQUE, mark TEXT NOT NULL, place TEXT NOT NULL,
  ticket TEXT NOT NULL, outcome TEXT NOT NULL, body TEXT NOT NULL, state TEXT NOT NULL,
  attempts BIGINT NOT NULL, created BIGINT NOT NULL, since BIGINT NOT NULL,
  next_try BIGINT NOT NULL, sent BIGINT NOT NULL, last_error TEXT NOT NULL))",
           "CREATE INDEX webhooks_due ON webhooks (mark, next_try) WHERE state = 'queued'",
           "CREATE INDEX webhooks_created ON webhooks (created)",
       }},
      {"help desk: what to do, by mail",
       {
           "ALTER TABLE help_desk_requests ADD COLUMN mailed BIGINT NOT NULL DEFAULT 0",
       }},
      {"FIDO2 keys",
       {
           "ALTER TABLE factors ADD COLUMN app BIGINT NOT NULL DEFAULT 0",
           "UPDATE factors SET app = confirmed",
           "ALTER TABLE sessions ADD COLUMN challenge TEXT NOT NULL DEFAULT ''",
           "ALTER TABLE sessions ADD COLUMN challenge_until BIGINT NOT NULL DEFAULT 0",
           R"(CREATE TABLE fido_keys (
  key_id TEXT NOT NULL PRIMARY KEY, account_id TEXT NOT NULL, name TEXT NOT NULL,
  credential_hash TEXT NOT NULL UNIQUE, credential TEXT NOT NULL, algorithm BIGINT NOT NULL,
  public_key TEXT NOT NULL, counter BIGINT NOT NULL, transports TEXT NOT NULL,
  created BIGINT NOT NULL, used BIGINT NOT NULL, suspect BIGINT NOT NULL))",
           "CREATE INDEX fido_keys_account ON fido_keys (account_id, created)",
       }},
      {"the touch of a caller's key",
       {
           "ALTER TABLE help_desk_attempts ADD COLUMN challenge TEXT NOT NULL DEFAULT ''",
           "ALTER TABLE help_desk_attempts ADD COLUMN read_out TEXT NOT NULL DEFAULT ''",
           "ALTER TABLE help_desk_attempts ADD COLUMN asked_by TEXT NOT NULL DEFAULT ''",
           "ALTER TABLE help_desk_attempts ADD COLUMN denied BIGINT NOT NULL DEFAULT 0",
       }},
      {"notices",
       {
           R"(CREATE TABLE notices (
  number BIGINT NOT NULL PRIMARY KEY, kind TEXT NOT NULL, account_id TEXT NOT NULL,
  login TEXT NOT NULL, actor_id TEXT NOT NULL, done_by TEXT NOT NULL, address TEXT NOT NULL,
  device_id TEXT NOT NULL, reason TEXT NOT NULL, created BIGINT NOT NULL, person TEXT NOT NULL,
  manager TEXT NOT NULL, attempts BIGINT NOT NULL, next_try BIGINT NOT NULL,
  mailed BIGINT NOT NULL, last_error TEXT NOT NULL, objected BIGINT NOT NULL,
  objected_from TEXT NOT NULL, lifted BIGINT NOT NULL, lifted_by TEXT NOT NULL))",
           R"(CREATE INDEX notices_due ON notices (next_try)
  WHERE person = 'waiting' OR manager = 'waiting')",
           "CREATE INDEX notices_account ON notices (account_id, number)",
           "CREATE INDEX notices_standing ON notices (account_id) WHERE objected > 0 AND lifted = "
           "0",
           "CREATE INDEX notices_created ON notices (created)",
       }},
      {"the word of a caller's manager",
       {
           "ALTER TABLE help_desk_attempts ADD COLUMN approver_id TEXT NOT NULL DEFAULT ''",
       }},
      {"codes by SMS",
       {
           "CREATE INDEX help_desk_attempts_sms ON help_desk_attempts (created) WHERE method = "
           "'sms_code'",
       }},
      {"security questions",
       {
           R"(CREATE TABLE security_answers (
  account_id TEXT NOT NULL, question TEXT NOT NULL, salt TEXT NOT NULL, sealed TEXT NOT NULL,
  created BIGINT NOT NULL, PRIMARY KEY (account_id, question)))",
       }},
      {"notices by SMS",
       {
           "ALTER TABLE notices ADD COLUMN sms TEXT NOT NULL DEFAULT 'none'",
           "DROP INDEX notices_due",
           R"(CREATE INDEX notices_due ON notices (next_try)
  WHERE person = 'waiting' OR manager = 'waiting' OR sms = 'waiting')",
       }},
  };
  return migrations;
}

std::string WithGrowingId(std::string statement, const char* type) {
  const std::string token = "@ID@";
  const std::size_t at = statement.find(token);
  if (at != std::string::npos) statement.replace(at, token.size(), type);
  return statement;
}

}  // namespace

Result<void> Migrate(Database& database) {
  auto present = database.Write([](Transaction& transaction) -> Result<long long> {
    transaction.sql << "CREATE TABLE IF NOT EXISTS migrations (number BIGINT NOT NULL PRIMARY KEY, "
                       "name TEXT NOT NULL)";
    return SelectNumber(transaction.sql, "SELECT COALESCE(MAX(number), 0) FROM migrations");
  });
  if (!present) return tl::unexpected(present.error());
  const auto count = static_cast<long long>(Migrations().size());
  if (*present > count) {
    return Fail(ErrorCode::kUnsupported,
                "The database was made by a newer server; run that version, or restore a backup "
                "of this one.",
                "migration " + std::to_string(*present));
  }
  for (long long number = *present + 1; number <= count; ++number) {
    const Migration& migration = Migrations()[static_cast<std::size_t>(number - 1)];
    auto done = database.Write([&](Transaction& transaction) -> Result<void> {
      // Another server may have been quicker.
      if (SelectNumber(transaction.sql, "SELECT COALESCE(MAX(number), 0) FROM migrations") >=
          number) {
        transaction.commit = false;
        return {};
      }
      for (const char* statement : migration.statements) {
        transaction.sql << WithGrowingId(statement, database.backend().GrowingId());
      }
      const std::string name = migration.name;
      Execute(transaction.sql, "INSERT INTO migrations (number, name) VALUES (:number, :name)",
              number, name);
      return {};
    });
    if (!done) return done;
  }
  return {};
}

}  // namespace keyferry::server
