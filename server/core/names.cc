#include "server/core/changes.h"
#include "server/core/directory.h"
#include "server/core/keys.h"
#include "server/core/notice_store.h"
#include "server/core/upkeep_store.h"
#include "server/core/workstations.h"

namespace keyferry::server {

const char* Name(ChangeMode mode) { return mode == ChangeMode::kNow ? "now" : "at_delivery"; }

const char* Name(JobType type) {
  switch (type) {
    case JobType::kSet:
      return "set";
    case JobType::kHold:
      return "hold";
    case JobType::kCommit:
      return "commit";
    case JobType::kDrop:
      return "drop";
    case JobType::kWipe:
      return "wipe";
    case JobType::kProbe:
      return "probe";
  }
  return "invalid";
}

const char* Name(MailRecord::State state) {
  switch (state) {
    case MailRecord::State::kQueued:
      return "queued";
    case MailRecord::State::kSent:
      return "sent";
    case MailRecord::State::kFailed:
      return "failed";
  }
  return "invalid";
}

const char* Name(NoticeKind kind) {
  switch (kind) {
    case NoticeKind::kPasswordWaits:
      return "password_waits";
    case NoticeKind::kPasswordSet:
      return "password_set";
    case NoticeKind::kUnlocked:
      return "unlocked";
    case NoticeKind::kMustChange:
      return "must_change";
    case NoticeKind::kKeyAdded:
      return "key_added";
    case NoticeKind::kKeyResumed:
      return "key_resumed";
    case NoticeKind::kKeyOut:
      return "key_out";
    case NoticeKind::kEnrolmentCleared:
      return "enrolment_cleared";
    case NoticeKind::kFactorSetUp:
      return "factor_set_up";
    case NoticeKind::kFactorReset:
      return "factor_reset";
    case NoticeKind::kRecoveryCodes:
      return "recovery_codes";
    case NoticeKind::kQuestionsSet:
      return "questions_set";
    case NoticeKind::kFidoKeyAdded:
      return "fido_key_added";
    case NoticeKind::kFidoKeyRemoved:
      return "fido_key_removed";
  }
  return "invalid";
}

const char* Name(NoticeRecord::Mail mail) {
  switch (mail) {
    case NoticeRecord::Mail::kWaiting:
      return "waiting";
    case NoticeRecord::Mail::kSent:
      return "sent";
    case NoticeRecord::Mail::kNone:
      return "none";
    case NoticeRecord::Mail::kFailed:
      return "failed";
  }
  return "invalid";
}

const char* Name(RotationCandidate::Verdict verdict) {
  switch (verdict) {
    case RotationCandidate::Verdict::kDue:
      return "due";
    case RotationCandidate::Verdict::kNotYet:
      return "not_yet";
    case RotationCandidate::Verdict::kWaiting:
      return "waiting";
    case RotationCandidate::Verdict::kSkipped:
      return "skipped";
  }
  return "invalid";
}

const char* Name(ChangeState state) {
  switch (state) {
    case ChangeState::kIntent:
      return "intent";
    case ChangeState::kHeld:
      return "held";
    case ChangeState::kAttempt:
      return "attempt";
    case ChangeState::kConfirmed:
      return "confirmed";
    case ChangeState::kDone:
      return "done";
    case ChangeState::kFailed:
      return "failed";
    case ChangeState::kUnknown:
      return "unknown";
    case ChangeState::kSuperseded:
      return "superseded";
  }
  return "invalid";
}

const char* Name(SourceState state) {
  switch (state) {
    case SourceState::kPlanned:
      return "planned";
    case SourceState::kAttempt:
      return "attempt";
    case SourceState::kConfirmed:
      return "confirmed";
    case SourceState::kNotSet:
      return "not_set";
    case SourceState::kUnknown:
      return "unknown";
    case SourceState::kSuperseded:
      return "superseded";
  }
  return "invalid";
}

const char* Name(PersonKey key) {
  switch (key) {
    case PersonKey::kLogin:
      return "login";
    case PersonKey::kMail:
      return "mail";
    case PersonKey::kEmployeeId:
      return "employee_id";
  }
  return "invalid";
}

const char* Name(JobState state) {
  switch (state) {
    case JobState::kHeld:
      return "held";
    case JobState::kReady:
      return "ready";
    case JobState::kSpooled:
      return "spooled";
    case JobState::kDelivered:
      return "delivered";
    case JobState::kUsed:
      return "used";
    case JobState::kSuperseded:
      return "superseded";
    case JobState::kRefused:
      return "refused";
    case JobState::kCancelled:
      return "cancelled";
  }
  return "invalid";
}

const char* Name(KeyPassword password) {
  switch (password) {
    case KeyPassword::kNone:
      return "none";
    case KeyPassword::kNewest:
      return "newest";
    case KeyPassword::kWaiting:
      return "waiting";
    case KeyPassword::kMissing:
      return "missing";
  }
  return "invalid";
}

const char* Name(KeyState state) {
  switch (state) {
    case KeyState::kReserved:
      return "reserved";
    case KeyState::kActive:
      return "active";
    case KeyState::kSuspended:
      return "suspended";
    case KeyState::kCompromised:
      return "compromised";
    case KeyState::kDeactivated:
      return "deactivated";
    case KeyState::kRevoked:
      return "revoked";
  }
  return "invalid";
}

const char* Name(PeopleState state) {
  switch (state) {
    case PeopleState::kAny:
      return "any";
    case PeopleState::kLocked:
      return "locked";
    case PeopleState::kExpired:
      return "expired";
    case PeopleState::kMustChange:
      return "must_change";
  }
  return "invalid";
}

const char* Name(PeopleOrder order) {
  switch (order) {
    case PeopleOrder::kName:
      return "name";
    case PeopleOrder::kNameDown:
      return "name_down";
    case PeopleOrder::kLogin:
      return "login";
    case PeopleOrder::kLoginDown:
      return "login_down";
  }
  return "invalid";
}

const char* Name(WorkstationState state) {
  switch (state) {
    case WorkstationState::kPending:
      return "pending";
    case WorkstationState::kApproved:
      return "approved";
    case WorkstationState::kRevoked:
      return "revoked";
  }
  return "invalid";
}

}  // namespace keyferry::server
