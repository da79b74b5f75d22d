#include "server/syslog/syslog_line.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <thread>

namespace keyferry::server {
namespace {

constexpr std::chrono::seconds kPatience{5};  // connecting, and each write
constexpr std::chrono::milliseconds kLookAgain{5};

std::string Where(const SyslogTarget& target) {
  return target.host + ":" + std::to_string(target.port);
}

tl::unexpected<Error> Gone(const SyslogTarget& target, const char* why) {
  return Fail(ErrorCode::kUnavailable,
              "The syslog receiver " + Where(target) +
                  " cannot be reached; entries are kept and "
                  "sent later.",
              why);
}

struct Addresses {
  ~Addresses() {
    if (list != nullptr) freeaddrinfo(list);
  }
  addrinfo* list = nullptr;
};

// A connected socket whose reads and writes have a time limit, or -1.
int ConnectTo(const addrinfo& address) {
  const int fd = socket(address.ai_family, address.ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  if (connect(fd, address.ai_addr, address.ai_addrlen) != 0) {
    pollfd waiting{fd, POLLOUT, 0};
    const auto limit = std::chrono::duration_cast<std::chrono::milliseconds>(kPatience).count();
    int error = errno;
    socklen_t size = sizeof error;
    if (error != EINPROGRESS || poll(&waiting, 1, static_cast<int>(limit)) != 1 ||
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0) {
      close(fd);
      errno = error == EINPROGRESS ? ETIMEDOUT : error;
      return -1;
    }
  }
  const timeval limit{kPatience.count(), 0};
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  return fd;
}

}  // namespace

struct SyslogLine::Tls {
  ~Tls() {
    SSL_free(ssl);
    SSL_CTX_free(context);
  }
  SSL_CTX* context = nullptr;
  SSL* ssl = nullptr;
};

SyslogLine::SyslogLine(SyslogTarget target) : target_(std::move(target)) {}

SyslogLine::~SyslogLine() { Close(); }

void SyslogLine::Close() {
  tls_.reset();
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

Result<void> SyslogLine::Connect() {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  Addresses found;
  const int failure =
      getaddrinfo(target_.host.c_str(), std::to_string(target_.port).c_str(), &hints, &found.list);
  if (failure != 0) return Gone(target_, gai_strerror(failure));
  for (const addrinfo* one = found.list; one != nullptr && fd_ < 0; one = one->ai_next) {
    fd_ = ConnectTo(*one);
  }
  if (fd_ < 0) return Gone(target_, std::strerror(errno));
  if (!target_.tls) return {};
  auto shaken = Handshake();
  if (!shaken) Close();
  return shaken;
}

Result<void> SyslogLine::Handshake() {
  ERR_clear_error();
  tls_ = std::make_unique<Tls>();
  tls_->context = SSL_CTX_new(TLS_client_method());
  BIO* const pem = BIO_new_mem_buf(target_.ca_pem.data(), static_cast<int>(target_.ca_pem.size()));
  bool trusted = false;
  while (X509* const ca = PEM_read_bio_X509(pem, nullptr, nullptr, nullptr)) {
    trusted = X509_STORE_add_cert(SSL_CTX_get_cert_store(tls_->context), ca) == 1 || trusted;
    X509_free(ca);
  }
  BIO_free(pem);
  ERR_clear_error();  // the end of the list is an error too
  if (!trusted) {
    return Fail(ErrorCode::kInvalidArgument, "The CA file of the syslog receiver holds none.");
  }
  SSL_CTX_set_min_proto_version(tls_->context, TLS1_2_VERSION);
  SSL_CTX_set_verify(tls_->context, SSL_VERIFY_PEER, nullptr);
  tls_->ssl = SSL_new(tls_->context);
  X509_VERIFY_PARAM* const rules = SSL_get0_param(tls_->ssl);
  if (X509_VERIFY_PARAM_set1_ip_asc(rules, target_.host.c_str()) != 1) {
    SSL_set1_host(tls_->ssl, target_.host.c_str());
    SSL_set_tlsext_host_name(tls_->ssl, target_.host.c_str());
  }
  SSL_set_fd(tls_->ssl, fd_);
  if (SSL_connect(tls_->ssl) == 1) return {};
  const long verdict = SSL_get_verify_result(tls_->ssl);
  if (verdict != X509_V_OK) {
    return Fail(ErrorCode::kPermissionDenied,
                "The syslog receiver " + Where(target_) +
                    " has no certificate that `audit.syslog_ca` vouches for; nothing is sent.",
                X509_verify_cert_error_string(verdict));
  }
  return Gone(target_, "TLS handshake");
}

Result<void> SyslogLine::CheckAlive() {
  if (tls_) {
    SSL_set_mode(tls_->ssl, SSL_MODE_AUTO_RETRY);
    pollfd waiting{fd_, POLLIN, 0};
    char byte = 0;
    // Session tickets may lie there; a receiver says nothing else.
    if (poll(&waiting, 1, 0) == 0) return {};
    fcntl(fd_, F_SETFL, fcntl(fd_, F_GETFL) | O_NONBLOCK);
    const int got = SSL_read(tls_->ssl, &byte, 1);
    const int error = SSL_get_error(tls_->ssl, got);
    fcntl(fd_, F_SETFL, fcntl(fd_, F_GETFL) & ~O_NONBLOCK);
    if (got > 0 || error == SSL_ERROR_WANT_READ) return {};
    return Gone(target_, "closed");
  }
  char byte = 0;
  const ssize_t got = recv(fd_, &byte, 1, MSG_DONTWAIT);
  if (got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR))) return {};
  return Gone(target_, got == 0 ? "closed" : std::strerror(errno));
}

Result<void> SyslogLine::Send(std::string_view framed) {
  if (fd_ >= 0) {
    if (auto alive = CheckAlive(); !alive) {
      Close();
      return alive;
    }
  } else if (auto connected = Connect(); !connected) {
    return connected;
  }
  while (!framed.empty()) {
    ERR_clear_error();
    const ssize_t sent = tls_ ? SSL_write(tls_->ssl, framed.data(), static_cast<int>(framed.size()))
                              : send(fd_, framed.data(), framed.size(), MSG_NOSIGNAL);
    if (sent <= 0) {
      if (!tls_ && errno == EINTR) continue;
      const char* const why = tls_ ? "TLS write" : std::strerror(errno);
      Close();
      return Gone(target_, why);
    }
    framed.remove_prefix(static_cast<std::size_t>(sent));
  }
  return {};
}

Result<void> SyslogLine::Drain(std::chrono::milliseconds patience) {
  const auto until = std::chrono::steady_clock::now() + patience;
  while (fd_ >= 0) {
    int waiting = 0;
    if (ioctl(fd_, SIOCOUTQ, &waiting) != 0) break;
    if (auto alive = CheckAlive(); !alive) {
      Close();
      return alive;
    }
    if (waiting == 0) return {};
    if (std::chrono::steady_clock::now() > until) {
      Close();
      return Fail(ErrorCode::kDeadline,
                  "The syslog receiver " + Where(target_) + " takes nothing any more.");
    }
    std::this_thread::sleep_for(kLookAgain);
  }
  return Gone(target_, "not connected");
}

}  // namespace keyferry::server
