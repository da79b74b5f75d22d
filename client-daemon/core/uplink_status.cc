#include "client-daemon/core/uplink_status.h"

namespace keyferry::daemon {

const char* Name(UplinkState state) {
  switch (state) {
    case UplinkState::kStarting:
      return "starting";
    case UplinkState::kOffline:
      return "offline";
    case UplinkState::kPending:
      return "pending";
    case UplinkState::kConnecting:
      return "connecting";
    case UplinkState::kConnected:
      return "connected";
    case UplinkState::kRevoked:
      return "revoked";
  }
  return "unknown";
}

}  // namespace keyferry::daemon
