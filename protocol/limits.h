#pragma once

#include <cstddef>
#include <cstdint>

// Sizes and limits of PROTOCOL.md (section 8 and the layouts), in bytes unless the name says
// otherwise.
namespace keyferry::protocol {

inline constexpr std::size_t kMaxMessage = 1024;  // payload of one frame message
inline constexpr std::size_t kReportSize = 64;
inline constexpr std::size_t kIdSize = 16;  // device_id, account_id, job_id, host_id
inline constexpr std::size_t kHashSize = 32;
inline constexpr std::size_t kKidSize = 8;
inline constexpr std::size_t kX25519Size = 32;
inline constexpr std::size_t kP256PublicSize = 65;   // uncompressed SEC1
inline constexpr std::size_t kP256PrivateSize = 32;  // scalar
inline constexpr std::size_t kSignatureSize = 64;    // r || s
inline constexpr std::size_t kTagSize = 16;

inline constexpr std::size_t kMaxLogin = 104;
inline constexpr std::size_t kMaxPassword = 256;
inline constexpr std::size_t kMinPin = 4;
inline constexpr std::size_t kMaxPin = 63;
inline constexpr std::size_t kMinCode = 8;
inline constexpr std::size_t kMaxCode = 31;
inline constexpr std::size_t kMaxAttestation = 900;
inline constexpr std::size_t kJournalSize = 16;  // receipts
inline constexpr std::size_t kMaxChannels = 4;   // cids
inline constexpr std::size_t kMaxSessions = 2;

inline constexpr std::uint64_t kMaxSequence = 0x7FFFFFFFFFFFFFFFu;
inline constexpr std::uint64_t kSequenceWindow = std::uint64_t{1} << 32;

inline constexpr std::uint32_t kPinFreshMillis = 30'000;
inline constexpr std::uint32_t kTouchMillis = 15'000;
inline constexpr std::uint32_t kLongTouchWaitMillis = 30'000;
inline constexpr std::uint32_t kLongTouchMillis = 10'000;
inline constexpr std::uint32_t kContinuationMillis = 500;
inline constexpr std::uint32_t kKeepaliveMillis = 100;
inline constexpr std::uint32_t kHandshakeMillis = 3'000;
inline constexpr std::uint32_t kCommandMillis = 3'000;
inline constexpr std::uint32_t kTouchCommandMillis = 30'000;
inline constexpr std::uint32_t kResetWindowMillis = 10'000;
inline constexpr std::uint32_t kSessionMillis = 3'600'000;
inline constexpr std::uint32_t kSessionMessages = 1u << 16;

}  // namespace keyferry::protocol
