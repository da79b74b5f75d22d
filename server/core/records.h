#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "protocol/result.h"
#include "server/core/changes.h"
#include "server/core/ids.h"
#include "server/core/keys.h"
#include "server/core/notice_records.h"
#include "server/core/session.h"
#include "server/core/sources.h"
#include "server/core/workstations.h"

// The rows that core keeps through the Store port. Plain data: times are Unix milliseconds unless a
// comment says seconds, 0 = not yet; nothing here can hold a password.
namespace keyferry::server {

using Bytes = std::vector<std::uint8_t>;
using Hash32 = std::array<std::uint8_t, 32>;

// One audit line before it is chained.
struct AuditEntry {
  std::int64_t time = 0;
  std::string actor;    // login, "system" or "workstation NAME"
  std::string action;   // "password.set" …
  std::string target;   // login, device id, workstation name
  std::string outcome;  // "ok" or a code
  std::string detail;   // a sentence
  std::string address;
  std::optional<NoticeDraft> notice{};  // whom to tell of it; no part of the line
};

struct ChangeRecord {
  ChangeId id;
  AccountId account;
  std::string login;
  AccountId actor;
  std::string actor_login;
  std::string address;
  std::string idempotency_key;
  Hash32 request_hash{};  // over the request without the password
  std::string reason;
  bool generated = true;
  bool must_change = false;
  bool unlock = true;
  ChangeMode mode = ChangeMode::kNow;
  ChangeState state = ChangeState::kIntent;
  std::string error;                            // a sentence, why it failed or what is unknown
  ErrorCode error_code = ErrorCode::kInternal;  // of a failed one, for who repeats the request
  std::string server;                           // pinned domain controller
  std::int64_t password_last_set = 0;           // there, before the attempt, raw ticks
  std::uint32_t password_version = 0;           // … of its replication metadata (PasswordStamp)
  std::int64_t server_time = 0;                 // … by its clock, Unix seconds, 0 = unknown
  std::string history_salt, history_hash;       // of a typed password (password_history.h)
  std::int64_t created = 0;
  std::int64_t attempted = 0;  // the write may have left from here on
  std::int64_t confirmed = 0;
  std::int64_t prepared = 0;  // at delivery: receipt of the HOLD
  std::int64_t expires = 0;   // at delivery: given up then if the key was not seen
  // A change before this one may have reached the directory, and its password is lost. Set by the
  // store when the change begins, taken back when it is confirmed. Set later, that one may have
  // written last (ChangeStore::MarkDoubt): only another change takes it away.
  bool doubt = false;
  std::string holder;  // at delivery, kHeld: which process has the password in its memory
  // The key that leads, and its job; the person's other keys have jobs of their own. At delivery it
  // is the one that is prepared, and the job zero, then the HOLD, then the COMMIT.
  DeviceId device;
  JobId job;
  // As planned, stored with the change; never read back here (SourceStore).
  std::vector<SourceRecord> sources;
};

struct JobRecord {
  JobId id;
  DeviceId device;
  EnrolmentId enrolment;  // of the key, when it was sealed: receipts chain within one enrolment
  AccountId account;
  ChangeId change;
  JobType type = JobType::kSet;
  std::string creator;  // login of who asked for it
  std::uint64_t seq = 0;
  std::uint64_t base_seq = 0;
  std::uint32_t epoch = 0;
  Bytes sealed;   // empty once it is of no use any more
  Hash32 hash{};  // SHA-256 of the whole sealed job
  JobState state = JobState::kHeld;
  std::string last_error;
  std::int64_t created = 0;
  std::int64_t queued = 0;
  std::int64_t handed = 0;  // first handed out: from here on a key may have accepted it
  std::int64_t spooled = 0;
  std::int64_t delivered = 0;
  std::int64_t used = 0;
  std::uint32_t attempts = 0;    // times offered to workstations
  std::int64_t next_try = 0;     // offered again from here on, unless its fate is known by then
  std::int64_t expires = 0;      // 0 = never: what the directory has must reach the key
  WorkstationId workstation;     // that spooled or delivered it
  std::string workstation_name;  // read only
  std::uint64_t receipt_ctr = 0;
  std::optional<Hash32> receipt_hash;
};

// What one key of the person gets from a change: the newest of its jobs there.
struct KeyJob {
  JobRecord job;
  bool in_use =
      true;  // the key is active or suspended in the enrolment that the job was sealed for
};

struct ChangeRow {
  ChangeRecord change;
  JobRecord job;             // change.job: of the key that leads, which `keys` has as well
  std::vector<KeyJob> keys;  // in the order in which they were first sealed for
};

// The server's side of an enrolled key. Everything after `record` comes from verified receipts.
struct KeyRecord {
  DeviceId device;
  EnrolmentId enrolment;
  AccountId account;
  std::string login;
  std::string display_name;
  KeyState state = KeyState::kActive;
  bool simulator = false;
  std::array<std::uint8_t, 65> sig_pub{};
  Bytes record;                // IssuerCert(161) ‖ Statement(325) ‖ EnrolGrant(204)
  std::uint64_t next_seq = 1;  // of the next job to be sealed
  std::uint32_t firmware = 0;
  bool pin_set = false;
  std::uint32_t epoch = 0;  // to seal to next
  std::array<std::uint8_t, 32> recipient_pub{};
  std::uint64_t last_seq = 0;
  std::uint64_t receipt_ctr = 0;
  Hash32 receipt_hash{};  // of the newest positive receipt, all 236 bytes
  std::int64_t enrolled = 0;
  std::int64_t last_seen = 0;
  std::string alarm;
  bool held = false;  // by the newest receipt there is a password in the pending slot
  std::string state_reason;
  std::int64_t wiped = 0;  // receipt of the WIPE
  // The database was put back from a backup then, and the key has not told since how it stands:
  // nothing is sealed for it or handed out. 0 = it has.
  std::int64_t restored = 0;
  // Numbers up to this one may have been given out in a time that a restore has lost; 0 = none.
  std::uint64_t lost_until = 0;
  std::string note;  // a sentence about its password, until the key gets another; may be empty
};

// One time that the database was put back from a backup.
struct RestoreRecord {
  std::int64_t time = 0;
  std::int64_t backup_time = 0;    // when the backup was made, 0 = unknown
  std::uint64_t audit_number = 0;  // last row of the audit log in the backup
};

// What a key said of itself in a signed refusal, after a restore.
struct LearnedKey {
  DeviceId device;
  EnrolmentId enrolment;
  JobId probe;
  std::uint64_t expected_ctr = 0;  // keys.receipt_ctr as core saw it when it judged
  std::uint64_t receipt_ctr = 0;
  Hash32 receipt_hash{};
  std::uint64_t seq = 0;
  std::uint32_t epoch = 0;
  std::array<std::uint8_t, 32> recipient_pub{};
  std::uint32_t firmware = 0;
  bool pin_set = false;
  bool held = false;
  std::string note;
};

struct EnrolmentRecord {
  EnrolmentId id;
  DeviceId device;
  AccountId account;
  std::string login;
  std::string display_name;
  WorkstationId workstation;
  EnrolmentState state = EnrolmentState::kWaiting;
  std::string error;
  std::string actor_login;
  DeviceId replaces;         // the key of the account whose place it takes; zero = none
  Bytes enrol_cert;          // HostCert with role ENROLL
  Bytes begin;               // body of ENROLL_BEGIN, 258
  Hash32 activation_hash{};  // the code itself is never stored
  Bytes statement;           // 325, from kGranted on
  Bytes grant;               // 204, from kGranted on
  bool simulator = false;
  std::int64_t created = 0;
  std::int64_t expires = 0;
};

struct WorkstationRecord {
  WorkstationId id;
  std::string name, os, version;
  std::string fingerprint;
  WorkstationState state = WorkstationState::kPending;
  std::string address;
  std::string csr_pem;
  std::array<std::uint8_t, 32> deliver_noise_pub{};
  std::optional<std::array<std::uint8_t, 32>> login_noise_pub;
  Hash32 poll_token_hash{};
  std::int64_t created = 0;
  std::int64_t last_seen = 0;
  // From approval on.
  std::string certificate_pem;
  Hash32 certificate_sha256{};
  Bytes deliver_cert;
  Bytes login_cert;
  std::int64_t host_certs_end = 0;  // Unix seconds
  // A hop key whose possession was proven, other than login_noise_pub: waits for an administrator.
  std::optional<std::array<std::uint8_t, 32>> login_requested;
  // What it said of itself: the domain it is joined to (DNS name) and its computer account there,
  // both empty when it is in none.
  std::string domain, computer;
  AccountId computer_id;  // of the account, once approved by it; else zero
  int protocol = 1;       // of docs/workstation-api.md, when it last connected
  // The TLS certificate that takes the present one's place with its first use.
  std::string next_pem, next_fingerprint;
  Hash32 next_sha256{};
  Hash32 former_sha256{};         // the one before …
  std::int64_t former_until = 0;  // … is good until then, Unix seconds
};

struct StoredSession {
  Hash32 token_hash{};
  Session session;  // times in Unix seconds
};

// A token of the API.
struct TokenRecord {
  TokenId id;
  std::string name;
  Hash32 hash{};        // of the token
  std::string scopes;   // names, one blank between two
  AccountId owner;      // who made it; zero = made on the server's console
  std::string creator;  // their login
  std::int64_t created = 0;
  std::int64_t expires = 0;
  std::int64_t last_used = 0;
  std::string last_address;
  std::int64_t revoked = 0;
  std::string revoked_by;
};

// A request with an idempotency key (request_journal.h).
struct RequestRecord {
  std::string principal;
  Hash32 key{};      // of the idempotency key
  Hash32 request{};  // of method, address and body
  std::int64_t begun = 0;
};
struct StoredAnswer {
  int status = 0;  // 0 = none yet
  std::string content_type;
  Bytes sealed;
};

// Failed sign-ins of one account, name or address.
struct FailureCount {
  std::uint32_t failures = 0;
  std::int64_t first = 0;          // of this run
  std::int64_t blocked_until = 0;  // 0 = not blocked
};

// A positive receipt, verified by core, ready to be taken in.
struct ReceiptUpdate {
  DeviceId device;
  EnrolmentId enrolment;
  std::uint64_t expected_ctr = 0;  // keys.receipt_ctr as core saw it when it judged
  std::uint64_t receipt_ctr = 0;
  std::uint64_t seq = 0;
  std::uint32_t epoch = 0;
  std::array<std::uint8_t, 32> recipient_pub{};
  std::uint32_t firmware = 0;
  bool pin_set = false;
  bool held = false;
  bool wiped = false;
  Hash32 hash{};
  Bytes receipt;
  JobId job;
  WorkstationId workstation;
  std::int64_t time = 0;
  bool late = false;  // older than the newest held: job and journal only, the key's row stands
};

// What a signed negative receipt changes.
struct RefusalUpdate {
  JobId job;
  std::string reason;   // a sentence
  bool give_up = true;  // false: keep the job, note the reason
  // From a negative receipt newer than all that the server holds: what to seal to next.
  struct Reseal {
    std::uint64_t expected_ctr = 0;
    std::uint64_t seq = 0;
    std::uint32_t epoch = 0;
    std::array<std::uint8_t, 32> recipient_pub{};
  };
  std::optional<Reseal> reseal;
  DeviceId device;
  WorkstationId workstation;
  std::int64_t time = 0;
};

}  // namespace keyferry::server
