#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "device/key_claim.h"
#include "device/transport.h"

namespace keyferry::device {

// A fragment never takes more, whatever the ATT MTU: BlueZ refuses longer writes on some paths.
inline constexpr std::size_t kMaxBleFragment = 500;

// The two sequenced-packet descriptors that BlueZ hands out for a connection (AcquireWrite and
// AcquireNotify), one fragment a packet; the transport owns both. The end of either is the loss of
// the key. `max_fragment` is what may be written, protocol::kMinFragment … kMaxBleFragment; a
// longer one may be read, as the two directions may differ. Cancel gives connection and `claim`
// back at once, though the transport may live on in links that nobody uses any more.
std::unique_ptr<Transport> AdoptBleTransport(int write_fd, int notify_fd, std::size_t max_fragment,
                                             std::string path, KeyClaim claim = {});

}  // namespace keyferry::device
