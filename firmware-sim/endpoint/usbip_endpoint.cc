#include "firmware-sim/endpoint/usbip_endpoint.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <utility>

namespace keyferry::sim {
namespace {

constexpr char kVhci[] = "/sys/devices/platform/vhci_hcd.0/";
constexpr std::size_t kPeers = 8;
constexpr std::size_t kReadAtOnce = 16'384;
constexpr int kReadsPerPoll = 8;

bool IsLoopback(const sockaddr* address) {
  if (address->sa_family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(address);
    return (ntohl(v4->sin_addr.s_addr) >> 24) == 127;
  }
  if (address->sa_family != AF_INET6) return false;
  return IN6_IS_ADDR_LOOPBACK(&reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr) != 0;
}

std::string NameOf(int listener) {
  sockaddr_storage bound{};
  socklen_t size = sizeof bound;
  char host[NI_MAXHOST];
  char port[NI_MAXSERV];
  if (getsockname(listener, reinterpret_cast<sockaddr*>(&bound), &size) != 0 ||
      getnameinfo(reinterpret_cast<sockaddr*>(&bound), size, host, sizeof host, port, sizeof port,
                  NI_NUMERICHOST | NI_NUMERICSERV) != 0)
    return {};
  const std::string name = host;
  return (name.find(':') == std::string::npos ? name : "[" + name + "]") + ":" + port;
}

}  // namespace

std::optional<unsigned> FreeVhciPort(const std::string& status) {
  std::istringstream lines(status);
  std::string line;
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    std::string hub;
    unsigned port = 0;
    unsigned state = 0;
    constexpr unsigned kFree = 4;
    if (words >> hub >> port >> state && hub == "hs" && state == kFree) return port;
  }
  return std::nullopt;
}

Result<void> UsbIpEndpoint::AttachKernel(int socket, UsbSpeed speed) {
  std::ifstream file(std::string(kVhci) + "status");
  if (!file) {
    return Fail(ErrorCode::kUnavailable,
                "This kernel has no USB/IP host; load it with `modprobe vhci_hcd`.");
  }
  std::stringstream status;
  status << file.rdbuf();
  const auto port = FreeVhciPort(status.str());
  if (!port) return Fail(ErrorCode::kUnavailable, "All USB/IP ports of this machine are in use.");
  const std::string words = std::to_string(*port) + " " + std::to_string(socket) + " " +
                            std::to_string(UsbIpSession::kDeviceId) + " " +
                            std::to_string(static_cast<int>(speed));
  const int fd = open((std::string(kVhci) + "attach").c_str(), O_WRONLY | O_CLOEXEC);
  const bool done = fd >= 0 && write(fd, words.data(), words.size()) >= 0;
  const int reason = errno;
  if (fd >= 0) close(fd);
  if (done) return {};
  if (reason == EACCES || reason == EPERM) {
    return Fail(ErrorCode::kPermissionDenied,
                "Only root may attach USB/IP devices; run keyferry-sim as root.");
  }
  return Fail(ErrorCode::kIo, std::string("The kernel did not take the USB device: ") +
                                  std::strerror(reason) + ".");
}

UsbIpEndpoint::UsbIpEndpoint(EndpointClient& client, Options options)
    : client_(client), options_(std::move(options)) {}

UsbIpEndpoint::~UsbIpEndpoint() { UsbIpEndpoint::Vanish(); }

std::string UsbIpEndpoint::Place() const {
  return options_.attach ? "this machine, serial " + identity_.Serial()
                         : address_ + ", bus id " + UsbIpSession::kBusId;
}

Result<void> UsbIpEndpoint::Appear(const Identity& identity) {
  identity_ = identity;
  auto appeared = options_.attach ? AppearAttached() : AppearListening();
  present_ = appeared.has_value();
  return appeared;
}

Result<void> UsbIpEndpoint::AppearAttached() {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
    return Fail(ErrorCode::kIo, "Cannot make a socket.", std::strerror(errno));
  auto attached = options_.attach(pair[1], options_.speed);
  close(pair[1]);
  if (!attached) {
    close(pair[0]);
    return attached;
  }
  fcntl(pair[0], F_SETFL, O_NONBLOCK);
  AddPeer(pair[0], UsbIpSession::Phase::kUrbs);
  return {};
}

Result<void> UsbIpEndpoint::AppearListening() {
  const std::size_t colon = options_.listen.rfind(':');
  std::string host = options_.listen.substr(0, colon);
  const std::string port = colon == std::string::npos ? "" : options_.listen.substr(colon + 1);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']')
    host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (host.empty() || port.empty() ||
      getaddrinfo(host.c_str(), port.c_str(), &hints, &found) != 0) {
    return Fail(ErrorCode::kInvalidArgument,
                "\"" + options_.listen + "\" is no address; give one like 127.0.0.1:3240.");
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> address(found, freeaddrinfo);
  if (!options_.any_address && !IsLoopback(address->ai_addr)) {
    return Fail(ErrorCode::kInvalidArgument,
                host +
                    " can be reached from other machines, and USB/IP knows no passwords; listen on "
                    "127.0.0.1, or allow it with --usbip-any-address.");
  }
  const int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const int on = 1;
  if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      bind(fd, address->ai_addr, address->ai_addrlen) != 0 || ::listen(fd, 8) != 0) {
    const std::string reason = std::strerror(errno);
    if (fd >= 0) close(fd);
    return Fail(ErrorCode::kIo, "Cannot listen on " + options_.listen + ": " + reason + ".");
  }
  listener_ = fd;
  address_ = NameOf(fd);
  return {};
}

