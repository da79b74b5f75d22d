#pragma once

#include <memory>
#include <string>

#include "device/hid/hid_match.h"
#include "device/transport.h"
#include "protocol/result.h"

namespace keyferry::device {

// A key at a hidraw node (/dev/hidrawN): the everyday path. Reports of 64 bytes without report id;
// the zero byte that the node wants before an outgoing one never leaves this room.
//
// Why the node is read here and not by hidapi: hid_read waits in poll() on a descriptor that hidapi
// does not show, so nobody can end it from outside (closing under it is a race, a signal may come
// too early), and it would wake up for ever to look whether it should still wait. Here one poll()
// waits for the node and an eventfd: Cancel ends it at once, and nothing wakes up without cause.
// hidapi finds and names the devices (hidapi_list.h). The report descriptor and the ids are asked
// of the very descriptor that is read afterwards, so that no other device can slip in between.
//
// A write can wait in the kernel for up to 5 s and cannot be called back, so a thread of the
// transport makes it: Write hands the report over, and waits (until its deadline) only while a
// whole message of reports is still on its way. When the kernel gives up on one, the key takes
// nothing: those behind it are dropped and the next Write says kDeadline. The destructor waits for
// a write that is in the kernel.
//
// Unplugging ends both directions with kUnavailable, whichever notices first (POLLHUP, ENODEV,
// ESHUTDOWN, EIO, end of file: they differ between drivers).
//
// Errors of opening: kUnavailable (nothing there), kPermissionDenied (names node and cure),
// kConflict (another keyferryd has it, by this or by the libusb path; names its process), kProtocol
// (not a key, with the reason).
Result<std::unique_ptr<Transport>> OpenHidraw(const std::string& path, const HidMatch& match = {});

// The same over a descriptor that behaves like a node, without any check; the transport owns it
// (tests).
std::unique_ptr<Transport> AdoptHidraw(int fd, std::string path);

}  // namespace keyferry::device
