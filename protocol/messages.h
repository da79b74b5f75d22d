#pragma once

#include "protocol/crypto.h"
#include "protocol/info.h"

// Requests and responses inside a hop session (PROTOCOL.md section 5).
namespace keyferry::protocol {

enum class Op : std::uint8_t {
  kGetInfo = 0x01,
  kGetStatus = 0x02,
  kGetAttestation = 0x03,
  kPutJob = 0x10,
  kGetReceipt = 0x11,
  kEnrollBegin = 0x20,
  kEnrollFinish = 0x21,
  kPinSet = 0x30,
  kPinVerify = 0x31,
  kPinChange = 0x32,
  kRelease = 0x40,
  kConfirmLogin = 0x41,
  kAssert = 0x42,
  kWipeLocal = 0x50,
  kOfflineChallenge = 0x60,
  kOfflineApply = 0x61,
};

// HostCert role bits.
inline constexpr std::uint8_t kRoleDeliver = 1;
inline constexpr std::uint8_t kRoleLogin = 2;
inline constexpr std::uint8_t kRoleEnroll = 4;

inline constexpr std::size_t kRequestHeaderSize = 4;  // op or op+status, zero or status, req_id
inline constexpr std::size_t kMaxBody = kMaxMessage - kTagSize - kRequestHeaderSize;

// request: op(1) zero(1) req_id(2) · response: op(1) status(1) req_id(2); the body follows.
struct MessageHeader {
  std::uint8_t op = 0;
  std::uint8_t status = 0;  // zero in a request
  std::uint16_t req_id = 0;

  static Parsed<MessageHeader> Parse(ByteView data);  // reads the first four bytes
  Bytes<kRequestHeaderSize> Encode() const;
};

inline constexpr std::size_t kKeyStatusSize = 64;

// HS4 and GET_STATUS. Not enrolled: zero but role, state, boot, firmware.
struct KeyStatus {
  std::uint8_t role = 0;
  KeyState state = KeyState::kProvisioned;
  std::uint8_t tries = 0;  // the PIN's; before one is set, the activation code's
  std::uint8_t slots = 0;  // bit 0 current, bit 1 previous, bit 2 pending
  std::uint32_t epoch = 0;
  std::uint64_t last_seq = 0;
  std::uint64_t receipt_ctr = 0;
  X25519Public recipient_pub{};
  std::uint32_t boot = 0;
  std::uint32_t firmware = 0;

  static Parsed<KeyStatus> Parse(ByteView data);
  Bytes<kKeyStatusSize> Encode() const;
};

inline constexpr std::size_t kPinFieldSize = 64;
inline constexpr std::size_t kCodeFieldSize = 32;

// len(1) || value || zeros, so that a message's length does not tell the PIN's. Parse* give a view
// into `field`; BAD_FORMAT for a wrong length byte or padding. A PIN to compare has 4…63 bytes, a
// new one `minimum`…63; a code 8…31 bytes of 21…7E.
Parsed<ByteView> ParsePinField(ByteView field, std::size_t minimum = kMinPin);
Parsed<ByteView> ParseCodeField(ByteView field);
bool EncodeField(ByteView value, MutableBytes field);  // false when it does not fit

inline constexpr std::size_t kReleaseBodySize = 384;

// RELEASE's answer: seq(8) login_len(1) password_len(2) login password zeros. Views into the parsed
// span.
struct Released {
  std::uint64_t seq = 0;
  ByteView login;
  ByteView password;

  static Parsed<Released> Parse(ByteView body);
  bool Encode(MutableBytes body) const;  // body is 384 bytes
};

struct AssertRequest {
  Bytes<32> challenge{};
  Bytes<32> context_hash{};
  std::uint8_t want = 0;  // bit 0 touch, bit 1 PIN

  static Parsed<AssertRequest> Parse(ByteView body);
  Bytes<65> Encode() const;
};

}  // namespace keyferry::protocol
