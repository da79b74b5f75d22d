#include "server/directory/text.h"

#include <algorithm>
#include <array>
#include <cstdio>

namespace keyferry::server {
namespace {

constexpr std::size_t kMaxPasswordUnits = 256;  // what Windows stores
constexpr std::size_t kMaxSortKey = 96;
constexpr char32_t kInvalid = 0xFFFFFFFF;

// Decodes one code point at `*at` and moves past it; kInvalid (and one byte on) for anything that
// is not shortest-form UTF-8 of a Unicode scalar value.
char32_t NextCodePoint(std::string_view text, std::size_t* at) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const std::uint8_t lead = byte((*at)++);
  if (lead < 0x80) return lead;
  std::size_t more = 0;
  char32_t value = 0;
  char32_t least = 0;
  if (lead >= 0xC2 && lead <= 0xDF) {
    more = 1, value = lead & 0x1F, least = 0x80;
  } else if (lead >= 0xE0 && lead <= 0xEF) {
    more = 2, value = lead & 0x0F, least = 0x800;
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    more = 3, value = lead & 0x07, least = 0x10000;
  } else {
    return kInvalid;
  }
  if (text.size() - *at < more) return kInvalid;
  for (std::size_t i = 0; i < more; ++i) {
    const std::uint8_t next = byte(*at + i);
    if ((next & 0xC0) != 0x80) return kInvalid;
    value = value << 6 | (next & 0x3Fu);
  }
  if (value < least || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) return kInvalid;
  *at += more;
  return value;
}

void AppendUtf8(std::string* out, char32_t c) {
  const auto put = [&](char32_t byte) {
    *out += static_cast<char>(static_cast<std::uint8_t>(byte));
  };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | c >> 6), put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | c >> 12), put(0x80 | (c >> 6 & 0x3F)), put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | c >> 18), put(0x80 | (c >> 12 & 0x3F)), put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  }
}

// Base letters of U+00C0…U+017F; '*' keeps the code point.
constexpr std::string_view kLatin =
    "aaaaaaaceeeeiiiidnooooo*ouuuuy*s"
    "aaaaaaaceeeeiiiidnooooo*ouuuuy*y"
    "aaaaaaccccccccddddeeeeeeeeeegggggggghhhhiiiiiiiiiiiijjkkkllllllllll"
    "nnnnnnnnnoooooooorrrrrrssssssssttttttuuuuuuuuuuuuwwyyyzzzzzzs";
static_assert(kLatin.size() == 0x180 - 0xC0);

struct Range {
  char32_t first, last;
  char letter;
};
// Vietnamese vowels of Latin Extended Additional.
constexpr std::array<Range, 6> kVietnamese{{{0x1EA0, 0x1EB7, 'a'},
                                            {0x1EB8, 0x1EC7, 'e'},
                                            {0x1EC8, 0x1ECB, 'i'},
                                            {0x1ECC, 0x1EE3, 'o'},
                                            {0x1EE4, 0x1EF1, 'u'},
                                            {0x1EF2, 0x1EF9, 'y'}}};

char32_t Fold(char32_t c) {
  if (c >= 'A' && c <= 'Z') return c + 0x20;
  if (c >= 0xC0 && c < 0x180) {
    const char letter = kLatin[c - 0xC0];
    return letter == '*' ? c : static_cast<char32_t>(letter);
  }
  if (c >= 0x391 && c <= 0x3A9) return c + 0x20;  // Greek capitals
  if (c >= 0x410 && c <= 0x42F) return c + 0x20;  // Cyrillic capitals
  if (c >= 0x400 && c <= 0x40F) return c + 0x50;  // Cyrillic capitals of Ukrainian, Serbian …
  if (c == 0x490) return 0x491;                   // Ґ
  for (const Range& range : kVietnamese) {
    if (c >= range.first && c <= range.last) return static_cast<char32_t>(range.letter);
  }
  return c;
}

void PutUnit(std::uint8_t** at, char32_t unit) {
  *(*at)++ = static_cast<std::uint8_t>(unit & 0xFF);
  *(*at)++ = static_cast<std::uint8_t>(unit >> 8);
}

void AppendHex(std::string* out, std::uint8_t byte) {
  static constexpr char kDigits[] = "0123456789abcdef";
  *out += kDigits[byte >> 4];
  *out += kDigits[byte & 15];
}

char LowerAscii(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 0x20) : c; }

}  // namespace

std::string EscapeFilter(std::string_view value) {
  std::string out;
  out.reserve(value.size() * 3);
  for (const char c : value) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == ' ' || c == '.' || c == '-' || c == '_' || c == '@' || c == ',' ||
                       c == '=';
    if (plain) {
      out += c;
    } else {
      out += '\\';
      AppendHex(&out, static_cast<std::uint8_t>(c));
    }
  }
  return out;
}

