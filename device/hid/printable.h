#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace keyferry::device {

// At most `max` bytes of `text`; what is not printable ASCII becomes \xNN, and so does a backslash.
std::string Printable(std::string_view text, std::size_t max = 64);

}  // namespace keyferry::device
