#pragma once

#include <cstdint>
#include <string>

#include "server/core/ids.h"

namespace keyferry::server {

// What a person is told of, whoever did it.
enum class NoticeKind {
  kPasswordWaits,  // a new password will be set when their key is seen
  kPasswordSet,
  kUnlocked,          // the account's lock-out was ended
  kMustChange,        // the password must be changed at the next sign-in
  kKeyAdded,          // a security key was enrolled for them, perhaps in place of another
  kKeyResumed,        // a suspended key may be used again
  kKeyOut,            // a key was suspended, or went out of use
  kEnrolmentCleared,  // a key that was being enrolled for them will not be
  kFactorSetUp,       // a second factor was set up for signing in to Keyferry
  kFactorReset,       // … was taken away
  kRecoveryCodes,     // … got new recovery codes
  kQuestionsSet,      // answers to security questions were set
  kFidoKeyAdded,      // a FIDO2 key was added as second factor for signing in to Keyferry
  kFidoKeyRemoved     // … was removed
};
inline constexpr NoticeKind kLastNoticeKind = NoticeKind::kFidoKeyRemoved;
const char* Name(NoticeKind kind);  // "password_set"

// An entry of the audit log that carries one puts the notice into the outbox in the transaction
// that writes the entry: who is told, was done to, and nobody is told of what did not happen. The
// time is the entry's, and so are `by` and `address` where they are empty.
struct NoticeDraft {
  NoticeKind kind = NoticeKind::kPasswordSet;
  AccountId account;
  std::string login;
  AccountId actor;  // who did it; zero = nobody of the directory
  std::string by;   // … their login
  std::string address;
  DeviceId device;     // the key that it is about; zero = none
  std::string reason;  // as they gave it; may be empty
};

}  // namespace keyferry::server
