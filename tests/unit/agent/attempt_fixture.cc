#include "tests/unit/agent/attempt_fixture.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <stdexcept>

namespace keyferry::test {

TemporaryDirectory::TemporaryDirectory() {
  path_ = (std::filesystem::temp_directory_path() / "keyferry-agent-XXXXXX").string();
  if (mkdtemp(path_.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

void Client::Send(std::span<const std::uint8_t> datagram) {
  [[maybe_unused]] const ssize_t n = send(fd_, datagram.data(), datagram.size(), MSG_NOSIGNAL);
}

void Client::Hello(login::Purpose purpose, const std::string& user) {
  Datagram out(login::kMaxMessage);
  out.resize(login::Write(login::Hello{purpose, user, "test", "tty1"}, out));
  Send(out);
}

void Client::Pin(const std::string& pin) {
  Datagram out(login::kMaxMessage);
  out.resize(login::WritePin(pin, out));
  Send(out);
}

void Client::Cancel() {
  Datagram out(login::kMaxMessage);
  out.resize(login::WriteBare(login::Type::kCancel, out));
  Send(out);
}

void Client::Deny() {
  Datagram out(login::kMaxMessage);
  out.resize(login::WriteBare(login::Type::kDeny, out));
  Send(out);
}

void Client::Prove(const std::string& number, const std::string& pin) {
  Datagram out(login::kMaxMessage);
  out.resize(login::Write(login::Prove{number, pin}, out));
  Send(out);
}

Datagram Client::Receive() {
  Datagram datagram(4096);
  const ssize_t size = recv(fd_, datagram.data(), datagram.size(), 0);
  datagram.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
  return datagram;
}

void Client::Close() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

std::optional<login::Type> TypeOf(const Datagram& datagram) { return login::TypeOf(datagram); }

std::optional<login::Problem> ProblemOf(const Datagram& datagram) {
  const auto refusal = login::ParseRefusal(datagram);
  return refusal ? std::optional(refusal->problem) : std::nullopt;
}

std::string SentenceOf(const Datagram& datagram) {
  const auto refusal = login::ParseRefusal(datagram);
  return refusal ? std::string(refusal->sentence) : std::string();
}

AgentWorld::AgentWorld()
    : state(*login::AgentState::Open(directory.path() + "/state", std::nullopt)),
      services{daemon, *state, [](uid_t uid) -> std::optional<std::string> {
                 if (uid == 1000) return "alice";
                 if (uid == 1001) return "bob";
                 return std::nullopt;
               }} {}

Attempt::Attempt(AgentWorld& world, uid_t uid) {
  int fds[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0) {
    throw std::runtime_error("socketpair");
  }
  client = std::make_unique<Client>(fds[0]);
  fd_ = fds[1];
  thread_ = std::thread([this, &world, uid] {
    login::LoginAttempt(fd_, uid, world.services, world.limits).Run(-1);
    shutdown(fd_, SHUT_RDWR);
  });
}

Attempt::~Attempt() {
  client->Close();
  thread_.join();
  close(fd_);
}

}  // namespace keyferry::test