Result<SecureBytes> QuotedUtf16(const SecureBytes& password) {
  const std::string_view text = password.view();
  if (text.empty()) return Fail(ErrorCode::kInvalidArgument, "The password is empty.");
  std::size_t units = 0;
  for (std::size_t at = 0; at < text.size();) {
    const char32_t c = NextCodePoint(text, &at);
    if (c == kInvalid) {
      return Fail(ErrorCode::kInvalidArgument, "The password is not valid UTF-8 text.");
    }
    if (c == 0) {
      return Fail(ErrorCode::kInvalidArgument, "The password holds a NUL character.");
    }
    units += c >= 0x10000 ? 2 : 1;
    if (units > kMaxPasswordUnits) {
      return Fail(ErrorCode::kInvalidArgument,
                  "The password is too long: Active Directory takes at most 256 characters.");
    }
  }
  SecureBytes out((units + 2) * 2);
  std::uint8_t* to = out.data();
  PutUnit(&to, '"');
  for (std::size_t at = 0; at < text.size();) {
    const char32_t c = NextCodePoint(text, &at);
    if (c >= 0x10000) {
      PutUnit(&to, 0xD800 + ((c - 0x10000) >> 10));
      PutUnit(&to, 0xDC00 + ((c - 0x10000) & 0x3FF));
    } else {
      PutUnit(&to, c);
    }
  }
  PutUnit(&to, '"');
  return out;
}

std::string CleanText(std::string_view value, std::size_t limit) {
  std::string out;
  for (std::size_t at = 0; at < value.size();) {
    std::string next;
    const char32_t c = NextCodePoint(value, &at);
    AppendUtf8(&next, c == kInvalid ? 0xFFFD : c);
    if (out.size() + next.size() > limit) break;
    out += next;
  }
  return out;
}

std::string SortKey(std::string_view name) {
  std::string out;
  for (std::size_t at = 0; at < name.size() && out.size() < kMaxSortKey - 4;) {
    const char32_t c = NextCodePoint(name, &at);
    AppendUtf8(&out, c == kInvalid ? 0xFFFD : Fold(c));
  }
  return out;
}

std::string GuidDn(const AccountId& id) {
  // Text form of a GUID: the first three groups are little-endian ([MS-DTYP] section 2.3.4.3).
  static constexpr std::array<std::size_t, 16> kOrder{3, 2, 1,  0,  5,  4,  7,  6,
                                                      8, 9, 10, 11, 12, 13, 14, 15};
  std::string out = "<GUID=";
  for (std::size_t i = 0; i < 16; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) out += '-';
    AppendHex(&out, id.bytes[kOrder[i]]);
  }
  return out + ">";
}

std::string GuidFilter(const AccountId& id) {
  std::string out = "(objectGUID=";
  for (const std::uint8_t byte : id.bytes) {
    out += '\\';
    AppendHex(&out, byte);
  }
  return out + ")";
}

std::optional<std::string> SidText(std::string_view binary) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(binary[i]); };
  if (binary.size() < 8 || byte(0) != 1 || byte(1) > 15) return std::nullopt;
  const std::size_t count = byte(1);
  if (binary.size() != 8 + 4 * count) return std::nullopt;
  std::uint64_t authority = 0;
  for (std::size_t i = 2; i < 8; ++i) authority = authority << 8 | byte(i);
  std::string out = "S-1-" + std::to_string(authority);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t at = 8 + 4 * i;
    const std::uint32_t part = static_cast<std::uint32_t>(byte(at)) |
                               static_cast<std::uint32_t>(byte(at + 1)) << 8 |
                               static_cast<std::uint32_t>(byte(at + 2)) << 16 |
                               static_cast<std::uint32_t>(byte(at + 3)) << 24;
    out += '-' + std::to_string(part);
  }
  return out;
}

std::string DnsName(std::string_view base_dn) {
  std::string out;
  while (!base_dn.empty()) {
    const std::size_t comma = base_dn.find(',');
    std::string_view part = base_dn.substr(0, comma);
    base_dn.remove_prefix(comma == std::string_view::npos ? base_dn.size() : comma + 1);
    while (!part.empty() && part.front() == ' ') part.remove_prefix(1);
    if (part.size() > 3 && EqualNoCase(part.substr(0, 3), "DC=")) {
      if (!out.empty()) out += '.';
      out += part.substr(3);
    }
  }
  return out;
}

bool HasControl(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
}

bool EqualNoCase(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return LowerAscii(x) == LowerAscii(y); });
}

}  // namespace keyferry::server
