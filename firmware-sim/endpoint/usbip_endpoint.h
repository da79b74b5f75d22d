#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "firmware-sim/endpoint/endpoint.h"
#include "firmware-sim/endpoint/usbip_session.h"

namespace keyferry::sim {

// The key as a USB device of a machine with USB/IP. Two ways:
//   attach  this machine's kernel (module vhci_hcd) gets one end of a socket pair: the device is
//           there as soon as the key is plugged in. Needs root.
//   listen  a TCP server; `usbip attach -r HOST -b 1-1` on any machine that reaches it imports the
//           device, one machine at a time.
class UsbIpEndpoint final : public Endpoint {
 public:
  // Hands a connected stream socket to the kernel, which keeps its own reference.
  using Attach = std::function<Result<void>(int socket, UsbSpeed speed)>;
  static Result<void> AttachKernel(int socket, UsbSpeed speed);

  struct Options {
    UsbSpeed speed = UsbSpeed::kFull;
    Attach attach;             // none: listen
    std::string listen;        // HOST:PORT, numbers; an IPv6 address in brackets; port 0: any
    bool any_address = false;  // else only loopback addresses
  };

  UsbIpEndpoint(EndpointClient& client, Options options);
  ~UsbIpEndpoint() override;

  const char* Name() const override { return "usbip"; }
  protocol::Transport Transport() const override { return protocol::Transport::kHid; }
  std::string Place() const override;
  Result<void> Appear(const Identity& identity) override;
  void Vanish() override;
  bool Present() const override { return present_; }
  bool Disconnect() override;
  void AppendPollFds(std::vector<pollfd>& fds) const override;
  void OnPoll(const pollfd& ready) override;
  void Send(protocol::ByteView frame, std::uint32_t host) override;
  bool Holds() const override;

 private:
  struct Peer {
    int fd = -1;
    std::unique_ptr<UsbIpSession> session;
  };

  Result<void> AppearAttached();
  Result<void> AppearListening();
  void Accept();
  void AddPeer(int fd, UsbIpSession::Phase phase);
  Peer* Imported() const;
  void Read(Peer& peer);
  void Write(Peer& peer);
  void End(int fd, const char* why);

  EndpointClient& client_;
  const Options options_;
  Identity identity_;
  bool present_ = false;
  int listener_ = -1;
  std::string address_;
  std::vector<std::unique_ptr<Peer>> peers_;
};

// The first free full- or high-speed port in the text of vhci_hcd's `status` file; none when all
// are used.
std::optional<unsigned> FreeVhciPort(const std::string& status);

}  // namespace keyferry::sim
