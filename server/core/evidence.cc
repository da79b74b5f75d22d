#include "server/core/evidence.h"

namespace keyferry::server {
namespace {

Evidence JudgeByTime(const ChangeRecord& change, std::int64_t now_set) {
  const std::int64_t before = change.password_last_set;
  if (change.must_change) {
    // The write leaves pwdLastSet at 0; where it was 0 before, nothing can be seen.
    if (before == 0) return now_set == 0 ? Evidence::kUndecidable : Evidence::kApplied;
    if (now_set == 0) return Evidence::kApplied;
  } else if (now_set > before) {
    return Evidence::kApplied;
  }
  return now_set == before ? Evidence::kNotApplied : Evidence::kUndecidable;
}

// The time of the last write is known whatever its options were, and the writer where nothing else
// touched the entry since.
Evidence JudgeByWriter(const ChangeRecord& change, const PasswordStamp& now) {
  if (now.last_set == change.password_last_set) return Evidence::kNotApplied;
  return now.last_set > change.password_last_set && now.writer == PasswordStamp::Writer::kHere
             ? Evidence::kApplied
             : Evidence::kUndecidable;
}

}  // namespace

Evidence Judge(const ChangeRecord& change, const PasswordStamp& now, std::int64_t window) {
  if (now.named_writer) return JudgeByWriter(change, now);
  if (change.password_version == 0 || now.version == 0) return JudgeByTime(change, now.last_set);
  if (now.version == change.password_version) return Evidence::kNotApplied;
  // Fewer writes than before: the controller was restored from a backup.
  if (now.version < change.password_version) return Evidence::kUndecidable;
  // The last write is not ours when another controller took it, or after ours was long dead. (A
  // second counts as whole in the metadata.)
  const bool late =
      change.server_time != 0 && now.written != 0 &&
      (now.written + 1 < change.server_time || now.written > change.server_time + window);
  if (now.writer == PasswordStamp::Writer::kElsewhere || late) return Evidence::kForeign;
  // Two writes or more: which of them came last, the metadata cannot say.
  return now.version == change.password_version + 1 ? Evidence::kApplied : Evidence::kUndecidable;
}

Evidence Weigh(Evidence evidence, BindOutcome outcome) {
  switch (outcome) {
    case BindOutcome::kAccepted:
    case BindOutcome::kDisabled:
    case BindOutcome::kExpired:
    case BindOutcome::kMustChange:
      return Evidence::kApplied;
    case BindOutcome::kWrong:
      return Evidence::kForeign;
    case BindOutcome::kLocked:
      break;
  }
  return evidence;
}

}  // namespace keyferry::server
