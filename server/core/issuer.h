#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "protocol/crypto.h"
#include "protocol/result.h"
#include "protocol/secure/secure_bytes.h"
#include "server/core/ids.h"
#include "server/core/records.h"

namespace keyferry::server {

// What an organisation's keys trust, as `keyferry-server init` makes it once. The two private keys
// (32-byte P-256 scalars) go into files of mode 0600; the root's is needed again only to replace
// the issuer and belongs off the machine.
struct Authority {
  SecureBytes root_private;
  Bytes root_pub;  // 65
  SecureBytes issuer_private;
  Bytes issuer_cert;  // 161
};
// Times are Unix seconds.
Result<Authority> MakeAuthority(protocol::RandomSource& random, std::int64_t not_before,
                                std::int64_t not_after);

// What a job is sealed to and numbered with.
struct SealRequest {
  JobId job;
  DeviceId device;
  AccountId account;
  std::uint32_t epoch = 0;
  std::array<std::uint8_t, 32> recipient_pub{};
  std::uint64_t seq = 0;
  std::uint64_t base_seq = 0;
  std::int64_t created = 0;  // Unix seconds
  std::string_view login;    // 1…104 bytes of UTF-8; of a password
  bool hold = false;         // of a password: for the pending slot
};

struct SealedJob {
  Bytes bytes;
  Hash32 hash{};
};

struct GrantRequest {
  DeviceId device;
  AccountId account;
  std::array<std::uint8_t, 8> policy{};
  std::array<std::uint8_t, 32> nonce{};
  std::span<const std::uint8_t> statement;  // 325
  Hash32 activation_hash{};
};

// Signs in the issuer's name. Its private key lives in locked memory for the life of the object.
// Immutable, so thread-safe.
class Issuer {
 public:
  // kInvalidArgument when the private key is not the certificate's, the certificate is not the
  // root's, or it is outside its dates at `now` (Unix seconds): the message says which file to
  // mend.
  static Result<std::unique_ptr<Issuer>> Load(SecureBytes issuer_private, Bytes issuer_cert,
                                              Bytes root_pub, std::int64_t now);
  ~Issuer();

  const Bytes& certificate() const { return certificate_; }  // IssuerCert, 161
  const Bytes& root_pub() const { return root_pub_; }        // 65

  // HostCert, 144 bytes. `role` is a sum of protocol::kRole…; times are Unix seconds.
  Result<Bytes> HostCert(std::uint8_t role, const WorkstationId& host,
                         const std::array<std::uint8_t, 32>& noise_pub, std::int64_t not_before,
                         std::int64_t not_after) const;
  // The private key of the challenge that a login agent answers (protocol/login_proof.h), for one
  // workstation, hop key and span of time. Derived, not kept: every node of one issuer finds the
  // same, and nobody without the issuer's key does.
  Result<void> ChallengeKey(const WorkstationId& workstation,
                            const std::array<std::uint8_t, 32>& login_noise_pub, std::uint64_t span,
                            protocol::X25519Private& key) const;
  // The key that second factors are sealed with in the database. Derived like ChallengeKey.
  Result<void> FactorKey(protocol::Secret<32>& key) const;
  // The key that makes and checks the links of notices (notices.h). Derived like ChallengeKey.
  Result<void> NoticeKey(protocol::Secret<32>& key) const;
  // … and of the links that ask a caller's manager (help_desk_manager.h).
  Result<void> ManagerKey(protocol::Secret<32>& key) const;
  // EnrolGrant, 204 bytes.
  Result<Bytes> Grant(const GrantRequest& request) const;
  // The sealed job; only the key can open it. `password` is 1…256 bytes of UTF-8 and is not kept.
  Result<SealedJob> SealPassword(const SealRequest& request, const SecureBytes& password,
                                 protocol::RandomSource& random) const;
  // A COMMIT or DROP of what the job `named` has put into the pending slot.
  // A WIPE.
  Result<SealedJob> SealWipe(const SealRequest& request, protocol::RandomSource& random) const;
  Result<SealedJob> SealNaming(const SealRequest& request, JobType type, const JobId& named,
                               protocol::RandomSource& random) const;

 private:
  Result<SealedJob> Seal(const SealRequest& request, JobType type,
                         std::span<const std::uint8_t> body, protocol::RandomSource& random) const;
  Issuer(SecureBytes issuer_private, const protocol::Kid& kid, Bytes issuer_cert, Bytes root_pub);
  SecureBytes private_;
  protocol::Kid kid_;
  Bytes certificate_;
  Bytes root_pub_;
};

}  // namespace keyferry::server
