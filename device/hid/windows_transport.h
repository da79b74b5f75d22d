#pragma once

#include <memory>
#include <string>

#include "device/hid/hid_match.h"
#include "device/transport.h"
#include "protocol/result.h"

namespace keyferry::device {

// A key on Windows, at the path of a WindowsHid. Reports of 64 bytes without report id; the zero
// byte that Windows puts before each of them never leaves this room.
//
// Read and written by overlapped calls, not by hidapi, whose reads nobody can end from outside
// (hidraw_transport.h has the same reason). Cancel ends both directions at once, and a call whose
// deadline passes is taken back: then the report did not go out. Unplugging ends both directions
// with kUnavailable, whatever error Windows gives for it.
//
// The device is opened without sharing: as long as this lives, no other program can open it, so
// two daemons cannot have one key. Ids and capabilities are asked of the open device itself.
//
// Errors of opening: kInvalidArgument (no HID path), kUnavailable (nothing there), kConflict
// (another program has it), kPermissionDenied, kProtocol (not a key, with the reason), kIo.
Result<std::unique_ptr<Transport>> OpenWindowsHid(const std::string& path,
                                                  const HidMatch& match = {});

// The same over a handle that was opened with FILE_FLAG_OVERLAPPED and behaves like a HID device,
// without any check; the transport owns it (tests: a pipe in message mode).
std::unique_ptr<Transport> AdoptWindowsHid(void* handle, std::string path);

}  // namespace keyferry::device
