#include "device/hid/hid_match.h"

#include <algorithm>
#include <charconv>
#include <cstdio>

namespace keyferry::device {

Result<UsbId> UsbId::Parse(std::string_view text) {
  UsbId id;
  const auto part = [](std::string_view digits, std::uint16_t& out) {
    const auto end = digits.data() + digits.size();
    return digits.size() == 4 && std::from_chars(digits.data(), end, out, 16).ptr == end;
  };
  if (text.size() != 9 || text[4] != ':' || !part(text.substr(0, 4), id.vendor) ||
      !part(text.substr(5), id.product)) {
    return Fail(ErrorCode::kInvalidArgument,
                "A kind of security key is written vendor:product, four hexadecimal digits each, "
                "such as 1209:0001.");
  }
  return id;
}

std::string UsbId::Text() const {
  char text[10];
  std::snprintf(text, sizeof text, "%04x:%04x", vendor, product);
  return text;
}

bool HidMatch::Has(const UsbId& id) const {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

}  // namespace keyferry::device
