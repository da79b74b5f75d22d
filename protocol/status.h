#pragma once

#include <cstdint>
#include <tl/expected.hpp>

namespace keyferry::protocol {

// What the key answers to a request and stamps into a receipt (PROTOCOL.md section 7).
enum class Status : std::uint8_t {
  kOk = 0x00,
  kBadFormat = 0x20,
  kUnsupportedVersion = 0x21,
  kUnsupportedSuite = 0x22,
  kWrongDevice = 0x23,
  kWrongAccount = 0x24,
  kUnknownIssuer = 0x25,
  kIssuerRevoked = 0x26,
  kBadSignature = 0x27,
  kReplay = 0x28,
  kGap = 0x29,
  kWrongEpoch = 0x2A,
  kOpenFailed = 0x2B,
  kBadPlaintext = 0x2C,
  kNotAuthorised = 0x30,
  kPinRequired = 0x31,
  kPinWrong = 0x32,
  kPinBlocked = 0x33,
  kPinLocked = 0x34,
  kTouchTimeout = 0x35,
  kCancelled = 0x36,
  kNotEnrolled = 0x37,
  kAlreadyEnrolled = 0x38,
  kNoPassword = 0x39,
  kStorageFull = 0x40,
  kStorageFault = 0x41,
  kWearOut = 0x42,
  kTamper = 0x43,
  kWiped = 0x44,
  kInternal = 0x4F,
};

// One byte of an ERROR frame (PROTOCOL.md section 7).
enum class FrameError : std::uint8_t {
  kInvalidCommand = 0x01,
  kInvalidParameter = 0x02,
  kInvalidLength = 0x03,
  kInvalidSequence = 0x04,
  kTimeout = 0x05,
  kBusy = 0x06,
  kInvalidChannel = 0x0B,
  kDecrypt = 0x10,
  kNoSession = 0x11,
  kHandshake = 0x13,
  kOther = 0x7F,
};

// The specification's name, e.g. "PIN_WRONG"; "UNKNOWN" for a number that it does not list. Never
// null.
const char* Name(Status status);
const char* Name(FrameError error);
// True for a number that section 7 lists.
bool IsKnownStatus(std::uint8_t value);

// What a parser returns: the value, or the status that a key would answer.
template <typename T>
using Parsed = tl::expected<T, Status>;

}  // namespace keyferry::protocol
