#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "firmware-sim/endpoint/endpoint.h"
#include "protocol/result.h"

namespace keyferry::sim {

// A listening AF_UNIX SOCK_SEQPACKET socket with its connections. The socket's file is made on
// Listen and removed by Close or destruction. Not thread-safe; the caller polls.
class PacketServer {
 public:
  // Called with the connection and one whole datagram. May call Send and Drop.
  using Handler = std::function<void(int fd, std::span<const std::uint8_t> datagram)>;
  using Closed = std::function<void(int fd)>;

  PacketServer(std::string path, std::size_t max_datagram, std::size_t max_connections,
               Handler handler, Closed closed = {});
  ~PacketServer();
  PacketServer(const PacketServer&) = delete;
  PacketServer& operator=(const PacketServer&) = delete;

  // A socket file that nobody answers on is replaced; one that lives, or a file of another kind, is
  // an error.
  Result<void> Listen();
  // From the next Listen on every user who reaches the socket's folder may connect (mode 0666);
  // else only our own.
  void Share() { shared_ = true; }
  void Close();
  bool listening() const { return listener_ >= 0; }
  const std::string& path() const { return path_; }

  void AppendPollFds(std::vector<pollfd>& fds) const;
  void OnPoll(const pollfd& ready);

  // Never blocks: a peer that does not read until its buffer is full is dropped.
  void Send(int fd, std::span<const std::uint8_t> datagram);
  void Drop(int fd);
  void DropAll();

 private:
  void Accept();
  void Receive(int fd);

  const std::string path_;
  const std::size_t max_connections_;
  const Handler handler_;
  const Closed closed_;
  bool shared_ = false;
  int listener_ = -1;
  std::vector<int> connections_;
  std::vector<std::uint8_t> buffer_;
};

// The key's socket (section 6, "Socket"): every datagram is one 64-byte report. Several hosts may
// be connected; an answer goes back on the connection that asked, which is the report's origin.
class SocketEndpoint final : public Endpoint {
 public:
  // `share`: other users may connect.
  SocketEndpoint(EndpointClient& client, std::string path, bool share);

  const char* Name() const override { return "socket"; }
  protocol::Transport Transport() const override { return protocol::Transport::kSocket; }
  std::string Place() const override { return server_.path(); }
  Result<void> Appear(const Identity& identity) override;
  void Vanish() override { server_.Close(); }
  bool Present() const override { return server_.listening(); }
  bool Disconnect() override;
  void AppendPollFds(std::vector<pollfd>& fds) const override { server_.AppendPollFds(fds); }
  void OnPoll(const pollfd& ready) override { server_.OnPoll(ready); }
  void Send(protocol::ByteView frame, std::uint32_t host) override;

 private:
  struct Host {
    int fd = -1;
    std::uint32_t number = 0;
  };

  // Numbers are never used twice, so a late answer cannot reach a stranger who was given the same
  // descriptor.
  std::vector<Host> hosts_;
  std::uint32_t last_host_ = 0;
  PacketServer server_;  // last: it reports its connections' ends when it goes
};

}  // namespace keyferry::sim
