#include "server/spnego/pac.h"

#include <cstddef>

namespace keyferry::server {
namespace {

constexpr std::size_t kMostBytes = 4096;
constexpr std::size_t kHeader = 20;  // with the extension
constexpr std::uint32_t kHasSid = 2;
constexpr std::size_t kMostParts = 15;

std::uint32_t Little(std::span<const std::uint8_t> bytes, std::size_t at, std::size_t count) {
  std::uint32_t value = 0;
  for (std::size_t i = count; i-- > 0;) value = value << 8 | bytes[at + i];
  return value;
}

}  // namespace

std::optional<std::string> SidOfUpnDnsInfo(std::span<const std::uint8_t> bytes) {
  if (bytes.size() < kHeader || bytes.size() > kMostBytes) return std::nullopt;
  if ((Little(bytes, 8, 4) & kHasSid) == 0) return std::nullopt;
  const std::size_t length = Little(bytes, 16, 2), offset = Little(bytes, 18, 2);
  if (offset < kHeader || offset > bytes.size() || length > bytes.size() - offset) {
    return std::nullopt;
  }
  const auto sid = bytes.subspan(offset, length);  // [MS-DTYP] section 2.4.2.2
  if (sid.size() < 8 || sid[0] != 1 || sid[1] < 1 || sid[1] > kMostParts ||
      sid.size() != 8 + 4u * sid[1]) {
    return std::nullopt;
  }
  std::uint64_t authority = 0;
  for (std::size_t i = 2; i < 8; ++i) authority = authority << 8 | sid[i];
  std::string text = "S-1-" + std::to_string(authority);
  for (std::size_t i = 0; i < sid[1]; ++i) text += "-" + std::to_string(Little(sid, 8 + 4 * i, 4));
  return text;
}

}  // namespace keyferry::server
