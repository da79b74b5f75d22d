#pragma once

#include <deque>
#include <string>
#include <vector>

#include "firmware-sim/endpoint/endpoint.h"

namespace keyferry::sim {

// The key behind a USB device controller of this machine: the HID function of Linux's gadget
// framework (/dev/hidgN, made by configfs with report_length 64). Descriptors, VID:PID and serial
// number are configfs's, not ours.
//
// Pulling unbinds the function's gadget from its controller, plugging in binds it again. Both
// remove and make the node, and so may others: while the key is plugged in it answers behind
// whatever node is there.
class GadgetEndpoint final : public Endpoint {
 public:
  static constexpr std::size_t kMaxWaiting = 256;  // reports; then the oldest is lost

  // `gadgets` is where configfs has them.
  GadgetEndpoint(EndpointClient& client, std::string device,
                 std::string gadgets = "/sys/kernel/config/usb_gadget");
  ~GadgetEndpoint() override;

  const char* Name() const override { return "gadget"; }
  protocol::Transport Transport() const override { return protocol::Transport::kHid; }
  std::string Place() const override { return device_; }
  Result<void> Appear(const Identity& identity) override;
  void Vanish() override;
  bool Present() const override { return watch_ >= 0; }
  void AppendPollFds(std::vector<pollfd>& fds) const override;
  void OnPoll(const pollfd& ready) override;
  void Send(protocol::ByteView frame, std::uint32_t host) override;
  bool Holds() const override { return !waiting_.empty(); }

 private:
  bool Open();
  void CloseNode();
  void FindGadget();
  void Bind(const std::string& controller) const;
  void OnNodes();
  void Read();
  void Write();

  EndpointClient& client_;
  const std::string device_;
  const std::string gadgets_;
  std::string gadget_;      // the folder of ours, once known
  std::string controller_;  // that it was bound to
  int watch_ = -1;          // inotify, while plugged in
  int fd_ = -1;             // the node, while there is one
  std::deque<std::vector<std::uint8_t>> waiting_;
};

}  // namespace keyferry::sim
