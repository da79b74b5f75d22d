#pragma once

#include "protocol/crypto.h"
#include "protocol/hpke.h"
#include "protocol/info.h"

// The sealed job (PROTOCOL.md section 2): header(96) || enc(32) || ct(ct_len) || sig(64).
namespace keyferry::protocol {

enum class JobType : std::uint8_t {
  kSetPassword = 1,
  kCommit = 2,
  kDrop = 3,
  kPinUnblock = 4,
  kWipe = 5,
  kHostRevoke = 6,
  kIssuerRotate = 7,
  kPolicy = 8,
};

inline constexpr std::uint8_t kFlagHold = 1;          // SET_PASSWORD only
inline constexpr std::uint8_t kFlagDropPrevious = 2;  // COMMIT, or SET_PASSWORD without HOLD

inline constexpr std::size_t kJobHeaderSize = 96;
inline constexpr std::size_t kJobOverhead = kJobHeaderSize + kX25519Size + kSignatureSize;  // 192
inline constexpr std::size_t kMaxBucket = 512;
inline constexpr std::size_t kMaxJobSize = kJobOverhead + kMaxBucket + kTagSize;  // 720
inline constexpr std::size_t kMaxJobBody = kMaxBucket - 2;

struct JobHeader {
  JobType type = JobType::kSetPassword;
  std::uint8_t flags = 0;
  Id device_id{};
  Id account_id{};
  Kid issuer_kid{};
  std::uint32_t recipient_epoch = 0;
  std::uint64_t seq = 0;
  std::uint64_t base_seq = 0;
  std::uint64_t created = 0;  // Unix seconds, informational
  Id job_id{};
  std::uint16_t ct_len = 0;  // bucket + 16; SealJob fills it in

  Bytes<kJobHeaderSize> Encode() const;
};

// A job that passed check 1 of the key: length, magic, version, suite, type, flags, seq range,
// zeros. Views into the parsed span.
struct ParsedJob {
  JobHeader header;
  ByteView header_bytes;
  X25519Public enc{};
  ByteView ct;
  Signature signature{};

  static Parsed<ParsedJob> Parse(ByteView job);
  bool VerifySignature(const P256Verifier& signer) const;
};

// H(whole sealed job).
Hash JobHash(ByteView job);

// "keyferry/job/v1\0" || suite || device_id || issuer_kid || recipient_epoch.
Bytes<45> JobInfo(const JobHeader& header);

// An opened job: `plaintext` is the bucket, body() its checked body. Wiped when it goes.
struct OpenedJob {
  Secret<kMaxBucket> plaintext;
  std::size_t body_size = 0;
  ByteView body() const { return plaintext.view().subspan(2, body_size); }
};

// OPEN_FAILED, or BAD_PLAINTEXT for a wrong bucket, padding or a body that breaks the rule of its
// type (as far as the bytes tell). A key that keeps its public half saves a third of the time.
Parsed<OpenedJob> OpenJob(const ParsedJob& job, const X25519Pair& recipient);
Parsed<OpenedJob> OpenJob(const ParsedJob& job, const X25519Private& recipient);

// Seals `body` and signs. `signer` is the issuer's key (the root's for ISSUER_ROTATE);
// header.issuer_kid and ct_len are set here. Returns the job's size in `out` (≥ kMaxJobSize bytes),
// 0 on a body that is too long or a failing primitive. `ephemeral` must be fresh random and never
// used again.
std::size_t SealJob(JobHeader header, ByteView body, const X25519Public& recipient,
                    const P256Private& signer, const Kid& signer_kid,
                    const X25519Private& ephemeral, MutableBytes out);
// With an ephemeral key that was already agreed with `recipient` (hpke.h).
std::size_t SealJob(JobHeader header, ByteView body, const X25519Public& recipient,
                    const P256Private& signer, const Kid& signer_kid, const HpkeSender& sender,
                    MutableBytes out);

// SET_PASSWORD: login_len(1) || login || password.
struct SetPasswordBody {
  ByteView login;
  ByteView password;

  static Parsed<SetPasswordBody> Parse(ByteView body);  // BAD_PLAINTEXT
  std::size_t Encode(MutableBytes out) const;  // bytes written, 0 when the sizes are out of range
};

// The size rule and fixed values of each type's body (BAD_PLAINTEXT otherwise). What needs the
// key's state is the key's to check.
Status CheckBody(JobType type, ByteView body);

}  // namespace keyferry::protocol
