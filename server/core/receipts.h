#pragma once

#include "server/core/services.h"

namespace keyferry::server {

// Judges a receipt by the key's signature, its own job, sequence, chain and counter, and takes it
// in (protocol/PROTOCOL.md section 3). A key that accepted a job that this server never handed out,
// or shows two pasts, raises an alarm: it was cloned or rolled back.
Result<ReceiptVerdict> TakeInReceipt(const CorePorts& ports, const WorkstationRecord& from,
                                     const DeviceId& device, std::span<const std::uint8_t> bytes);

}  // namespace keyferry::server
