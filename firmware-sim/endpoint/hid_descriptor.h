#pragma once

#include <cstdint>
#include <vector>

#include "firmware-sim/faults.h"

namespace keyferry::sim {

// The key's HID report descriptor (section 6): vendor usage page 0xFF00, usage 1, 64 bytes in, 64
// bytes out, no report id; or one that lies.
std::vector<std::uint8_t> ReportDescriptor(DescriptorLie lie);

// The id that every report begins with under this descriptor; 0: none.
std::uint8_t ReportId(DescriptorLie lie);

}  // namespace keyferry::sim
