#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "device/key_client.h"
#include "device/key_record.h"
#include "protocol/certs.h"
#include "protocol/job.h"

namespace keyferry::test {

inline constexpr char kJobLogin[] = "alice";
inline constexpr char kJobPassword[] = "correct horse battery staple";

// A root, its issuer and what they sign, for keys and hosts in tests.
struct Organisation {
  Organisation();

  protocol::P256Private root_key;
  protocol::P256Public root{};
  protocol::P256Private issuer_key;
  protocol::IssuerCert issuer;

  // A host with a fresh hop key and a certificate of this role, valid for all dates.
  device::HostIdentity Host(std::uint8_t role, const protocol::Id& host_id = {1}) const;
  // A certificate of this role for a hop key that exists.
  protocol::Bytes<protocol::kHostCertSize> Certify(const protocol::X25519Public& noise_pub,
                                                   std::uint8_t role,
                                                   const protocol::Id& host_id) const;
  protocol::Bytes<protocol::kEnrollBeginSize> Begin() const;
  protocol::EnrolGrant Grant(const protocol::Bytes<protocol::kEnrollBeginSize>& begin,
                             const protocol::Bytes<protocol::kStatementSize>& statement,
                             const protocol::Id& account) const;
  // IssuerCert ‖ Statement ‖ EnrolGrant.
  protocol::Bytes<device::kKeyRecordSize> Record(
      const protocol::Bytes<protocol::kStatementSize>& statement,
      const protocol::EnrolGrant& grant) const;
  // SET_PASSWORD for kJobLogin.
  std::vector<std::uint8_t> Job(const protocol::Id& device_id, const protocol::Id& account,
                                const protocol::X25519Public& recipient, std::uint32_t epoch,
                                std::uint64_t seq, std::uint64_t base_seq,
                                const protocol::Id& job_id,
                                std::string_view password = kJobPassword) const;
};

}  // namespace keyferry::test
