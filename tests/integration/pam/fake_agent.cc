#include "tests/integration/pam/fake_agent.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <stdexcept>

namespace keyferry::tests {
namespace {

// False when the agent is being stopped.
bool WaitFor(int fd, int stop_fd) {
  pollfd fds[2] = {{fd, POLLIN, 0}, {stop_fd, POLLIN, 0}};
  return poll(fds, 2, -1) > 0 && fds[1].revents == 0;
}

template <typename WriteTo>
Datagram Make(WriteTo write) {
  Datagram out(login::kMaxMessage);
  const std::size_t size = write(std::span<std::uint8_t>(out));
  if (size == 0) throw std::logic_error("the test made a message that cannot be written");
  out.resize(size);
  return out;
}

}  // namespace

FakeAgent::FakeAgent(const std::string& path, Script script)
    : path_(path), script_(std::move(script)) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) throw std::runtime_error("socket path too long");
  std::memcpy(address.sun_path, path.data(), path.size());
  listen_fd_ = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  stop_fd_ = eventfd(0, EFD_CLOEXEC);
  if (bind(listen_fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      chmod(path.c_str(), 0666) != 0 || listen(listen_fd_, 8) != 0) {
    throw std::runtime_error("no socket at " + path);
  }
  thread_ = std::thread([this] { Serve(); });
}

FakeAgent::~FakeAgent() {
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = write(stop_fd_, &one, sizeof one);
  thread_.join();
  close(listen_fd_);
  close(stop_fd_);
  unlink(path_.c_str());
}

void FakeAgent::Serve() {
  while (WaitFor(listen_fd_, stop_fd_)) {
    const int fd = accept4(listen_fd_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) continue;
    Peer peer(*this, fd);
    script_(peer);
    close(fd);
  }
}

Datagram FakeAgent::Peer::Receive() {
  if (!WaitFor(fd_, agent_.stop_fd_)) return {};
  Datagram datagram(4096);
  const ssize_t size = recv(fd_, datagram.data(), datagram.size(), 0);
  if (size <= 0) return {};
  datagram.resize(static_cast<std::size_t>(size));
  const std::scoped_lock lock(agent_.mutex_);
  agent_.received_.push_back(datagram);
  return datagram;
}

void FakeAgent::Peer::Send(std::span<const std::uint8_t> datagram) {
  [[maybe_unused]] const ssize_t n = send(fd_, datagram.data(), datagram.size(), MSG_NOSIGNAL);
}

void FakeAgent::Peer::UntilClosed() {
  while (!Receive().empty()) {
  }
}

std::vector<Datagram> FakeAgent::Received() const {
  const std::scoped_lock lock(mutex_);
  return received_;
}

std::size_t FakeAgent::Count(login::Type type) const {
  std::size_t count = 0;
  for (const Datagram& datagram : Received()) count += login::TypeOf(datagram) == type ? 1U : 0U;
  return count;
}

Datagram Bare(login::Type type) {
  return Make([&](auto out) { return login::WriteBare(type, out); });
}

Datagram ReadyMessage(std::uint8_t tries) {
  return Make([&](auto out) { return login::Write(login::Ready{tries, true, "key 0011"}, out); });
}

Datagram ReleasedMessage(const std::string& password, std::uint64_t seq) {
  return Make([&](auto out) { return login::Write(login::Released{seq, password}, out); });
}

Datagram RefusalMessage(login::Problem problem, const std::string& sentence, std::uint8_t tries) {
  return Make([&](auto out) {
    return login::Write(login::Refusal{problem, tries, sentence}, out);
  });
}

}  // namespace keyferry::tests
