#pragma once

#include <cstdint>

namespace keyferry::server {

// Whether a ready job may go to the key now (protocol/PROTOCOL.md section 3). The key opens jobs of
// its epochs e and e-1 only and moves on with every job it accepts, so of the jobs sealed to one
// epoch no more than two can pass.
enum class HandOut {
  kNow,
  kWait,  // two jobs of this epoch are out and unanswered: hold this one until a receipt came
  kDead,  // the key has left this epoch: it can never be opened
};

// `key_epoch`: from the newest receipt. `unanswered`: other jobs sealed to `job_epoch` that were
// handed out, are above the key's last seq, and have no receipt.
inline HandOut MayHandOut(std::uint32_t key_epoch, std::uint32_t job_epoch,
                          std::uint64_t unanswered) {
  if (static_cast<std::uint64_t>(job_epoch) + 1 < key_epoch) return HandOut::kDead;
  return unanswered >= 2 ? HandOut::kWait : HandOut::kNow;
}

// How long after its n-th offer (n ≥ 1) a job is offered again by itself to workstations that see
// the key, in ms: 1, 2, 4 … 60 minutes. (A workstation that connects, or sees the key anew, gets it
// at once.)
inline std::int64_t OfferPause(std::uint32_t attempts) {
  constexpr std::int64_t kMinute = 60'000;
  return attempts > 6 ? 60 * kMinute : kMinute << (attempts - 1);
}

inline constexpr const char* kDeadEpochReason =
    "The key has moved on to keys that this password was not sealed to; set a new password.";

}  // namespace keyferry::server
