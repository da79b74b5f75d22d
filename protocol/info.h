#pragma once

#include "protocol/bytes.h"
#include "protocol/limits.h"
#include "protocol/status.h"

namespace keyferry::protocol {

using Id = Bytes<kIdSize>;

inline constexpr std::size_t kInfoSize = 56;

// The key's life (INFO and Status, PROTOCOL.md section 5).
enum class KeyState : std::uint8_t {
  kProvisioned = 0,
  kEnrolledNoPin = 1,
  kReady = 2,
  kPinBlocked = 3,  // until power cycle
  kLocked = 4,      // no tries left
  kWiped = 5,
  kTampered = 6,
};

// What a key says of itself in clear, unauthenticated: good for finding it, proven only by the
// handshake.
struct Info {
  std::uint8_t proto_min = 1;
  std::uint8_t proto_max = 1;
  KeyState state = KeyState::kProvisioned;
  bool simulator = false;
  Id device_id{};
  std::uint32_t firmware = 0;
  std::uint32_t suites = 1;  // bitmap, bit 0 = suite 1
  std::uint16_t max_message = kMaxMessage;
  Bytes<20> attestation_hash{};  // first 20 bytes of SHA-256 of the attestation certificate

  // BAD_FORMAT for a wrong size, magic, state, flag or reserved byte.
  static Parsed<Info> Parse(ByteView data);
  Bytes<kInfoSize> Encode() const;
};

}  // namespace keyferry::protocol
