#include "tests/support/dc/tcp_proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <stdexcept>

namespace keyferry::testing {
namespace {

sockaddr_in Address(const std::string& ip, std::uint16_t port) {
  sockaddr_in out{};
  out.sin_family = AF_INET;
  out.sin_port = htons(port);
  inet_pton(AF_INET, ip.c_str(), &out.sin_addr);
  return out;
}

void CloseWithReset(int fd) {
  const linger at_once{1, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  close(fd);
}

}  // namespace

TcpProxy::TcpProxy(const std::string& listen_ip, std::uint16_t target_port,
                   const std::string& target_ip)
    : target_ip_(target_ip), target_port_(target_port) {
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  sockaddr_in address = Address(listen_ip, 0);
  socklen_t size = sizeof address;
  if (bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      listen(listener_, 64) != 0 ||
      getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    throw std::runtime_error("the proxy cannot listen on " + listen_ip);
  }
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { Run(); });
}

TcpProxy::~TcpProxy() {
  stop_ = true;
  thread_.join();
  for (const Pair& pair : pairs_) {
    close(pair.client);
    close(pair.server);
  }
  close(listener_);
}

void TcpProxy::Accept() {
  const int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
  if (client < 0) return;
  ++accepted_;
  const int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = Address(target_ip_, target_port_);
  if (connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    CloseWithReset(client);
    close(server);
    return;
  }
  pairs_.push_back({client, server});
}

// Several small requests that come in one piece are no large one.
std::size_t TcpProxy::LongestRecord(std::string_view tls) {
  constexpr std::size_t kHeader = 5;
  std::size_t longest = 0;
  while (tls.size() >= kHeader) {
    const std::size_t size =
        kHeader + static_cast<std::uint8_t>(tls[3]) * 256u + static_cast<std::uint8_t>(tls[4]);
    longest = std::max(longest, size);
    tls.remove_prefix(std::min(size, tls.size()));
  }
  return longest;
}

void TcpProxy::Forward(Pair* pair, bool from_client) {
  std::array<char, 65536> buffer{};
  const int from = from_client ? pair->client : pair->server;
  const int to = from_client ? pair->server : pair->client;
  const ssize_t got = recv(from, buffer.data(), buffer.size(), 0);
  if (got <= 0) {
    if (got < 0 && errno == ECONNRESET && from_client) {
      const std::lock_guard lock(mutex_);
      ++resets_;
      changed_.notify_all();
    }
    pair->dead = true;
    return;
  }
  After after = After::kForward;
  const std::string_view piece(buffer.data(), static_cast<std::size_t>(got));
  if (from_client && LongestRecord(piece) >= armed_bytes_) {
    after = armed_.exchange(After::kForward);
  }
  if (after == After::kDrop) {
    pair->dead = true;
    return;
  }
  for (ssize_t sent = 0; sent < got;) {
    const ssize_t n =
        send(to, buffer.data() + sent, static_cast<std::size_t>(got - sent), MSG_NOSIGNAL);
    if (n <= 0) {
      pair->dead = true;
      return;
    }
    sent += n;
  }
  if (after == After::kCut) pair->dead = true;
  if (after == After::kHold) hold_answers_ = true;
}

bool TcpProxy::WaitForReset() {
  std::unique_lock lock(mutex_);
  const bool seen =
      changed_.wait_for(lock, std::chrono::seconds(20), [this] { return resets_ > 0; });
  if (seen) --resets_;
  return seen;
}

void TcpProxy::CutAfterRequestOf(std::size_t bytes) {
  armed_bytes_ = bytes;
  armed_ = After::kCut;
}

void TcpProxy::HoldAfterRequestOf(std::size_t bytes) {
  armed_bytes_ = bytes;
  armed_ = After::kHold;
}

void TcpProxy::DropRequestOf(std::size_t bytes) {
  armed_bytes_ = bytes;
  armed_ = After::kDrop;
}

void TcpProxy::Release() {
  hold_answers_ = false;
  hold_all_ = false;
}

void TcpProxy::CutAll() {
  std::unique_lock lock(mutex_);
  cut_all_ = true;
  changed_.wait(lock, [this] { return !cut_all_; });
}

void TcpProxy::Run() {
  while (!stop_) {
    const bool hold_all = hold_all_;
    const bool hold_answers = hold_answers_ || hold_all;
    // A held side is still watched for its end (POLLHUP, POLLERR come unasked).
    std::vector<pollfd> waits{{listener_, POLLIN, 0}};
    for (const Pair& pair : pairs_) {
      waits.push_back({pair.client, static_cast<short>(hold_all ? 0 : POLLIN), 0});
      waits.push_back({pair.server, static_cast<short>(hold_answers ? 0 : POLLIN), 0});
    }
    poll(waits.data(), waits.size(), 5);
    std::unique_lock lock(mutex_);
    const bool cut = cut_all_;
    lock.unlock();
    for (std::size_t i = 0; i < pairs_.size(); ++i) {
      Pair& pair = pairs_[i];
      if (cut) pair.dead = true;
      if (!pair.dead && waits[1 + 2 * i].revents != 0) Forward(&pair, true);
      if (!pair.dead && waits[2 + 2 * i].revents != 0 && !hold_answers) Forward(&pair, false);
    }
    std::erase_if(pairs_, [](const Pair& pair) {
      if (!pair.dead) return false;
      CloseWithReset(pair.client);
      CloseWithReset(pair.server);
      return true;
    });
    if (cut) {
      lock.lock();
      cut_all_ = false;
      lock.unlock();
      changed_.notify_all();
    }
    if ((waits[0].revents & POLLIN) != 0) Accept();
  }
}

}  // namespace keyferry::testing
