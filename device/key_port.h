#pragma once

#include <functional>
#include <memory>
#include <string>

#include "device/link.h"
#include "device/transport.h"
#include "protocol/result.h"

namespace keyferry::device {

// Where a key is attached.
struct KeyPlace {
  TransportKind transport = TransportKind::kSocket;
  // Unique among all transports and stable while the key stays: a device node (/dev/hidraw0),
  // usb:BUS-PORT[.PORT…] (through libusb), a D-Bus object (/org/bluez/hci0/dev_…) or a socket.
  std::string path;
};

// The one owner of the connection to one key. It hands out links, lets one transaction at a time
// onto the key in the order of asking, and notices at once when the key is gone. Links share the
// port and keep it alive; they fail with kUnavailable when it is closed. All members may be called
// from any thread.
class KeyPort {
 public:
  virtual ~KeyPort() = default;

  // A channel with nothing left of its former user. kRateLimited while all channels of the key are
  // in use.
  virtual Result<std::unique_ptr<MessageLink>> OpenLink(const Patience& patience) = 0;

  // Ends every running and later transaction with kUnavailable.
  virtual void Close() = 0;

  virtual TransportInfo Describe() const = 0;
};

// Told once, on a thread of the port, when the key is gone or was given up, with the reason; not
// when Close was called before. It must not block and must not destroy the port.
using OnGone = std::function<void(const Error&)>;

// Opens the port at a place. Blocks for a few seconds at most. kUnavailable: the key is not (or no
// longer) there; kPermissionDenied: the operating system keeps it from us; kConflict: another
// program has it, and the message names it.
using OpenPort = std::function<Result<std::shared_ptr<KeyPort>>(const KeyPlace& place, OnGone)>;

}  // namespace keyferry::device
