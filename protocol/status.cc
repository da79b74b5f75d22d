#include "protocol/status.h"

#include <cstring>

namespace keyferry::protocol {

const char* Name(Status status) {
  switch (status) {
    case Status::kOk:
      return "OK";
    case Status::kBadFormat:
      return "BAD_FORMAT";
    case Status::kUnsupportedVersion:
      return "UNSUPPORTED_VERSION";
    case Status::kUnsupportedSuite:
      return "UNSUPPORTED_SUITE";
    case Status::kWrongDevice:
      return "WRONG_DEVICE";
    case Status::kWrongAccount:
      return "WRONG_ACCOUNT";
    case Status::kUnknownIssuer:
      return "UNKNOWN_ISSUER";
    case Status::kIssuerRevoked:
      return "ISSUER_REVOKED";
    case Status::kBadSignature:
      return "BAD_SIGNATURE";
    case Status::kReplay:
      return "REPLAY";
    case Status::kGap:
      return "GAP";
    case Status::kWrongEpoch:
      return "WRONG_EPOCH";
    case Status::kOpenFailed:
      return "OPEN_FAILED";
    case Status::kBadPlaintext:
      return "BAD_PLAINTEXT";
    case Status::kNotAuthorised:
      return "NOT_AUTHORISED";
    case Status::kPinRequired:
      return "PIN_REQUIRED";
    case Status::kPinWrong:
      return "PIN_WRONG";
    case Status::kPinBlocked:
      return "PIN_BLOCKED";
    case Status::kPinLocked:
      return "PIN_LOCKED";
    case Status::kTouchTimeout:
      return "TOUCH_TIMEOUT";
    case Status::kCancelled:
      return "CANCELLED";
    case Status::kNotEnrolled:
      return "NOT_ENROLLED";
    case Status::kAlreadyEnrolled:
      return "ALREADY_ENROLLED";
    case Status::kNoPassword:
      return "NO_PASSWORD";
    case Status::kStorageFull:
      return "STORAGE_FULL";
    case Status::kStorageFault:
      return "STORAGE_FAULT";
    case Status::kWearOut:
      return "WEAR_OUT";
    case Status::kTamper:
      return "TAMPER";
    case Status::kWiped:
      return "WIPED";
    case Status::kInternal:
      return "INTERNAL";
  }
  return "UNKNOWN";
}

const char* Name(FrameError error) {
  switch (error) {
    case FrameError::kInvalidCommand:
      return "INVALID_CMD";
    case FrameError::kInvalidParameter:
      return "INVALID_PAR";
    case FrameError::kInvalidLength:
      return "INVALID_LEN";
    case FrameError::kInvalidSequence:
      return "INVALID_SEQ";
    case FrameError::kTimeout:
      return "TIMEOUT";
    case FrameError::kBusy:
      return "BUSY";
    case FrameError::kInvalidChannel:
      return "INVALID_CID";
    case FrameError::kDecrypt:
      return "DECRYPT";
    case FrameError::kNoSession:
      return "NO_SESSION";
    case FrameError::kHandshake:
      return "HANDSHAKE";
    case FrameError::kOther:
      return "OTHER";
  }
  return "UNKNOWN";
}

bool IsKnownStatus(std::uint8_t value) {
  return std::strcmp(Name(static_cast<Status>(value)), "UNKNOWN") != 0;
}

}  // namespace keyferry::protocol
