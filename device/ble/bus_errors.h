#pragma once

#include <sdbus-c++/Error.h>

#include <string>
#include <string_view>

#include "protocol/result.h"

namespace keyferry::device {

// What a D-Bus or BlueZ error means, in words for a person, with the cure where there is one. The
// raw name and text are in the detail.
Error FromBusError(const sdbus::Error& error);

// Text from outside for people and logs: control characters become '?', at most `limit` bytes.
std::string PrintableName(std::string_view text, std::size_t limit = 64);

}  // namespace keyferry::device
