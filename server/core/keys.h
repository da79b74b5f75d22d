#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/result.h"
#include "server/core/ids.h"
#include "server/core/session.h"

namespace keyferry::server {

// Compromised, deactivated and revoked keys are out of use for good: their undelivered jobs are
// void, and they are wiped as soon as a workstation sees them.
enum class KeyState {
  kReserved,  // enrolment begun, not finished
  kActive,
  kSuspended,    // jobs wait, nobody logs in with it, until it is resumed
  kCompromised,  // lost or stolen
  kDeactivated,  // handed in
  kRevoked,      // replaced by another key of its person
};
inline bool IsOutOfUse(KeyState state) {
  return state == KeyState::kCompromised || state == KeyState::kDeactivated ||
         state == KeyState::kRevoked;
}
const char* Name(KeyState state);

enum class KeyStep {
  kSuspend,     // active → suspended
  kResume,      // suspended → active
  kCompromise,  // active, suspended → compromised
  kDeactivate,  // active, suspended → deactivated
};

// What it takes to take a step.
inline Right RightOf(KeyStep step) {
  return step == KeyStep::kSuspend ? Right::kKeysSuspend : Right::kKeysWrite;
}

// What a key has of the newest password that the directory took.
enum class KeyPassword {
  kNone,     // none was ever brought to it: the next one that is set will be
  kNewest,   // the key proved that it has it
  kWaiting,  // it waits for the key, or is on its way
  kMissing,  // the key has an older one at most, and this one will not come: set a new one
};
const char* Name(KeyPassword password);

struct KeyView {
  DeviceId device;
  KeyState state = KeyState::kReserved;
  AccountId account;
  std::string login;  // of its person
  std::string display_name;
  bool simulator = false;
  std::uint32_t firmware = 0;
  bool pin_set = false;  // from the newest receipt
  std::uint64_t last_seq = 0;
  std::uint64_t receipt_ctr = 0;
  std::int64_t enrolled = 0;   // Unix milliseconds
  std::int64_t last_seen = 0;  // Unix milliseconds
  std::string seen_at;         // workstation that sees it now, empty = none
  std::string alarm;           // clone or rollback suspicion, a sentence; empty = none
  std::string state_reason;    // why it was suspended or taken out of use; may be empty
  std::int64_t wiped = 0;  // Unix milliseconds of the wipe's receipt, 0 = not (known to be) wiped
  bool locked = false;     // a workstation sees it now, and no PIN tries are left
  // Of a key in use; of a list of all keys it is not asked.
  std::optional<KeyPassword> password;
  std::string note;       // of a key in use: what else is to be known of its password; may be empty
  EnrolmentId enrolment;  // that it came of, or waits for
};

// One page of the list of keys.
struct KeyFilter {
  std::optional<KeyState> state;
  bool alarmed = false;  // only those under suspicion
  DeviceId after;        // the last one of the page before; zero = from the beginning
  std::size_t limit = 50;
};

// A key that some workstation sees and that belongs to nobody yet.
struct NewKeyView {
  DeviceId device;
  WorkstationId workstation;
  std::string workstation_name;
  std::string transport;
  bool simulator = false;
};

struct EnrolmentStarted {
  EnrolmentId id;
  // 16 symbols in groups of four, "ABCD-EFGH-JKMN-PQRS": the key compares exactly these 19
  // characters, hyphens and capitals included. Shown once, never stored in clear.
  std::string activation_code;
};

enum class EnrolmentState { kWaiting, kGranted, kDone, kFailed };

struct EnrolmentView {
  EnrolmentId id;
  DeviceId device;
  AccountId account;
  EnrolmentState state = EnrolmentState::kWaiting;
  std::string error;
  std::optional<DeviceId> replaces;
};

struct ReceiptVerdict {
  enum Kind { kStored, kDuplicate, kRefused } kind = kRefused;
  std::string reason;
};

// Keys: enrolment with proof of possession, receipts, state. Thread-safe; blocks on the database.
class KeyService {
 public:
  virtual ~KeyService() = default;
  virtual Result<std::vector<KeyView>> List() = 0;
  // By name; on the first page behind them those whose enrolment has begun.
  virtual Result<std::vector<KeyView>> Page(const KeyFilter& filter) = 0;
  virtual Result<std::vector<KeyView>> OfAccount(const AccountId& account) = 0;
  virtual Result<std::vector<NewKeyView>> Unassigned() = 0;
  virtual Result<KeyView> Get(const DeviceId& device) = 0;  // kNotFound
  // One step of the key's life; audited with `reason` (1…200 bytes of UTF-8). Administrators may
  // take each, the help desk may suspend. kConflict when the key is not where the step begins, or
  // when one under suspicion shall be resumed; kPermissionDenied; kNotFound.
  virtual Result<KeyView> Step(const Actor& actor, const DeviceId& device, KeyStep step,
                               std::string_view reason) = 0;

  // Administrator: enrol `device`, seen at `workstation`, for `account`: as one more key of the
  // person, or in place of the one that it `replaces`, which is revoked once the new one is
  // enrolled. kConflict when the person would have more keys than allowed (keys.per_person), or
  // when the key to be replaced is not one of the person's that are in use.
  virtual Result<EnrolmentStarted> BeginEnrolment(const Actor& actor, const AccountId& account,
                                                  const DeviceId& device,
                                                  const WorkstationId& workstation,
                                                  const std::optional<DeviceId>& replaces) = 0;
  virtual Result<EnrolmentView> Enrolment(const EnrolmentId& id) = 0;
  // Takes an enrolment back, as who may enrol; audited with `reason` (1…200 bytes of UTF-8). One
  // that waits is called off: its activation code is void, the key is as it was. A key that came of
  // it and is in use takes the step kDeactivate, so that it can be enrolled anew once it is wiped.
  // kConflict: the key answers at this moment, or there is nothing to take back.
  virtual Result<EnrolmentView> ClearEnrolment(const Actor& actor, const EnrolmentId& id,
                                               std::string_view reason) = 0;

  // Workstation side (docs/workstation-api.md). The caller has proven to be `from`.
  virtual Result<std::vector<std::uint8_t>> AcceptStatement(
      const WorkstationId& from, const EnrolmentId& id, std::span<const std::uint8_t> statement,
      std::span<const std::uint8_t> attestation_der) = 0;
  virtual Result<ReceiptVerdict> FinishEnrolment(const WorkstationId& from, const EnrolmentId& id,
                                                 std::span<const std::uint8_t> receipt) = 0;
  virtual Result<void> EnrolmentProblem(const WorkstationId& from, const EnrolmentId& id,
                                        std::string_view code, std::string_view message) = 0;
  virtual Result<ReceiptVerdict> AcceptReceipt(const WorkstationId& from, const DeviceId& device,
                                               std::span<const std::uint8_t> receipt) = 0;
  virtual Result<void> Used(const WorkstationId& from, const DeviceId& device,
                            std::uint64_t seq) = 0;
};

}  // namespace keyferry::server
