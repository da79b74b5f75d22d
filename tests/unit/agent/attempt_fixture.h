#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "client-daemon/agent/login_attempt.h"
#include "tests/unit/agent/login_key.h"

namespace keyferry::test {

namespace login = daemon::login;
using Datagram = std::vector<std::uint8_t>;
inline constexpr uid_t kAlice = 1000;
inline constexpr uid_t kBob = 1001;

// A folder of its own, gone at the end.
class TemporaryDirectory {
 public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// A client's end of a socket to the agent.
class Client {
 public:
  explicit Client(int fd) : fd_(fd) {}
  ~Client() { Close(); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  void Send(std::span<const std::uint8_t> datagram);
  void Hello(login::Purpose purpose, const std::string& user);
  void Pin(const std::string& pin);
  void Cancel();
  void Deny();
  void Prove(const std::string& number, const std::string& pin);
  // The next datagram; empty when the agent closed.
  Datagram Receive();
  void Close();

 private:
  int fd_;
};

// Readable forms of what came. `Is` names the type, a refusal its problem.
std::optional<login::Type> TypeOf(const Datagram& datagram);
std::optional<login::Problem> ProblemOf(const Datagram& datagram);
std::string SentenceOf(const Datagram& datagram);

// An organisation, one key of alice, an honest daemon, and an agent's state.
struct AgentWorld {
  AgentWorld();

  Organisation organisation;
  LoginKey key{organisation};
  FakeDaemon daemon{organisation, key};
  TemporaryDirectory directory;
  std::unique_ptr<login::AgentState> state;
  login::Services services;
  login::AttemptLimits limits;
};

// One attempt on a thread of its own.
class Attempt {
 public:
  explicit Attempt(AgentWorld& world, uid_t uid = 0);
  ~Attempt();  // waits for the attempt's end

  std::unique_ptr<Client> client;

 private:
  int fd_ = -1;
  std::thread thread_;
};

}  // namespace keyferry::test
