#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/result.h"
#include "protocol/secure/secure_bytes.h"
#include "server/core/ids.h"
#include "server/core/session.h"
#include "server/core/sources.h"

namespace keyferry::server {

// When the directory gets the new password.
enum class ChangeMode {
  kNow,         // at once; the key follows when it is seen
  kAtDelivery,  // only once the key has proved that it holds it as well (rotation)
};

// The change saga's states, as stored and shown. Terminal: kDone … kSuperseded.
enum class ChangeState {
  kIntent,  // durable request, nothing happened yet; at delivery: waits for the key
  kHeld,    // at delivery: a password is sealed for the key's pending slot, the directory not asked
  kAttempt,     // the request to the directory may have left
  kConfirmed,   // the directory has the new password; the job is ready or on its way
  kDone,        // the key proved that it stored it
  kFailed,      // nothing was changed in the directory (reason in error)
  kUnknown,     // the directory could not say; the reconciler goes on asking
  kSuperseded,  // a newer change took over
};

// What a sealed job does on the key (protocol/PROTOCOL.md section 2).
enum class JobType {
  kSet,     // the password becomes the current one
  kHold,    // … goes into the pending slot
  kCommit,  // the pending one becomes the current one
  kDrop,    // the pending one is erased
  kWipe,    // everything is erased
  kProbe,   // a DROP of nothing: the key refuses it, and so tells how it stands (after_restore.h)
};

enum class JobState {
  kHeld,       // not to be handed out; of a view: in the key's pending slot
  kReady,      // waiting for a workstation that sees the key
  kSpooled,    // on a workstation's disk
  kDelivered,  // the key's receipt is verified
  kUsed,       // a login with it was reported
  kSuperseded,
  kRefused,  // the key refused it for good (reason in last_error)
  kCancelled,
};

const char* Name(ChangeMode mode);
const char* Name(ChangeState state);
const char* Name(JobType type);
const char* Name(JobState state);

// What one key of the person gets from a change.
struct KeyDelivery {
  DeviceId device;
  // The key is still in use, as it was enrolled then. One that is not is not waited for.
  bool in_use = true;
  JobId job;
  std::uint64_t seq = 0;
  JobState state = JobState::kHeld;
  std::string last_error;      // last delivery problem, a sentence
  std::uint32_t attempts = 0;  // how often the job was offered to workstations
  std::int64_t next_try = 0;   // not offered again by itself before this
  std::int64_t queued = 0;
  std::int64_t spooled = 0;
  std::string workstation;     // name of the workstation that spooled or delivered it
  std::int64_t delivered = 0;  // receipt verified
  std::uint64_t receipt_ctr = 0;
  std::string receipt_hash;  // hex SHA-256 of the stored receipt, empty before
  std::int64_t used = 0;

