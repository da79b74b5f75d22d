#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "client-daemon/agent/agent_protocol.h"

namespace keyferry::tests {

namespace login = keyferry::daemon::login;
using Datagram = std::vector<std::uint8_t>;

// A keyferry-agent that does what a test tells it to: listens at `path`, serves one connection
// after the other with `script`, and remembers every datagram that came.
class FakeAgent {
 public:
  // The connection as the script sees it.
  class Peer {
   public:
    Peer(FakeAgent& agent, int fd) : agent_(agent), fd_(fd) {}
    // The next datagram, empty when the client went away or the agent is being stopped.
    Datagram Receive();
    void Send(std::span<const std::uint8_t> datagram);
    // Waits until the client has gone.
    void UntilClosed();

   private:
    FakeAgent& agent_;
    int fd_;
  };
  using Script = std::function<void(Peer&)>;

  FakeAgent(const std::string& path, Script script);
  ~FakeAgent();
  FakeAgent(const FakeAgent&) = delete;
  FakeAgent& operator=(const FakeAgent&) = delete;

  std::vector<Datagram> Received() const;
  std::size_t Count(login::Type type) const;

 private:
  void Serve();

  const std::string path_;
  const Script script_;
  int listen_fd_ = -1;
  int stop_fd_ = -1;
  mutable std::mutex mutex_;
  std::vector<Datagram> received_;
  std::thread thread_;
};

// One message as a datagram.
Datagram Bare(login::Type type);
Datagram ReadyMessage(std::uint8_t tries = 8);
Datagram ReleasedMessage(const std::string& password, std::uint64_t seq = 7);
Datagram RefusalMessage(login::Problem problem, const std::string& sentence,
                        std::uint8_t tries = login::kTriesUnknown);

}  // namespace keyferry::tests
