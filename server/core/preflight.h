#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "server/core/services.h"

namespace keyferry::server {

// Whether this person may get a new password from this actor now, and what the change would need.
struct Clearance {
  ErrorCode code = ErrorCode::kConflict;  // when refused
  std::string refusal;                    // a sentence with the next step; empty = cleared
  std::string note;                       // what is worth knowing all the same; may be empty
  std::optional<PersonDetail> person;
  std::vector<KeyRecord> keys;  // to seal for, the leading one first (key_choice.h)
  // Purpose::kChange: where the write would go, or why the directory would refuse it.
  Result<ChangeTarget> target;
};

// Nothing, or why an account in this state gets no new password from anybody here, whatever the
// directory that it is in.
Result<void> CheckState(const AccountState& state);
// What the policy's minimum age says when the password is younger, without an end; empty otherwise.
std::string TooYoung(const PersonDetail& person, std::int64_t now);
inline constexpr const char* kHeldByAge = "; the directory refuses a new one until then.";

// Who asks for a change, as the directory is told, which lets nobody act on their own account. An
// employee may on theirs (Right::kOwnPassword, which Clear has looked at): there it is the server.
AccountId AskerOf(const AccountId& actor, const AccountId& account);

enum class Purpose {
  kLook,    // the directory is not written to for now
  kChange,  // the write follows at once
};

// Whether the roles allow it, then directory and store are asked. Others' accounts are for who has
// Right::kChangesWrite, one's own for who has Right::kOwnPassword, which goes with no other right;
// there the policy's minimum age always counts. An error means that they could not be asked.
// `respect_min_age`: a password younger than the policy's minimum age is refused, unless a key does
// not have it yet.
// `ahead`, with Purpose::kChange: what can be prepared for `keys` while the directory works on its
// answer. It runs at most once, after the roles allow the change and before anything else is
// cleared; of a clearance without a refusal the keys are the same.
using Ahead = std::function<void(const std::vector<KeyRecord>& keys)>;
Result<Clearance> Clear(const CorePorts& ports, const Actor& actor, const AccountId& account,
                        bool respect_min_age, Purpose purpose, const Ahead& ahead = {});

}  // namespace keyferry::server
