// LINKS: keyferry_sim_endpoint
// Any bytes from a USB/IP peer, in pieces, before and after it imported the device: no crash, the
// limits hold, every report to the key is whole.

#include <algorithm>
#include <cstdlib>

#include "firmware-sim/endpoint/usbip_session.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace keyferry::sim;
  if (size == 0) return 0;
  const std::uint8_t control = data[0];
  keyferry::protocol::ByteView left(data + 1, size - 1);
  Identity identity;
  identity.device_id = "00112233445566778899aabbccddeeff";
  identity.lie = static_cast<DescriptorLie>(control % 7);
  const auto phase =
      (control & 0x80) != 0 ? UsbIpSession::Phase::kUrbs : UsbIpSession::Phase::kOperations;
  std::size_t reports = 0;
  UsbIpSession session(phase, identity, UsbSpeed::kFull,
                       [&reports](keyferry::protocol::ByteView report) {
                         if (report.size() != keyferry::protocol::kReportSize) std::abort();
                         ++reports;
                       });
  const std::size_t piece = 1 + (control & 0x3F) * 16;
  const std::vector<std::uint8_t> report(keyferry::protocol::kReportSize, control);
  while (!left.empty()) {
    const auto part = left.first(std::min(piece, left.size()));
    left = left.subspan(part.size());
    const bool good = session.Receive(part);
    // The last answer may be as long as a transfer.
    if (session.output().size() > UsbIpSession::kMaxOutput + UsbIpSession::kMaxTransfer + 4096)
      std::abort();
    if (!good) return 0;
    if ((control & 0x40) != 0) session.SendReport(report);
  }
  if (reports * keyferry::protocol::kReportSize > size) std::abort();
  return 0;
}
