#pragma once

#include <functional>
#include <string>

#include "firmware-sim/endpoint/endpoint.h"

namespace keyferry::sim {

// The key as a HID device of this machine's kernel, by /dev/uhid (module uhid): it appears as
// /dev/hidrawN. It has no USB parent, so libusb does not see it. The events are those of
// <linux/uhid.h>.
class UhidEndpoint final : public Endpoint {
 public:
  // Opens the kernel's device file, read and write, non-blocking; the endpoint closes it.
  using Open = std::function<Result<int>()>;
  static Result<int> OpenKernel();

  explicit UhidEndpoint(EndpointClient& client, Open open = OpenKernel);
  ~UhidEndpoint() override;

  const char* Name() const override { return "uhid"; }
  protocol::Transport Transport() const override { return protocol::Transport::kHid; }
  std::string Place() const override { return "/dev/uhid, serial " + serial_; }
  Result<void> Appear(const Identity& identity) override;
  void Vanish() override;
  bool Present() const override { return fd_ >= 0; }
  void AppendPollFds(std::vector<pollfd>& fds) const override;
  void OnPoll(const pollfd& ready) override;
  void Send(protocol::ByteView frame, std::uint32_t host) override;

 private:
  void OnEvent(protocol::ByteView bytes);
  bool Write(const void* event, std::size_t size);
  void RefuseReport(std::uint32_t request, std::uint32_t answer_type, std::uint32_t id);

  EndpointClient& client_;
  const Open open_;
  int fd_ = -1;
  bool pulled_ = false;
  std::string serial_;
  std::uint8_t report_id_ = 0;
};

}  // namespace keyferry::sim
