#pragma once

#include <cstdint>
#include <span>

#include "protocol/certs.h"
#include "protocol/result.h"

namespace keyferry::device {

// IssuerCert ‖ Statement ‖ EnrolGrant: the proof that the organisation enrolled a key.
inline constexpr std::size_t kKeyRecordSize =
    protocol::kIssuerCertSize + protocol::kStatementSize + protocol::kEnrolGrantSize;

// What the record proves.
struct KeyIdentity {
  protocol::Id device_id{};
  protocol::Id account_id{};
  protocol::X25519Public noise_pub{};  // the key's static in every handshake
  protocol::P256Public sig_pub{};      // signs receipts and assertions
  protocol::Policy policy;
  bool simulator = false;
};

// Follows the chain from the organisation's `root`: IssuerCert by the root, EnrolGrant by that
// issuer, Statement by its hash in the grant. kProtocol when any link does not hold. Dates are not
// looked at: a record stays true after its issuer's certificate ran out. The statement's own
// signatures were the server's to check before it granted.
Result<KeyIdentity> VerifyKeyRecord(const protocol::P256Public& root,
                                    std::span<const std::uint8_t, kKeyRecordSize> record);

}  // namespace keyferry::device
