#pragma once

#include <optional>

#include "client-daemon/core/identity.h"

namespace keyferry::daemon {

// Whether these certificates follow from `root` and are ours: issuer by root; both HostCerts by
// that issuer, for this workstation, with the right role and hop key, and valid today. `login`
// empty: the login certificate's hop key is not compared. kProtocol or kPermissionDenied (dates)
// says what is wrong.
Result<void> CheckCertificates(const Certificates& certificates,
                               const std::array<std::uint8_t, 65>& root, const Id& workstation,
                               const NoisePublic& deliver, const std::optional<NoisePublic>& login);

// The hop key that a HostCert names; nothing for 144 bytes that are none.
std::optional<NoisePublic> HopKeyOf(const std::array<std::uint8_t, 144>& certificate);

}  // namespace keyferry::daemon
