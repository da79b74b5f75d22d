#pragma once

#include <cstdint>
#include <string>

namespace keyferry::daemon {

enum class UplinkState {
  kStarting,    // nothing tried yet, or waiting for the login agent's key
  kOffline,     // the server cannot be reached; last_error says why
  kPending,     // registered, waits for an administrator's approval
  kConnecting,  // approved, the event stream is being opened
  kConnected,   // at work
  kRevoked,     // the server refuses this workstation
};
// "starting", "offline", "pending", "connecting", "connected", "revoked".
const char* Name(UplinkState state);

struct UplinkStatus {
  UplinkState state = UplinkState::kStarting;
  std::int64_t since = 0;   // Unix seconds
  std::string last_error;   // a sentence; empty while all is well
  std::string fingerprint;  // of the TLS key, for the administrator to compare
};

}  // namespace keyferry::daemon
