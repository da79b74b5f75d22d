#include "device/key_client.h"

namespace keyferry::device {
namespace {

using protocol::Status;

const char* Sentence(Status status) {
  switch (status) {
    case Status::kOk:
      return "The security key has no objection.";
    case Status::kBadFormat:
    case Status::kUnsupportedVersion:
    case Status::kUnsupportedSuite:
      return "The security key does not understand the request; its firmware and Keyferry do not "
             "match.";
    case Status::kWrongDevice:
      return "The message is for another security key.";
    case Status::kWrongAccount:
      return "The security key belongs to another account.";
    case Status::kUnknownIssuer:
    case Status::kIssuerRevoked:
      return "The security key does not accept this organisation's signature any more.";
    case Status::kBadSignature:
      return "The security key found a wrong signature.";
    case Status::kReplay:
      return "The security key has already seen this or a newer message.";
    case Status::kGap:
    case Status::kWrongEpoch:
      return "The security key and the server have lost step.";
    case Status::kOpenFailed:
    case Status::kBadPlaintext:
      return "The security key cannot open the message.";
    case Status::kNotAuthorised:
      return "The security key does not allow this to this program, or not now.";
    case Status::kPinRequired:
      return "The security key needs its PIN first.";
    case Status::kPinWrong:
      return "The PIN is wrong.";
    case Status::kPinBlocked:
      return "Three wrong PINs in a row: unplug the security key, plug it in and try again.";
    case Status::kPinLocked:
      return "The security key is locked after too many wrong PINs; ask the help desk.";
    case Status::kTouchTimeout:
      return "The security key was not touched in time.";
    case Status::kCancelled:
      return "The request to the security key was cancelled.";
    case Status::kNotEnrolled:
      return "The security key belongs to nobody yet.";
    case Status::kAlreadyEnrolled:
      return "The security key is enrolled already.";
    case Status::kNoPassword:
      return "The security key holds no such password.";
    case Status::kStorageFull:
    case Status::kStorageFault:
    case Status::kWearOut:
      return "The security key's memory failed; it has to be replaced.";
    case Status::kTamper:
      return "The security key found that it was tampered with; it has to be replaced.";
    case Status::kWiped:
      return "The security key was wiped and has to be enrolled again.";
    case Status::kInternal:
      return "The security key had an error of its own; try again.";
  }
  return "The security key refused.";
}

}  // namespace

Error KeyRefused(Status status) {
  return {ErrorCode::kKeyRefused, Sentence(status), protocol::Name(status),
          static_cast<int>(status)};
}

}  // namespace keyferry::device
