#include "device/transport.h"

namespace keyferry::device {

const char* Name(TransportKind kind) {
  switch (kind) {
    case TransportKind::kHid:
      return "hid";
    case TransportKind::kBle:
      return "ble";
    case TransportKind::kSocket:
      return "socket";
  }
  return "unknown";
}

Result<void> Transport::WriteAll(std::span<const protocol::Report> reports, Deadline deadline) {
  for (const protocol::Report& report : reports) {
    if (auto written = Write(report, deadline); !written) return written;
  }
  return {};
}

}  // namespace keyferry::device
