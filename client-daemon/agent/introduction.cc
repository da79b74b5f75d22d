#include "client-daemon/agent/introduction.h"

#include "protocol/login_proof.h"

namespace keyferry::daemon::login {
namespace {

constexpr std::chrono::milliseconds kPatience{2500};  // a question

}  // namespace

Introduction Introduce(DaemonPort& daemon, AgentState& state) {
  Budget budget{kPatience};
  const auto credentials = daemon.Register(state.LoginPublic(), budget);
  if (!credentials) return {false, "waiting for keyferryd: " + credentials.error().message};
  if (auto same = state.CheckRoot(credentials->root); !same) {
    return {false, same.error().message + " (" + same.error().detail + ")"};
  }
  if (credentials->login_cert) return {true, "certified by the organisation"};
  if (!credentials->challenge) {
    return {false, "waiting for this computer's LOGIN key to be certified"};
  }
  protocol::Hash proof{};
  if (!protocol::LoginProof(
          state.LoginKey(), *credentials->challenge,
          {credentials->workstation, state.LoginPublic(), *credentials->challenge}, proof)) {
    return {false, "the server's challenge for this computer's LOGIN key is none"};
  }
  Budget second{kPatience};
  const auto proven = daemon.Prove(state.LoginPublic(), *credentials->challenge, proof, second);
  if (!proven) return {false, "the LOGIN key is not certified: " + proven.error().message};
  if (!proven->login_cert) {
    return {false, "waiting for this computer's LOGIN key to be certified"};
  }
  return {true, "certified by the organisation, after the approval"};
}

}  // namespace keyferry::daemon::login
