#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "client-daemon/agent/agent_protocol.h"
#include "client-daemon/agent/agent_state.h"
#include "client-daemon/agent/budget.h"
#include "client-daemon/agent/daemon_port.h"
#include "device/key_client.h"
#include "protocol/secure/secure_bytes.h"

namespace keyferry::daemon::login {

// What every attempt shares. All of it is thread-safe and outlives the attempts.
struct Services {
  DaemonPort& daemon;
  AgentState& state;
  // The name of a user id; nothing when there is none.
  std::function<std::optional<std::string>(uid_t)> name_of;
};

struct AttemptLimits {
  std::chrono::milliseconds work{2500};  // daemon and key together; less than the PAM module waits
  std::chrono::milliseconds greeting{3000};  // until HELLO
  std::chrono::milliseconds typing{180000};  // until the PIN
};

// One connection to the agent's socket, from HELLO to its end (agent_protocol.h). The order is the
// point:
//   who asks, and may they → a key of this login → the pinned root → the key's record → a handshake
//   with the key that the record names → READY → the PIN leaves → touch → the released login is the
//   caller's
// so that a PIN never goes to a key, or through a daemon, that could not prove where it comes from.
// Blocking; one thread. What it does not know how to answer ends in a refusal.
class LoginAttempt {
 public:
  // `fd` is the client's socket, which the caller closes afterwards; `uid` its SO_PEERCRED.
  LoginAttempt(int fd, uid_t uid, const Services& services, const AttemptLimits& limits);
  ~LoginAttempt();

  // `cancel_fd` becomes readable when the agent stops; -1: never.
  void Run(int cancel_fd);

 private:
  // Sent to the client as ERROR and logged with what is behind it.
  struct Refused {
    Problem problem;
    std::string sentence;
    std::uint8_t tries = kTriesUnknown;
    std::string detail;
  };
  template <typename T>
  using Outcome = tl::expected<T, Refused>;

  // One datagram into buffer_; its size, or 0 when the client (or the agent) is gone or takes too
  // long.
  std::size_t Receive(std::chrono::milliseconds wait);
  bool Send(std::size_t size);
  void Refuse(const Refused& refused);

  Outcome<void> Greet();
  Outcome<void> Authorise() const;
  Outcome<void> Connect();
  Outcome<void> CheckState() const;
  Outcome<void> Serve();
  Outcome<void> Login(std::string_view pin);
  Outcome<void> Unlock(std::string_view pin);
  Outcome<void> VerifyPin(std::string_view pin);
  Outcome<void> SetPin(const PinSet& request);
  Outcome<void> ChangePin(const PinChange& request);
  Outcome<void> Confirm(std::uint64_t seq);
  // What the help desk asks, and the person's answer (proof_attempt.cc).
  Outcome<void> ServeCaller();
  Outcome<void> ProveCaller(const QuestionAtHand& question, const Prove& request);
  // The key signs a challenge with PIN and touch; what comes back holds.
  Outcome<protocol::Assertion> Assert(const protocol::AssertRequest& request);
  device::KeepaliveHandler TouchWatch();

  // For the log and for people: short enough to read, long enough to tell two keys apart.
  static std::string KeyName(const Id& device);
  static tl::unexpected<Refused> FromKey(const Error& error);
  static tl::unexpected<Refused> FromPin(const device::PinAnswer& answer, bool code);

  const int fd_;
  const uid_t uid_;
  const Services& services_;
  const AttemptLimits limits_;
  int cancel_fd_ = -1;
  Budget budget_;
  SecureBytes buffer_;
  Purpose purpose_ = Purpose::kLogin;
  std::string user_;
  device::KeyIdentity identity_;
  Id workstation_{};
  protocol::KeyStatus status_;
  std::unique_ptr<device::KeyClient> key_;
  bool touch_told_ = false;
};

// Equal but for ASCII case, as sAMAccountName compares.
bool SameLogin(std::string_view a, std::string_view b);

}  // namespace keyferry::daemon::login
