#include "server/fido/cbor.h"

#include <limits>

namespace keyferry::server {
namespace {

// Major types of RFC 8949 section 3.1.
constexpr unsigned kUnsigned = 0, kNegative = 1, kByteString = 2, kTextString = 3, kArray = 4,
                   kMap = 5, kSimple = 7;

}  // namespace

void CborReader::Break() {
  good_ = false;
  rest_ = {};
}

std::optional<CborReader::Head> CborReader::ReadHead() {
  if (!good_ || rest_.empty()) {
    Break();
    return std::nullopt;
  }
  const unsigned first = rest_[0], info = first & 31;
  rest_ = rest_.subspan(1);
  Head head{first >> 5, info};
  if (info < 24) return head;
  // 24…27: that many bytes follow, big-endian; 31 would be an indefinite length. A simple value
  // that is longer is a floating-point number.
  const std::size_t size = info <= 27 ? std::size_t{1} << (info - 24) : 0;
  if (size == 0 || rest_.size() < size || head.major == kSimple) {
    Break();
    return std::nullopt;
  }
  head.value = 0;
  for (std::size_t i = 0; i < size; ++i) head.value = head.value << 8 | rest_[i];
  rest_ = rest_.subspan(size);
  return head;
}

std::optional<CborReader::Head> CborReader::ReadHead(unsigned major) {
  const auto head = ReadHead();
  if (head && head->major == major) return head;
  Break();
  return std::nullopt;
}

std::optional<std::span<const std::uint8_t>> CborReader::Take(std::uint64_t size) {
  if (!good_ || size > rest_.size()) {
    Break();
    return std::nullopt;
  }
  const auto taken = rest_.first(static_cast<std::size_t>(size));
  rest_ = rest_.subspan(taken.size());
  return taken;
}

std::optional<std::size_t> CborReader::Map() {
  const auto head = ReadHead(kMap);
  // Each pair has two bytes at least.
  if (!head || head->value > rest_.size() / 2) {
    Break();
    return std::nullopt;
  }
  return static_cast<std::size_t>(head->value);
}

std::optional<std::string_view> CborReader::Text() {
  const auto head = ReadHead(kTextString);
  const auto bytes = head ? Take(head->value) : std::nullopt;
  if (!bytes) return std::nullopt;
  return std::string_view(reinterpret_cast<const char*>(bytes->data()), bytes->size());
}

std::optional<std::span<const std::uint8_t>> CborReader::Bytes() {
  const auto head = ReadHead(kByteString);
  return head ? Take(head->value) : std::nullopt;
}

std::optional<std::int64_t> CborReader::Integer() {
  const auto head = ReadHead();
  constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (!head || head->major > kNegative || head->value > kMost) {
    Break();
    return std::nullopt;
  }
  const auto value = static_cast<std::int64_t>(head->value);
  return head->major == kUnsigned ? value : -1 - value;
}

bool CborReader::Skip() { return Skip(0); }

bool CborReader::Skip(int depth) {
  const auto head = ReadHead();
  if (!head || depth >= kMaxDepth) {
    Break();
    return false;
  }
  switch (head->major) {
    case kUnsigned:
    case kNegative:
      return true;
    case kByteString:
    case kTextString:
      return Take(head->value).has_value();
    case kArray:
    case kMap: {
      const std::uint64_t each = head->major == kMap ? 2 : 1;
      if (head->value > rest_.size() / each) break;
      for (std::uint64_t i = 0; i < head->value * each; ++i) {
        if (!Skip(depth + 1)) return false;
      }
      return true;
    }
    case kSimple:
      if (head->value >= 20 && head->value <= 23) return true;  // false, true, null, undefined
      break;
    default:
      break;  // a tag
  }
  Break();
  return false;
}

}  // namespace keyferry::server
