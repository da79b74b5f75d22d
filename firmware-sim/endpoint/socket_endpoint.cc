#include "firmware-sim/endpoint/socket_endpoint.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace keyferry::sim {
namespace {

constexpr std::size_t kHosts = 16;
constexpr int kDatagramsPerPoll = 32;

bool MakeAddress(const std::string& path, sockaddr_un* address) {
  *address = {};
  address->sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address->sun_path)) return false;
  std::memcpy(address->sun_path, path.data(), path.size());
  return true;
}

bool SomebodyAnswers(const sockaddr_un& address) {
  const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return false;
  const bool alive =
      connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 ||
      errno == EAGAIN;
  close(fd);
  return alive;
}

}  // namespace

PacketServer::PacketServer(std::string path, std::size_t max_datagram, std::size_t max_connections,
                           Handler handler, Closed closed)
    : path_(std::move(path)),
      max_connections_(max_connections),
      handler_(std::move(handler)),
      closed_(std::move(closed)),
      buffer_(max_datagram + 1) {}

PacketServer::~PacketServer() { Close(); }

Result<void> PacketServer::Listen() {
  sockaddr_un address;
  if (!MakeAddress(path_, &address)) {
    return Fail(ErrorCode::kInvalidArgument,
                "The socket path must be 1 to 107 bytes long; choose a shorter one.");
  }
  struct stat info {};
  if (lstat(path_.c_str(), &info) == 0) {
    if (!S_ISSOCK(info.st_mode)) {
      return Fail(ErrorCode::kConflict,
                  path_ + " exists and is not a socket; choose another path.");
    }
    if (SomebodyAnswers(address)) {
      return Fail(ErrorCode::kConflict,
                  "Another program listens on " + path_ + "; end it or choose another path.");
    }
    unlink(path_.c_str());
  }
  const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0 || bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      (shared_ && chmod(path_.c_str(), 0666) != 0) || listen(fd, 16) != 0) {
    const std::string reason = std::strerror(errno);
    if (fd >= 0) close(fd);
    return Fail(ErrorCode::kIo, "Cannot listen on " + path_ + ": " + reason + ".");
  }
  listener_ = fd;
  return {};
}

void PacketServer::Close() {
  DropAll();
  if (listener_ < 0) return;
  unlink(path_.c_str());
  close(listener_);
  listener_ = -1;
}

void PacketServer::AppendPollFds(std::vector<pollfd>& fds) const {
  if (listener_ >= 0) fds.push_back({listener_, POLLIN, 0});
  for (const int fd : connections_) fds.push_back({fd, POLLIN, 0});
}

void PacketServer::OnPoll(const pollfd& ready) {
  if (ready.revents == 0) return;
  if (ready.fd == listener_) return Accept();
  if (std::find(connections_.begin(), connections_.end(), ready.fd) != connections_.end())
    Receive(ready.fd);
}

void PacketServer::Accept() {
  const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return;
  if (connections_.size() >= max_connections_) {
    close(fd);
    return;
  }
  connections_.push_back(fd);
}

void PacketServer::Receive(int fd) {
  for (int i = 0; i < kDatagramsPerPoll; ++i) {
    const ssize_t n = recv(fd, buffer_.data(), buffer_.size(), 0);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return;
    if (n <= 0) return Drop(fd);
    handler_(fd, {buffer_.data(), static_cast<std::size_t>(n)});
    if (std::find(connections_.begin(), connections_.end(), fd) == connections_.end()) return;
  }
}

void PacketServer::Send(int fd, std::span<const std::uint8_t> datagram) {
  if (std::find(connections_.begin(), connections_.end(), fd) == connections_.end()) return;
  if (send(fd, datagram.data(), datagram.size(), MSG_NOSIGNAL | MSG_DONTWAIT) < 0) Drop(fd);
}

void PacketServer::DropAll() {
  while (!connections_.empty()) Drop(connections_.back());
}

void PacketServer::Drop(int fd) {
  if (std::erase(connections_, fd) == 0) return;
  close(fd);
  if (closed_) closed_(fd);
}

SocketEndpoint::SocketEndpoint(EndpointClient& client, std::string path, bool share)
    : server_(
          std::move(path), protocol::kReportSize, kHosts,
          [this, &client](int fd, std::span<const std::uint8_t> datagram) {
            if (datagram.size() != protocol::kReportSize)
              return;  // no report: a HID host cannot send such a thing
            auto host = std::find_if(hosts_.begin(), hosts_.end(),
                                     [fd](const Host& h) { return h.fd == fd; });
            if (host == hosts_.end()) host = hosts_.insert(host, {fd, ++last_host_});
            client.OnFrame(*this, datagram, host->number);
          },
          [this](int fd) { std::erase_if(hosts_, [fd](const Host& h) { return h.fd == fd; }); }) {
  if (share) server_.Share();
}

Result<void> SocketEndpoint::Appear(const Identity&) { return server_.Listen(); }

bool SocketEndpoint::Disconnect() {
  server_.DropAll();
  return true;
}

void SocketEndpoint::Send(protocol::ByteView frame, std::uint32_t host) {
  for (const Host& candidate : hosts_) {
    if (candidate.number == host) return server_.Send(candidate.fd, frame);
  }
}

}  // namespace keyferry::sim
