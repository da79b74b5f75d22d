#include "client-daemon/agent/agent_client.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace keyferry::daemon::login {
namespace {

long long NowMs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<long long>(now.tv_sec) * 1000 + now.tv_nsec / 1000000;
}

bool EndsExchange(Type type) {
  return type == Type::kReady || type == Type::kReleased || type == Type::kYes ||
         type == Type::kDone || type == Type::kError || type == Type::kQuestion;
}

}  // namespace

AgentClient::~AgentClient() {
  if (fd_ >= 0) close(fd_);
}

bool AgentClient::Connect(const char* path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::size_t size = std::strlen(path);
  if (size == 0 || size >= sizeof address.sun_path || fd_ >= 0) return false;
  std::memcpy(address.sun_path, path, size);
  fd_ = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  // Without blocking: a full backlog is an answer too.
  return fd_ >= 0 && connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

AgentClient::Answer AgentClient::Ask(Buffer& buffer, std::size_t size, TouchNotice notice,
                                     void* context) {
  if (size == 0) return {Outcome::kGarbage};
  const ssize_t sent = send(fd_, buffer.data(), size, MSG_NOSIGNAL);
  const int send_error = errno;
  buffer.Wipe();
  // An agent that has closed may have said why.
  const bool closed = sent < 0 && (send_error == EPIPE || send_error == ECONNRESET);
  if (sent != static_cast<ssize_t>(size) && !closed) return {Outcome::kDown};
  Answer answer = Receive(buffer, left_ms_);
  if (answer.outcome == Outcome::kAnswer && answer.type == Type::kTouch && notice != nullptr) {
    notice(context);
    int touch_ms = kTouchWaitMs;
    answer = Receive(buffer, touch_ms);
  }
  if (answer.outcome == Outcome::kAnswer && !EndsExchange(answer.type)) {
    buffer.Wipe();
    return {Outcome::kGarbage};
  }
  return answer;
}

AgentClient::Answer AgentClient::Receive(Buffer& buffer, int& left_ms) {
  const long long end = NowMs() + left_ms;
  for (;;) {
    pollfd waiting{fd_, POLLIN, 0};
    const int ready = poll(&waiting, 1, left_ms);
    const int poll_error = errno;
    const long long left = end - NowMs();
    left_ms = left > 0 ? static_cast<int>(left) : 0;
    if (ready < 0 && poll_error == EINTR && left_ms > 0) continue;
    if (ready <= 0) return {Outcome::kTimeout};
    // MSG_TRUNC: the true length, so that an over-long datagram is seen as what it is.
    const ssize_t got = recv(fd_, buffer.data(), buffer.size(), MSG_TRUNC);
    // ECONNRESET comes once, before what the agent said when it closed.
    if (got < 0 && (errno == EINTR || errno == EAGAIN || errno == ECONNRESET)) continue;
    if (got <= 0) return {Outcome::kDown};
    const auto size = static_cast<std::size_t>(got);
    const auto type = size <= buffer.size() ? TypeOf(buffer.first(size)) : std::nullopt;
    if (!type) {
      buffer.Wipe();
      return {Outcome::kGarbage};
    }
    return {Outcome::kAnswer, *type, size};
  }
}

}  // namespace keyferry::daemon::login
