#pragma once

#include <string>

#include "client-daemon/agent/daemon_port.h"

namespace keyferry::daemon::login {

// keyferryd over its socket; a connection a call. Nothing is kept between calls.
class DaemonClient final : public DaemonPort {
 public:
  explicit DaemonClient(std::string socket) : socket_(std::move(socket)) {}

  Result<Credentials> Register(const protocol::X25519Public& login_noise_pub,
                               Budget& budget) override;
  Result<Credentials> Prove(const protocol::X25519Public& login_noise_pub,
                            const protocol::X25519Public& challenge, const protocol::Hash& proof,
                            Budget& budget) override;
  Result<KeyAtHand> OpenRelay(const std::string& login, Budget& budget) override;
  Result<void> Used(const Id& device, std::uint64_t seq, Budget& budget) override;
  Result<QuestionAtHand> Question(const std::string& login, Budget& budget) override;
  Result<void> Answer(const Id& request,
                      const std::optional<protocol::Bytes<protocol::kAssertionSize>>& proof,
                      Budget& budget) override;

 private:
  const std::string socket_;
};

}  // namespace keyferry::daemon::login
