#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "firmware-sim/endpoint/usb_device.h"

namespace keyferry::sim {

// The server's side of one USB/IP connection (Documentation/usb/usbip_protocol.rst of the Linux
// kernel, version 1.1.1), bytes in and bytes out. It begins with operations (list, import), or with
// URBs at once when the other side is a kernel that was handed the socket. The peer may be hostile:
// whatever it sends, a session holds at most kMaxTransfer bytes of input, kMaxPending IN URBs,
// kMaxReports reports and kMaxOutput bytes of output.
class UsbIpSession {
 public:
  static constexpr std::size_t kMaxTransfer = 65'536;
  static constexpr std::size_t kMaxPending = 64;
  static constexpr std::size_t kMaxReports = 256;
  static constexpr std::size_t kMaxOutput = 1'048'576;
  static constexpr std::uint32_t kBus = 1;
  static constexpr std::uint32_t kDevice = 2;
  static constexpr std::uint32_t kDeviceId = kBus << 16 | kDevice;
  static constexpr char kBusId[] = "1-1";

  enum class Phase {
    kOperations,
    kUrbs,
    kClosing,  // the output goes out, then the connection ends
  };

  // `may_import` is asked when the peer wants the device; false: it is in use.
  UsbIpSession(Phase phase, Identity identity, UsbSpeed speed, UsbDevice::OnReport on_report,
               std::function<bool()> may_import = {});

  // Takes what the peer sent. False: it broke the protocol or a limit, the connection must end.
  bool Receive(protocol::ByteView bytes);
  // A report for the host: answers a pending IN transfer or waits for one. Without any, and with
  // kMaxReports waiting, the oldest is lost.
  void SendReport(protocol::ByteView report);

  // A report waits for a transfer of the host's.
  bool HoldsReports() const { return !reports_.empty(); }

  Phase phase() const { return phase_; }
  // What has to go to the peer; the caller erases what it has sent.
  std::vector<std::uint8_t>& output() { return output_; }

 private:
  struct Header {
    std::uint32_t command = 0;
    std::uint32_t sequence = 0;
    bool in = false;
    std::uint32_t endpoint = 0;
    std::uint32_t length = 0;  // of the transfer; of an unlink the sequence number it is about
  };
  struct Pending {
    std::uint32_t sequence = 0;
    std::uint32_t length = 0;
  };

  // Each takes one whole piece from the front of `in`; `*taken` is 0 when it is not whole yet.
  bool TakeOperation(protocol::ByteView in, std::size_t* taken);
  bool TakeUrb(protocol::ByteView in, std::size_t* taken);
  void List();
  void Import(protocol::ByteView bus_id);
  void PutDevice();
  void Submit(const Header& header, protocol::ByteView setup, protocol::ByteView data);
  void SubmitIn(const Header& header);
  void Unlink(const Header& header);
  void Complete(std::uint32_t sequence, std::int32_t status, std::uint32_t actual,
                protocol::ByteView data);
  void Match();

  void Put16(std::uint32_t value);
  void Put32(std::uint32_t value);
  void PutText(std::string_view text, std::size_t size);

  UsbDevice device_;
  const std::function<bool()> may_import_;
  Phase phase_;
  std::vector<std::uint8_t> input_;
  std::vector<std::uint8_t> output_;
  std::deque<Pending> pending_;                    // IN transfers that wait for a report
  std::deque<std::vector<std::uint8_t>> reports_;  // reports that wait for an IN transfer
};

}  // namespace keyferry::sim
