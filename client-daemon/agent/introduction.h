#pragma once

#include <string>

#include "client-daemon/agent/agent_state.h"
#include "client-daemon/agent/daemon_port.h"

namespace keyferry::daemon::login {

// What came of an introduction, for the log and for when to ask again.
struct Introduction {
  bool certified = false;
  std::string words;  // a sentence without its full stop
};

// Gives the daemon our key to be certified and pins the organisation's root, as soon as both can be
// had. Where this workstation was approved before our key was known, answers the server's
// challenge, which the daemon hands on, with a proof that the key is ours: no administrator has to
// come back for it. Blocks for at most five seconds.
Introduction Introduce(DaemonPort& daemon, AgentState& state);

}  // namespace keyferry::daemon::login