void UsbIpEndpoint::Vanish() {
  present_ = false;
  for (const auto& peer : std::exchange(peers_, {})) close(peer->fd);
  if (listener_ >= 0) close(std::exchange(listener_, -1));
}

// Only where another machine may import the device anew.
bool UsbIpEndpoint::Disconnect() {
  const Peer* peer = Imported();
  if (options_.attach || peer == nullptr) return false;
  const int fd = peer->fd;
  close(fd);
  std::erase_if(peers_, [fd](const auto& p) { return p->fd == fd; });
  return true;
}

void UsbIpEndpoint::AppendPollFds(std::vector<pollfd>& fds) const {
  if (listener_ >= 0) fds.push_back({listener_, POLLIN, 0});
  for (const auto& peer : peers_) {
    const bool writing = !peer->session->output().empty();
    fds.push_back({peer->fd, static_cast<short>(writing ? POLLIN | POLLOUT : POLLIN), 0});
  }
}

void UsbIpEndpoint::OnPoll(const pollfd& ready) {
  if (ready.fd == listener_) return Accept();
  for (const auto& peer : peers_) {
    if (peer->fd != ready.fd) continue;
    if ((ready.revents & POLLOUT) != 0) Write(*peer);
    // Write may have ended it.
    const bool lives = std::any_of(peers_.begin(), peers_.end(),
                                   [&ready](const auto& p) { return p->fd == ready.fd; });
    if (lives && (ready.revents & (POLLIN | POLLHUP | POLLERR)) != 0) Read(*peer);
    return;
  }
}

void UsbIpEndpoint::Accept() {
  const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return;
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (peers_.size() >= kPeers) {
    // Whoever has waited longest without importing makes room.
    const auto idle = std::find_if(peers_.begin(), peers_.end(), [](const auto& peer) {
      return peer->session->phase() != UsbIpSession::Phase::kUrbs;
    });
    close((*idle)->fd);
    peers_.erase(idle);
  }
  AddPeer(fd, UsbIpSession::Phase::kOperations);
}

void UsbIpEndpoint::AddPeer(int fd, UsbIpSession::Phase phase) {
  auto peer = std::make_unique<Peer>();
  peer->fd = fd;
  peer->session = std::make_unique<UsbIpSession>(
      phase, identity_, options_.speed,
      [this](protocol::ByteView report) { client_.OnFrame(*this, report, 0); },
      [this] { return Imported() == nullptr; });
  peers_.push_back(std::move(peer));
}

UsbIpEndpoint::Peer* UsbIpEndpoint::Imported() const {
  for (const auto& peer : peers_) {
    if (peer->session->phase() == UsbIpSession::Phase::kUrbs) return peer.get();
  }
  return nullptr;
}

void UsbIpEndpoint::Read(Peer& peer) {
  const int fd = peer.fd;
  std::uint8_t buffer[kReadAtOnce];
  for (int i = 0; i < kReadsPerPoll; ++i) {
    const ssize_t n = recv(fd, buffer, sizeof buffer, 0);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) break;
    if (n <= 0) return End(fd, "the host let go of it");
    if (!peer.session->Receive({buffer, static_cast<std::size_t>(n)}))
      return End(fd, "the host broke the USB/IP protocol");
  }
  Write(peer);
}

void UsbIpEndpoint::Write(Peer& peer) {
  auto& output = peer.session->output();
  while (!output.empty()) {
    const ssize_t n = send(peer.fd, output.data(), output.size(), MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return;
    if (n < 0) return End(peer.fd, "the host let go of it");
    output.erase(output.begin(), output.begin() + n);
  }
  if (peer.session->phase() == UsbIpSession::Phase::kClosing) End(peer.fd, "");
}

void UsbIpEndpoint::End(int fd, const char* why) {
  const auto ended =
      std::find_if(peers_.begin(), peers_.end(), [fd](const auto& p) { return p->fd == fd; });
  if (ended == peers_.end()) return;
  const bool imported = (*ended)->session->phase() == UsbIpSession::Phase::kUrbs;
  close(fd);
  peers_.erase(ended);
  if (!imported) return;
  if (options_.attach) {
    present_ = false;
    client_.OnPulled(*this, why);
  } else {
    client_.OnHostGone(*this);
  }
}

void UsbIpEndpoint::Send(protocol::ByteView frame, std::uint32_t) {
  Peer* peer = Imported();
  if (peer == nullptr) return;
  peer->session->SendReport(frame);
  if (!peer->session->output().empty()) Write(*peer);
}

bool UsbIpEndpoint::Holds() const {
  const Peer* peer = Imported();
  return peer != nullptr && (peer->session->HoldsReports() || !peer->session->output().empty());
}

}  // namespace keyferry::sim