  bool has() const { return state == JobState::kDelivered || state == JobState::kUsed; }
};

// One password change with its jobs, as pages and API show it. Times are Unix milliseconds, 0 = not
// yet. What is said of one job, from `device` on, is of the key that leads.
struct ChangeView {
  ChangeId id;
  AccountId account;
  std::string login;
  ChangeMode mode = ChangeMode::kNow;
  ChangeState state = ChangeState::kIntent;
  std::string error;  // a sentence; set for kFailed and kUnknown
  // The directory may have a password that is on no key and that nobody knows: left by a change of
  // unknown outcome or one that wrote late, and no later one has succeeded. Only a new password
  // mends it.
  bool incident = false;
  std::string actor_login;
  std::string reason;
  bool generated = true;
  bool must_change = false;
  std::int64_t created = 0;
  std::int64_t ad_set = 0;    // confirmed by the directory
  std::string server;         // domain controller that took it
  std::int64_t prepared = 0;  // at delivery: the key proved that it holds the password
  std::int64_t expires = 0;   // at delivery: no longer tried after this, 0 = never
  DeviceId device;
  JobId job;  // zero while nothing is sealed
  std::uint64_t seq = 0;
  JobState job_state = JobState::kHeld;
  std::string last_error;      // last delivery problem, a sentence
  std::uint32_t attempts = 0;  // how often the job was offered to workstations
  std::int64_t next_try = 0;   // not offered again by itself before this
  std::int64_t queued = 0;
  std::int64_t spooled = 0;
  std::string workstation;     // name of the workstation that spooled or delivered it
  std::int64_t delivered = 0;  // receipt verified
  std::uint64_t receipt_ctr = 0;
  std::string receipt_hash;  // hex SHA-256 of the stored receipt, empty before
  std::int64_t used = 0;
  std::vector<SourceView> sources;  // beside the first, which is all of the above
  std::vector<KeyDelivery> keys;    // every key's, the leading one's as well
};

// Error::detail of the kConflict for an idempotency key that was used for another request.
inline constexpr char kOtherRequestDetail[] = "idempotency key of another request";

struct ChangeRequest {
  AccountId account;
  std::string reason;           // 0…500 bytes of UTF-8
  std::string idempotency_key;  // 8…64 printable ASCII, unique per actor; same key + other request
                                // → kConflict (a typed password is not compared)
  ChangeMode mode = ChangeMode::kNow;
  // false: `typed` is the new password (only if the configuration allows typing, and not at
  // delivery: nothing could keep it until then)
  bool generate = true;
  SecureBytes typed;  // UTF-8
  bool must_change = false;
  bool unlock = true;
  // Gets a copy of the generated password, if this call made it and the directory has it when it
  // returns; else it is left alone. Only now, and only with must_change. Outlives the call.
  SecureBytes* read_out = nullptr;
  // Linked sources by name, each once. Absent: those that are preset, where the person has an
  // account.
  std::optional<std::vector<std::string>> sources;
};

// What the edit-password page must know before it offers Save (checked again by Start).
struct Preflight {
  bool allowed = false;
  std::string reason;  // why not, in a sentence with the next step; empty when allowed
  std::string note;    // what is allowed but worth knowing, a sentence; may be empty
  // Why a second person has to approve it first (four_eyes.h), a sentence; empty = nobody has to.
  std::string second_person;
  bool typing_allowed = false;
  std::size_t keys = 0;            // that the password would be sealed for
  std::optional<DeviceId> device;  // the one that leads
  bool key_seen = false;           // some approved workstation sees the key now
  std::string seen_at;             // its name
  std::vector<SourceChoice> sources;
};

// The change saga. Now: preflight → make P → seal, HELD → ATTEMPT → directory → CONFIRMED + READY →
// hand out. At delivery: preflight → INTENT; when the key is seen: make P → seal with HOLD → the
// key's receipt → ATTEMPT → directory → CONFIRMED + COMMIT, or FAILED + DROP.
//
// Every key of the person that is in use gets the password, each in a job of its own. Now: all are
// sealed before the directory is asked, and all made ready by the one commit that confirms. At
// delivery: the first key that is seen is prepared; the others are sealed for, held, when the
// directory is about to be asked, and made ready with the COMMIT. Thread-safe; blocks on database
// and directory.
class ChangeService {
 public:
  virtual ~ChangeService() = default;
  virtual Result<Preflight> Check(const Actor& actor, const AccountId& account) = 0;
  // What a request may name beside the first source.
  virtual std::vector<SourceChoice> Sources() { return {}; }
  // Returns once the outcome is durable (normally after the directory said yes). Repeating a
  // request with the same idempotency key returns the stored outcome. Errors leave the directory
  // unchanged, but for kOutcomeUnknown. At delivery: returns as soon as the request is durable.
  virtual Result<ChangeView> Start(const Actor& actor, ChangeRequest request) = 0;
  // Newest first.
  virtual Result<std::vector<ChangeView>> History(const AccountId& account, std::size_t limit) = 0;
  virtual Result<ChangeView> Get(const ChangeId& id) = 0;
  // Drives what waits for this account's key as far as it goes now: to be called when the key is
  // seen or a receipt came (the bus's topic "jobs"), not from the bus's callback.
  virtual void Proceed(const AccountId& account) = 0;
  // Drives every row that is not final from its durable state, and offers jobs again whose time has
  // come; called at start and every minute.
  virtual void Reconcile() = 0;
};

}  // namespace keyferry::server
