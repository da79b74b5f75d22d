#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <csignal>
#include <memory>
#include <string>

#include "test_certificate.h"

namespace keyferry::server::test {

// A client that says exactly what it is told, over TLS: for requests that no library would send.
class RawClient {
 public:
  // With a certificate when `certificate` is given.
  explicit RawClient(std::uint16_t port, X509* certificate = nullptr, EVP_PKEY* key = nullptr,
                     int most_tls = 0) {
    std::signal(SIGPIPE, SIG_IGN);  // the server may have closed before we write
    context_ = SSL_CTX_new(TLS_client_method());
    if (most_tls != 0) SSL_CTX_set_max_proto_version(context_, most_tls);
    if (certificate != nullptr) {
      SSL_CTX_use_certificate(context_, certificate);
      SSL_CTX_use_PrivateKey(context_, key);
    }
    socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    const timeval patience{10, 0};
    setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    open_ = ::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    ssl_ = SSL_new(context_);
    SSL_set_fd(ssl_, socket_);
    open_ = open_ && SSL_connect(ssl_) == 1;
  }
  ~RawClient() {
    SSL_free(ssl_);
    SSL_CTX_free(context_);
    ::close(socket_);
  }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  bool open() const { return open_; }
  const char* version() const { return SSL_get_version(ssl_); }
  bool Write(const std::string& text) {
    return SSL_write(ssl_, text.data(), static_cast<int>(text.size())) > 0;
  }
  // Until `marker` has come, or the peer closed (then what came so far).
  std::string ReadUntil(const std::string& marker) {
    while (text_.find(marker) == std::string::npos) {
      char buffer[4096];
      const int got = SSL_read(ssl_, buffer, sizeof buffer);
      if (got <= 0) break;
      text_.append(buffer, static_cast<std::size_t>(got));
    }
    const std::size_t at = text_.find(marker);
    const std::size_t end = at == std::string::npos ? text_.size() : at + marker.size();
    std::string out = text_.substr(0, end);
    text_.erase(0, end);
    return out;
  }
  std::string ReadAll() { return ReadUntil("\x01never\x01"); }
  // Sends one request and gives the status of its answer; 0 = the connection ended without one.
  int Status(const std::string& request) {
    Write(request);
    const std::string head = ReadUntil("\r\n\r\n");
    return head.compare(0, 9, "HTTP/1.1 ") == 0 ? std::stoi(head.substr(9, 3)) : 0;
  }

 private:
  SSL_CTX* context_ = nullptr;
  SSL* ssl_ = nullptr;
  int socket_ = -1;
  bool open_ = false;
  std::string text_;
};

}  // namespace keyferry::server::test
