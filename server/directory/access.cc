#include "server/directory/access.h"

#include <cstddef>
#include <cstdint>

#include "server/directory/text.h"

namespace keyferry::server {
namespace {

constexpr std::uint16_t kDaclPresent = 0x0004;
constexpr std::uint16_t kDaclProtected = 0x1000;
constexpr std::uint8_t kInheritOnly = 0x08;
constexpr std::uint32_t kControlAccess = 0x100;
constexpr std::uint32_t kGenericAll = 0x10000000;
constexpr std::size_t kGuid = 16;

// The right's GUID in its binary form.
constexpr std::string_view kResetGuid{
    "\x70\x95\x29\x00\x6d\x24\xd0\x11\xa7\x68\x00\xaa\x00\x6e\x05\x29", kGuid};

std::uint32_t Little(std::string_view bytes, std::size_t at, std::size_t size) {
  std::uint32_t value = 0;
  for (std::size_t i = size; i > 0; --i) {
    value = value << 8 | static_cast<std::uint8_t>(bytes[at + i - 1]);
  }
  return value;
}

}  // namespace

std::optional<AccessFacts> ReadAccess(std::string_view descriptor,
                                      const std::set<std::string, std::less<>>& token) {
  if (descriptor.size() < 20 || descriptor[0] != 1) return std::nullopt;
  const auto control = static_cast<std::uint16_t>(Little(descriptor, 2, 2));
  const std::size_t start = Little(descriptor, 16, 4);
  AccessFacts facts;
  facts.inheritance_blocked = (control & kDaclProtected) != 0;
  if ((control & kDaclPresent) == 0 || start == 0) {
    facts.reset_password = true;  // no list at all: everything is allowed
    return facts;
  }
  if (start > descriptor.size() - 8) return std::nullopt;
  const std::size_t size = Little(descriptor, start + 2, 2);
  const std::size_t count = Little(descriptor, start + 4, 2);
  if (size < 8 || size > descriptor.size() - start) return std::nullopt;
  const std::string_view list = descriptor.substr(start, size);
  std::size_t at = 8;
  // The first entry that speaks of the right decides.
  for (std::size_t i = 0; i < count; ++i) {
    if (list.size() - at < 8) return std::nullopt;
    const std::size_t length = Little(list, at + 2, 2);
    if (length < 8 || length > list.size() - at) return std::nullopt;
    const std::string_view entry = list.substr(at, length);
    at += length;
    const auto type = static_cast<std::uint8_t>(entry[0]);
    const bool object = type == 5 || type == 6;
    if (!object && type != 0 && type != 1) continue;  // audit and callback entries
    if ((static_cast<std::uint8_t>(entry[1]) & kInheritOnly) != 0) continue;
    if ((Little(entry, 4, 4) & (kControlAccess | kGenericAll)) == 0) continue;
    std::size_t sid = 8;
    bool ours = true;
    if (object) {
      if (length < 12) return std::nullopt;
      const std::uint32_t flags = Little(entry, 8, 4);
      sid = 12;
      if ((flags & 1) != 0) {
        if (length < sid + kGuid) return std::nullopt;
        ours = entry.substr(sid, kGuid) == kResetGuid;
        sid += kGuid;
      }
      if ((flags & 2) != 0) sid += kGuid;
      if (length < sid) return std::nullopt;
    }
    if (!ours) continue;
    if (length < sid + 8) return std::nullopt;
    const std::size_t sid_size =
        8 + 4 * static_cast<std::size_t>(static_cast<std::uint8_t>(entry[sid + 1]));
    if (length < sid + sid_size) return std::nullopt;
    const auto trustee = SidText(entry.substr(sid, sid_size));
    if (!trustee) return std::nullopt;
    if (!token.contains(*trustee)) continue;
    facts.reset_password = type == 0 || type == 5;
    return facts;
  }
  return facts;
}

}  // namespace keyferry::server
