#pragma once

#include <string_view>

#include "server/core/services.h"

namespace keyferry::server {

// See KeyService::Step.
Result<void> StepKey(const CorePorts& ports, const Actor& actor, const DeviceId& device,
                     KeyStep step, std::string_view reason);

// Seals and queues the WIPE of a key that is out of use, unless one waits or it is wiped. To be
// called when such a key is seen, and when a job of it came to its end: sealed at contact, the WIPE
// is one that the key can open.
Result<void> WipeIfDue(const CorePorts& ports, const DeviceId& device);

}  // namespace keyferry::server
