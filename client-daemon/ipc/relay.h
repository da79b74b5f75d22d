#pragma once

#include "device/link.h"

namespace keyferry::daemon {

// Ferries messages between a local program on `fd` (SOCK_SEQPACKET, `command ‖ payload` a datagram)
// and a key, until either side is gone, the program breaks the rules of docs/local-ipc.md, or it
// asked nothing for 5 minutes. What passes is sealed between the program and the key. Blocks; ends
// soon after shutdown(fd) or the closing of the link's port. Leaves `fd` open.
void RunRelay(int fd, device::MessageLink& link);

}  // namespace keyferry::daemon
