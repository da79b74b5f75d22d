#include "device/hid/printable.h"

#include <cstdio>

namespace keyferry::device {

std::string Printable(std::string_view text, std::size_t max) {
  std::string out;
  for (const char c : text.substr(0, max)) {
    if (c >= ' ' && c <= '~' && c != '\\') {
      out += c;
    } else {
      char escape[5];
      std::snprintf(escape, sizeof escape, "\\x%02x", static_cast<unsigned char>(c));
      out += escape;
    }
  }
  return text.size() > max ? out + "..." : out;
}

}  // namespace keyferry::device
