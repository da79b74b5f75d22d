#pragma once

#include <deque>
#include <string>
#include <vector>

#include "firmware-sim/endpoint/endpoint.h"

namespace keyferry::sim {

// The key behind a USB device controller of this machine: the HID function of Linux's gadget
// framework (/dev/hidgN, made by configfs with report_length 64). Descriptors, VID:PID and serial
// number are configfs's, not ours.
class GadgetEndpoint final : public Endpoint {
 public:
  static constexpr std::size_t kMaxWaiting = 256;  // reports; then the oldest is lost

  // `controller` is a name in /sys/class/udc: plugging in and out switches its pull-up. "": the
  // only one there is, or none is switched.
  GadgetEndpoint(EndpointClient& client, std::string device, std::string controller);
  ~GadgetEndpoint() override;

  const char* Name() const override { return "gadget"; }
  protocol::Transport Transport() const override { return protocol::Transport::kHid; }
  std::string Place() const override { return device_; }
  Result<void> Appear(const Identity& identity) override;
  void Vanish() override;
  bool Present() const override { return fd_ >= 0; }
  void AppendPollFds(std::vector<pollfd>& fds) const override;
  void OnPoll(const pollfd& ready) override;
  void Send(protocol::ByteView frame, std::uint32_t host) override;
  bool Holds() const override { return !waiting_.empty(); }

 private:
  bool PullUp(bool connect) const;
  void Write();

  EndpointClient& client_;
  const std::string device_;
  const std::string controller_;
  int fd_ = -1;
  bool pulled_ = false;
  std::deque<std::vector<std::uint8_t>> waiting_;
};

}  // namespace keyferry::sim
