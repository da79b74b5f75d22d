#include "device/transport.h"

namespace keyferry::device {

const char* Name(TransportKind kind) {
  switch (kind) {
    case TransportKind::kHid:
      return "hid";
    case TransportKind::kBle:
      return "ble";
    case TransportKind::kSocket:
      return "socket";
  }
  return "unknown";
}

}  // namespace keyferry::device
