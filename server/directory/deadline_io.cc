#include "server/directory/deadline_io.h"

#include <lber.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

namespace keyferry::server {

namespace {

using std::chrono::steady_clock;

// Between the TCP provider (10) and TLS (20).
constexpr int kLevel = 15;

// Waits until `fd` is ready or `deadline` has passed (errno ETIMEDOUT).
bool WaitFor(int fd, short events, steady_clock::time_point deadline) {
  while (true) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - steady_clock::now()).count();
    pollfd wait{fd, events, 0};
    const int ready = poll(&wait, 1, static_cast<int>(std::clamp<long long>(left, 0, 60'000)));
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return false;
    if (ready == 0 && left <= 0) {
      errno = ETIMEDOUT;
      return false;
    }
  }
}

int Descriptor(Sockbuf_IO_Desc* layer) {
  int fd = -1;
  ber_sockbuf_ctrl(layer->sbiod_sb, LBER_SB_OPT_GET_FD, &fd);
  return fd;
}

steady_clock::time_point DeadlineOf(Sockbuf_IO_Desc* layer) {
  return *static_cast<steady_clock::time_point*>(layer->sbiod_pvt);
}

int Setup(Sockbuf_IO_Desc* layer, void* deadline) {
  layer->sbiod_pvt = deadline;
  return 0;
}

int Remove(Sockbuf_IO_Desc*) { return 0; }

int Control(Sockbuf_IO_Desc* layer, int option, void* argument) {
  return LBER_SBIOD_CTRL_NEXT(layer, option, argument);
}

ber_slen_t Receive(Sockbuf_IO_Desc* layer, void* buffer, ber_len_t size) {
  const int fd = Descriptor(layer);
  while (WaitFor(fd, POLLIN, DeadlineOf(layer))) {
    const ssize_t got = recv(fd, buffer, size, MSG_DONTWAIT);
    if (got >= 0 || (errno != EAGAIN && errno != EINTR)) return got;
  }
  return -1;
}

ber_slen_t Send(Sockbuf_IO_Desc* layer, void* buffer, ber_len_t size) {
  const int fd = Descriptor(layer);
  while (WaitFor(fd, POLLOUT, DeadlineOf(layer))) {
    const ssize_t sent = send(fd, buffer, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent >= 0 || (errno != EAGAIN && errno != EINTR)) return sent;
  }
  return -1;
}

int Close(Sockbuf_IO_Desc*) { return 0; }

Sockbuf_IO kLayer{Setup, Remove, Control, Receive, Send, Close};

}  // namespace

bool DeadlineIo::Attach(struct sockbuf* stack) {
  return ber_sockbuf_add_io(stack, &kLayer, kLevel, &deadline_) == 0;
}

}  // namespace keyferry::server
