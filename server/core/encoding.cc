#include "server/core/encoding.h"

#include <algorithm>

#include "protocol/crypto.h"

namespace keyferry::server {
namespace {

constexpr char kHexDigits[] = "0123456789abcdef";
constexpr char kBase64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr char kBase64Url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

int Base64Value(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+') return 62;
  if (c == '/') return 63;
  return -1;
}

std::string Base64(std::span<const std::uint8_t> bytes, const char* alphabet, bool padded) {
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t left = bytes.size() - i;
    const std::uint32_t group = static_cast<std::uint32_t>(bytes[i]) << 16 |
                                (left > 1 ? static_cast<std::uint32_t>(bytes[i + 1]) << 8 : 0U) |
                                (left > 2 ? static_cast<std::uint32_t>(bytes[i + 2]) : 0U);
    out += alphabet[group >> 18 & 63];
    out += alphabet[group >> 12 & 63];
    if (left > 1) {
      out += alphabet[group >> 6 & 63];
    } else if (padded) {
      out += '=';
    }
    if (left > 2) {
      out += alphabet[group & 63];
    } else if (padded) {
      out += '=';
    }
  }
  return out;
}

// Length of the well-formed sequence at the start of `text` (not empty), 0 = malformed.
std::size_t SequenceLength(std::string_view text, std::uint32_t& code_point) {
  const auto byte = [&text](std::size_t i) -> std::uint32_t {
    return static_cast<std::uint8_t>(text[i]);
  };
  const std::uint32_t first = byte(0);
  if (first < 0x80) {
    code_point = first;
    return 1;
  }
  std::size_t length = 0;
  std::uint32_t least = 0;
  if (first >= 0xC2 && first <= 0xDF) {
    length = 2, least = 0x80, code_point = first & 0x1F;
  } else if (first >= 0xE0 && first <= 0xEF) {
    length = 3, least = 0x800, code_point = first & 0x0F;
  } else if (first >= 0xF0 && first <= 0xF4) {
    length = 4, least = 0x10000, code_point = first & 0x07;
  }
  if (length == 0 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
    code_point = code_point << 6 | (byte(i) & 0x3F);
  }
  const bool surrogate = code_point >= 0xD800 && code_point <= 0xDFFF;
  return code_point < least || code_point > 0x10FFFF || surrogate ? 0 : length;
}

bool IsControl(std::uint32_t code_point) {
  return code_point < 0x20 || (code_point >= 0x7F && code_point < 0xA0) || code_point == 0x2028 ||
         code_point == 0x2029;
}

}  // namespace

std::string ToHex(std::span<const std::uint8_t> bytes) {
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const std::uint8_t byte : bytes) {
    out += kHexDigits[byte >> 4];
    out += kHexDigits[byte & 15];
  }
  return out;
}

std::optional<std::vector<std::uint8_t>> FromHex(std::string_view text) {
  if (text.size() % 2 != 0) return std::nullopt;
  std::vector<std::uint8_t> out;
  out.reserve(text.size() / 2);
  for (std::size_t i = 0; i < text.size(); i += 2) {
    const int high = HexValue(text[i]);
    const int low = HexValue(text[i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    out.push_back(static_cast<std::uint8_t>(high << 4 | low));
  }
  return out;
}

std::string ToBase64(std::span<const std::uint8_t> bytes) { return Base64(bytes, kBase64, true); }

std::string ToBase64Url(std::span<const std::uint8_t> bytes) {
  return Base64(bytes, kBase64Url, false);
}

std::optional<std::vector<std::uint8_t>> FromBase64(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  std::vector<std::uint8_t> out;
  out.reserve(text.size() / 4 * 3);
  for (std::size_t i = 0; i < text.size(); i += 4) {
    std::size_t pads = 0;
    if (i + 4 == text.size() && text[i + 3] == '=') pads = text[i + 2] == '=' ? 2 : 1;
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 4; ++k) {
      const int value = k >= 4 - pads ? 0 : Base64Value(text[i + k]);
      if (value < 0) return std::nullopt;
      group = group << 6 | static_cast<std::uint32_t>(value);
    }
    // Bits that no byte takes must be zero, or two texts would mean one value.
    if ((pads == 1 && (group & 0xFF) != 0) || (pads == 2 && (group & 0xFFFF) != 0)) {
      return std::nullopt;
    }
    out.push_back(static_cast<std::uint8_t>(group >> 16));
    if (pads < 2) out.push_back(static_cast<std::uint8_t>(group >> 8 & 0xFF));
    if (pads < 1) out.push_back(static_cast<std::uint8_t>(group & 0xFF));
  }
  return out;
}

std::optional<std::vector<std::uint8_t>> FromBase64Url(std::string_view text) {
  std::string padded(text);
  for (char& c : padded) {
    if (c == '+' || c == '/' || c == '=') return std::nullopt;
    c = c == '-' ? '+' : c == '_' ? '/' : c;
  }
  padded.append((4 - padded.size() % 4) % 4, '=');
  return FromBase64(padded);
}

std::string ToFingerprint(std::span<const std::uint8_t> bytes) {
  const std::string hex = ToHex(bytes);
  std::string out;
  for (std::size_t i = 0; i < hex.size(); i += 4) {
    if (i != 0) out += ' ';
    out += hex.substr(i, 4);
  }
  return out;
}

std::array<std::uint8_t, 32> Sha256(std::span<const std::uint8_t> bytes) {
  return protocol::Sha256Of(bytes);
}

std::array<std::uint8_t, 32> Sha256(std::string_view text) {
  return Sha256(std::span<const std::uint8_t>(reinterpret_cast<const std::uint8_t*>(text.data()),
                                              text.size()));
}

bool SameDigest(const std::array<std::uint8_t, 32>& a, const std::array<std::uint8_t, 32>& b) {
  return protocol::ConstantTimeEquals(a, b);
}

protocol::P256Private ScalarOf(const SecureBytes& key) {
  protocol::P256Private scalar;
  std::copy(key.span().begin(), key.span().end(), scalar.bytes.begin());
  return scalar;
}

bool IsUtf8(std::string_view text) {
  std::uint32_t code_point = 0;
  while (!text.empty()) {
    const std::size_t length = SequenceLength(text, code_point);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

bool IsPrintableUtf8(std::string_view text) {
  std::uint32_t code_point = 0;
  while (!text.empty()) {
    const std::size_t length = SequenceLength(text, code_point);
    if (length == 0 || IsControl(code_point)) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::string Presentable(std::string_view text, std::size_t limit) {
  std::string out;
  std::uint32_t code_point = 0;
  while (!text.empty()) {
    std::size_t length = SequenceLength(text, code_point);
    const bool bad = length == 0 || IsControl(code_point);
    if (length == 0) length = 1;
    if (out.size() + (bad ? 1 : length) > limit) break;
    if (bad) {
      out += '?';
    } else {
      out.append(text.substr(0, length));
    }
    text.remove_prefix(length);
  }
  return out;
}

}  // namespace keyferry::server
