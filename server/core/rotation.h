#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/result.h"
#include "server/core/ids.h"
#include "server/core/session.h"

namespace keyferry::server {

// Automatic rotation: the members of a directory group get a new password, at delivery, when theirs
// is older than the policy allows.
struct RotationPolicy {
  PolicyId id;
  std::string name;                       // 1…64 bytes; the audit log's actor is "policy NAME"
  std::string group_dn;                   // members, nested ones too
  std::int64_t max_age_days = 90;         // 1…3650
  std::int64_t window_from = 0;           // minutes of the server's local day, 0…1439
  std::int64_t window_until = 1440;       // 1…1440; not above window_from: over midnight
  std::vector<std::int64_t> notify_days;  // mails so many days before, at most 5, 1…90 each
  bool enabled = true;
  std::int64_t created = 0;   // Unix milliseconds, set by the service
  std::int64_t last_run = 0;  // Unix milliseconds
  std::string last_result;    // a sentence
};

// One member, as a run of the policy would treat it now.
struct RotationCandidate {
  enum class Verdict {
    kDue,      // a run sets a new password when the key is there
    kNotYet,   // the password is young enough
    kWaiting,  // a change is under way already
    kSkipped,  // cannot be done; `reason` says why
  };
  AccountId account;
  std::string login;
  std::string display_name;
  std::string mail;
  std::int64_t password_set = 0;  // Unix seconds, 0 = unknown or must be changed
  std::int64_t due = 0;           // Unix seconds
  Verdict verdict = Verdict::kNotYet;
  std::string reason;  // a sentence; for kSkipped
};
const char* Name(RotationCandidate::Verdict verdict);

struct RotationPreview {
  std::vector<RotationCandidate> members;
  bool complete = true;  // false: the group has more than are shown
};

// Rotation policies. Thread-safe; blocks on database and directory. Everything but List needs an
// administrator: kPermissionDenied.
class RotationService {
 public:
  virtual ~RotationService() = default;
  virtual Result<std::vector<RotationPolicy>> List() = 0;
  // With a zero id a new one; returns it as stored. kInvalidArgument names the field; kConflict
  // when the name is taken; kNotFound.
  virtual Result<RotationPolicy> Put(const Actor& actor, RotationPolicy policy) = 0;
  virtual Result<void> Remove(const Actor& actor, const PolicyId& id) = 0;
  // Who would be due, who not, and why, if it ran now; nothing is changed.
  virtual Result<RotationPreview> Preview(const Actor& actor, const RotationPolicy& policy) = 0;
  // The clock's turn: each enabled policy whose window is open starts its due changes, and mails go
  // out to who is due soon. Called every few minutes, on one server at a time.
  virtual void Tick() = 0;
};

}  // namespace keyferry::server
