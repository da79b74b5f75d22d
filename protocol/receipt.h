#pragma once

#include "protocol/crypto.h"
#include "protocol/info.h"

namespace keyferry::protocol {

inline constexpr std::size_t kReceiptBodySize = 172;
inline constexpr std::size_t kReceiptSize = 236;

inline constexpr std::uint16_t kReceiptGap = 1;
inline constexpr std::uint16_t kReceiptPinSet = 2;
inline constexpr std::uint16_t kReceiptHeld = 4;

// The key's signed answer to a job (PROTOCOL.md section 3): body(172) || sig(64).
struct Receipt {
  Status result = Status::kOk;  // kOk = stored; kWiped for WIPE_LOCAL; else why it was refused
  std::uint16_t flags = 0;
  Id device_id{};
  Id account_id{};
  std::uint64_t seq = 0;
  std::uint64_t prev_seq = 0;
  Hash job_hash{};
  std::uint64_t receipt_ctr = 0;
  std::uint32_t epoch = 0;
  X25519Public recipient_pub{};
  Hash previous_hash{};  // of the previous positive receipt, all 236 bytes; zero for the first
  std::uint32_t firmware = 0;
  std::uint32_t boot = 0;
  Signature signature{};

  // BAD_FORMAT for a wrong size, magic, reserved flag or unlisted result; UNSUPPORTED_VERSION. Does
  // not check the signature.
  static Parsed<Receipt> Parse(ByteView data);
  Bytes<kReceiptBodySize> EncodeBody() const;
  Bytes<kReceiptSize> Encode() const;
  bool Sign(const P256Private& device_key);
  bool VerifySignature(const P256Verifier& device_pub) const;
  bool positive() const { return result == Status::kOk; }
};

// H(all 236 bytes).
Hash ReceiptHash(ByteView receipt);

}  // namespace keyferry::protocol
