#pragma once

#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace keyferry {

// What kind of thing went wrong. One enum for every host-side room; pages and the API map it to
// HTTP in one place. What a key answered is a protocol::Status and travels in Error::key_status.
enum class ErrorCode {
  kInvalidArgument,   // the caller's input is wrong; repeating it will not help
  kNotFound,          // no such employee, key, job …
  kConflict,          // the state forbids it now (open change, key not enrolled, already done)
  kUnauthenticated,   // who are you? wrong or missing credentials, ended session
  kPermissionDenied,  // you may not (role, scope, directory rights)
  kPolicyRefused,     // the directory's password policy said no; the message gives its reason
  kUnavailable,       // a part is down or unreachable; nothing was changed, try again
  kDeadline,          // no answer in time
  kOutcomeUnknown,    // it may or may not have happened; it is being checked, do not repeat by hand
  kRateLimited,       // too many tries; the message says when to come back
  kKeyRefused,        // the key answered a status other than OK (Error::key_status)
  kProtocol,          // the other side broke the protocol (bad frame, bad signature, bad answer)
  kUnsupported,       // not offered by this build, version or transport
  kIo,                // operating system error on a file, socket or device
  kInternal,          // a bug or a broken invariant of ours
};

// An error that a person can act on. `message` is one sentence that names the cause and, where
// there is one, the next step; it is shown to users, so it never holds a secret or an internal
// detail. `detail` is for the log only (raw directory diagnostic, errno text).
struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;
  std::string detail;
  int key_status = 0;  // protocol::Status as a number when code is kKeyRefused, else 0
};

template <typename T>
using Result = tl::expected<T, Error>;

inline tl::unexpected<Error> Fail(ErrorCode code, std::string message, std::string detail = {}) {
  return tl::unexpected<Error>(Error{code, std::move(message), std::move(detail), 0});
}

}  // namespace keyferry
