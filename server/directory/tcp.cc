#include "server/directory/tcp.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace keyferry::server {
namespace {

using std::chrono::steady_clock;

constexpr int kKeepaliveIdle = 60;  // seconds
constexpr int kKeepaliveProbes = 3;
constexpr int kKeepaliveInterval = 10;

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

struct Lookup {
  std::mutex mutex;
  std::condition_variable changed;
  bool done = false;
  int rc = 0;  // of getaddrinfo
  std::vector<Address> addresses;
};

int Ask(const std::string& host, int flags, std::vector<Address>* addresses) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags;
  addrinfo* found = nullptr;
  const int rc = getaddrinfo(host.c_str(), nullptr, &hints, &found);
  if (rc != 0) return rc;
  for (const addrinfo* each = found; each != nullptr; each = each->ai_next) {
    if (each->ai_family != AF_INET && each->ai_family != AF_INET6) continue;
    Address address;
    std::memcpy(&address.storage, each->ai_addr, each->ai_addrlen);
    address.size = each->ai_addrlen;
    addresses->push_back(address);
  }
  freeaddrinfo(found);
  return addresses->empty() ? EAI_NONAME : 0;
}

// The look-ups that have no answer yet. Never destroyed: a look-up may outlast main().
struct Running {
  std::mutex mutex;
  std::map<std::string, std::shared_ptr<Lookup>> by_host;
};
Running& TheRunning() {
  static Running& running = *new Running;
  return running;
}

// The look-up of `host` that runs now, else a new one. Null when no thread can be had.
std::shared_ptr<Lookup> LookupOf(const std::string& host) {
  Running& running = TheRunning();
  const std::lock_guard lock(running.mutex);
  if (const auto found = running.by_host.find(host); found != running.by_host.end()) {
    return found->second;
  }
  const auto lookup = std::make_shared<Lookup>();
  try {
    std::thread([host, lookup, &running] {
      std::vector<Address> addresses;
      const int rc = Ask(host, 0, &addresses);
      {
        const std::lock_guard ending(running.mutex);
        running.by_host.erase(host);
      }
      const std::lock_guard done(lookup->mutex);
      lookup->rc = rc;
      lookup->addresses = std::move(addresses);
      lookup->done = true;
      lookup->changed.notify_all();
    }).detach();
  } catch (const std::system_error&) {
    return nullptr;
  }
  running.by_host.emplace(host, lookup);
  return lookup;
}

TcpConnection Failed(TcpConnection::State state, std::string detail) {
  return TcpConnection{state, -1, std::move(detail)};
}

// 0 when connected, else errno.
int TryAddress(const Address& address, steady_clock::time_point deadline, int* fd) {
  *fd = socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (*fd < 0) return errno;
  int error = connect(*fd, reinterpret_cast<const sockaddr*>(&address.storage), address.size) == 0
                  ? 0
                  : errno;
  while (error == EINPROGRESS) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - steady_clock::now()).count();
    pollfd wait{*fd, POLLOUT, 0};
    const int ready = poll(&wait, 1, static_cast<int>(std::clamp<long long>(left, 0, 60'000)));
    if (ready > 0) {
      socklen_t size = sizeof error;
      getsockopt(*fd, SOL_SOCKET, SO_ERROR, &error, &size);
    } else if (ready < 0 && errno != EINTR) {
      error = errno;
    } else if (left <= 0) {
      error = ETIMEDOUT;
    }
  }
  if (error == 0) return 0;
  close(*fd);
  *fd = -1;
  return error;
}

void Prepare(int fd) {
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &kKeepaliveIdle, sizeof kKeepaliveIdle);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &kKeepaliveProbes, sizeof kKeepaliveProbes);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &kKeepaliveInterval, sizeof kKeepaliveInterval);
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
}

}  // namespace

TcpConnection ConnectTcp(const std::string& host, std::uint16_t port,
                         steady_clock::time_point deadline) {
  using State = TcpConnection::State;
  std::vector<Address> addresses;
  if (Ask(host, AI_NUMERICHOST, &addresses) != 0) {
    const auto lookup = LookupOf(host);
    if (lookup == nullptr) return Failed(State::kUnresolved, "no thread for the look-up");
    std::unique_lock lock(lookup->mutex);
    if (!lookup->changed.wait_until(lock, deadline, [&] { return lookup->done; })) {
      return Failed(State::kUnresolved, "the resolver did not answer");
    }
    if (lookup->rc != 0) return Failed(State::kUnknownName, gai_strerror(lookup->rc));
    addresses = lookup->addresses;
  }
  std::string detail;
  bool silent = false;
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    Address& address = addresses[i];
    if (address.storage.ss_family == AF_INET) {
      reinterpret_cast<sockaddr_in*>(&address.storage)->sin_port = htons(port);
    } else {
      reinterpret_cast<sockaddr_in6*>(&address.storage)->sin6_port = htons(port);
    }
    // A silent address may use up only its share of what is left.
    const auto now = steady_clock::now();
    const auto share = (deadline - now) / static_cast<int>(addresses.size() - i);
    int fd = -1;
    const int error = TryAddress(address, now + share, &fd);
    if (error == 0) {
      Prepare(fd);
      return TcpConnection{State::kConnected, fd, {}};
    }
    silent = silent || error == ETIMEDOUT;
    detail += (detail.empty() ? "" : ", ") + std::string(std::strerror(error));
  }
  return Failed(silent ? State::kSilent : State::kRefused, std::move(detail));
}

}  // namespace keyferry::server
