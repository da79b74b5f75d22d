#pragma once

#include <memory>
#include <string>

#include "device/hid/hid_match.h"
#include "device/transport.h"
#include "protocol/result.h"

namespace keyferry::device {

// A key through libusb (`path` usb:BUS-PORT[.PORT…]): the second path, for kernels without hidraw
// and for keys whose hidraw node cannot be had. The kernel's HID driver loses the interface, and
// with it the hidraw node, for as long as the transport lives.
//
// Why libusb and not hidapi-libusb: that one exports the same symbols as hidapi-hidraw, so that
// both cannot live in one program; it does not tell the usage page; and its reads cannot be ended
// from outside. Here some interrupt transfers always wait for the key, a thread of the transport
// serves libusb's events, and readers and writers wait on a condition that Cancel fulfils at once.
// A reader that is slower than the key holds the key back (its packets are not asked for), not the
// memory.
//
// Write hands the report over and waits (until its deadline) only while some are still on their
// way; a writer who waits in vain gets kDeadline, and those are called back. NO_DEVICE, ERROR,
// STALL and transfers without content all mean that the key is gone: kUnavailable.
//
// Errors of opening: kUnavailable (nothing there), kPermissionDenied (names node and cure),
// kConflict (another keyferryd by any path, or another program by libusb, has it; names its
// process), kProtocol (not a key, with the reason).
Result<std::unique_ptr<Transport>> OpenLibusb(const std::string& path, const HidMatch& match = {});

}  // namespace keyferry::device
