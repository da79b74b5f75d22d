#pragma once

#include <memory>
#include <string>

#include "device/transport.h"
#include "protocol/result.h"

namespace keyferry::device {

// A simulated key at an AF_UNIX SOCK_SEQPACKET path: each datagram is one 64-byte HID report
// (PROTOCOL.md section 6, Socket). kUnavailable when nobody listens there,
// kPermissionDenied when this user may not connect, kInvalidArgument when the path does not fit
// into a socket address.
//
// `exclusive`: also claims the path for this process as long as the transport lives (KeyClaim);
// kConflict, naming the holder's process, when another one has it.
Result<std::unique_ptr<Transport>> OpenSocketTransport(const std::string& path,
                                                       bool exclusive = false);

// The same over a connected SOCK_SEQPACKET descriptor, which the transport then owns (tests,
// fuzzing).
std::unique_ptr<Transport> AdoptSocketTransport(int fd, std::string path);

}  // namespace keyferry::device
