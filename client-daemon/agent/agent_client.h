#pragma once

#include <cstddef>
#include <span>

#include "client-daemon/agent/agent_protocol.h"

namespace keyferry::daemon::login {

// The asking side of keyferry-agent's socket: one attempt, as agent_protocol.h describes it. Used
// by the PAM module and the command line, so: no allocation, no exceptions, no globals, nothing but
// libc. Blocking; one thread. Never raises SIGPIPE.
class AgentClient {
 public:
  enum class Outcome {
    kAnswer,   // a well-formed message that ends this exchange is in the buffer
    kDown,     // nobody listens, or the agent went away
    kTimeout,  // the agent took too long
    kGarbage,  // what came is no message of the protocol, or one that cannot come here
  };
  struct Answer {
    Outcome outcome = Outcome::kDown;
    Type type = Type::kError;
    std::size_t size = 0;
  };
  // Called when the key waits for touch, at most once an exchange.
  using TouchNotice = void (*)(void* context);

  // `wait_ms` is what the agent may take in all exchanges of this attempt together. The person's
  // typing does not count, and a touch has kTouchWaitMs of its own.
  explicit AgentClient(int wait_ms) : left_ms_(wait_ms) {}
  ~AgentClient();
  AgentClient(const AgentClient&) = delete;
  AgentClient& operator=(const AgentClient&) = delete;

  // false when nobody listens at `path` (or it is longer than a socket path may be).
  bool Connect(const char* path);

  // Sends the first `size` bytes of `buffer`, wipes it, and waits for the answer, which is left in
  // `buffer`: one of READY, QUESTION, RELEASED, YES, DONE, ERROR. Without `notice` no touch may be
  // asked for. `size` 0 (a message that could not be written) is kGarbage and nothing is sent.
  Answer Ask(Buffer& buffer, std::size_t size, TouchNotice notice, void* context);

  // The key gives 15 s, then the agent answers.
  static constexpr int kTouchWaitMs = 18000;

 private:
  Answer Receive(Buffer& buffer, int& left_ms);

  int fd_ = -1;
  int left_ms_;
};

}  // namespace keyferry::daemon::login
