#pragma once

#include "protocol/crypto.h"
#include "protocol/info.h"
#include "protocol/noise.h"

// Certificates and statements (PROTOCOL.md section 4): fixed layouts, each with its own signature
// label. Parse checks layout, version, zeros and ranges (BAD_FORMAT, UNSUPPORTED_VERSION);
// signatures are separate calls.
namespace keyferry::protocol {

inline constexpr std::size_t kIssuerCertSize = 161;
inline constexpr std::size_t kStatementSize = 325;
inline constexpr std::size_t kEnrolGrantSize = 204;
inline constexpr std::size_t kAssertionSize = 172;
inline constexpr std::size_t kEnrollBeginSize = 258;  // nonce(32) root_pub(65) IssuerCert(161)

struct HostCert {
  std::uint8_t role = 0;  // 1…7
  Id host_id{};
  X25519Public host_noise_pub{};
  Kid issuer_kid{};
  std::uint64_t not_before = 0;  // Unix seconds; checked by server and daemon, not by the key
  std::uint64_t not_after = 0;
  std::uint32_t host_epoch = 0;
  Signature signature{};

  static Parsed<HostCert> Parse(ByteView data);
  Bytes<kHostCertSize> Encode() const;
  bool Sign(const P256Private& issuer);
  bool VerifySignature(const P256Verifier& issuer) const;
};

struct IssuerCert {
  std::uint32_t issuer_epoch = 0;
  P256Public issuer_pub{};
  std::uint64_t not_before = 0;
  std::uint64_t not_after = 0;
  Kid root_kid{};
  Signature signature{};

  static Parsed<IssuerCert> Parse(ByteView data);
  Bytes<kIssuerCertSize> Encode() const;
  bool Sign(const P256Private& root);
  // Also false when root_kid is not this root's or issuer_pub is off the curve.
  bool VerifySignature(const P256Public& root) const;
};

struct Policy {
  std::uint8_t pin_min = 6;    // 6…63
  std::uint8_t pin_tries = 8;  // 1…8
  bool touch_to_store = false;
  bool keep_previous = true;
  std::uint16_t max_offline_days = 0;

  static Parsed<Policy> Parse(ByteView data);  // 8 bytes
  Bytes<8> Encode() const;
  bool operator==(const Policy&) const = default;
};

struct Statement {
  Id device_id{};
  P256Public sig_pub{};
  X25519Public noise_pub{};
  std::uint32_t epoch = 1;
  X25519Public recipient_pub{};
  Hash begin_hash{};  // H(ENROLL_BEGIN body)
  std::uint32_t firmware = 0;
  std::uint32_t boot = 0;
  bool simulator = false;
  Signature sig_device{};
  Signature sig_attestation{};

  static Parsed<Statement> Parse(ByteView data);
  Bytes<kStatementSize> Encode() const;
  bool Sign(const P256Private& device, const P256Private& attestation);
  bool VerifySignatures(const P256Public& attestation)
      const;  // sig_device by sig_pub, sig_attestation by `attestation`
};

struct EnrolGrant {
  Id device_id{};
  Id account_id{};
  Policy policy;
  Bytes<32> nonce{};
  Hash statement_hash{};
  Hash activation_hash{};  // not zero
  Signature signature{};

  static Parsed<EnrolGrant> Parse(ByteView data);
  Bytes<kEnrolGrantSize> Encode() const;
  bool Sign(const P256Private& issuer);
  bool VerifySignature(const P256Public& issuer) const;
};

struct EnrollBegin {
  Bytes<32> nonce{};
  P256Public root_pub{};
  IssuerCert issuer;

  static Parsed<EnrollBegin> Parse(ByteView data);
  Bytes<kEnrollBeginSize> Encode() const;
};

inline constexpr std::uint8_t kAssertTouched = 1;
inline constexpr std::uint8_t kAssertPin = 2;
inline constexpr std::uint8_t kAssertByLogin = 4;

struct Assertion {
  std::uint8_t flags = 0;
  Id device_id{};
  Id account_id{};
  Bytes<32> challenge{};
  Bytes<32> context_hash{};
  std::uint64_t receipt_ctr = 0;
  Signature signature{};

  static Parsed<Assertion> Parse(ByteView data);
  Bytes<kAssertionSize> Encode() const;
  bool Sign(const P256Private& device);
  bool VerifySignature(const P256Public& device) const;
};

// H("keyferry/activate/v1\0" || device_id || code).
Hash ActivationHash(const Id& device_id, ByteView code);

enum class Purpose : std::uint8_t {
  kCallerProof = 1,
  kSelfServiceFactor = 2,
  kOfflineLogon = 3,
  kAttached = 4
};
// H("keyferry/context/v1\0" || purpose || host_id || request_id || text).
Hash ContextHash(Purpose purpose, const Id& host_id, const Id& request_id, ByteView text);

}  // namespace keyferry::protocol
