#include "server/directory/metadata.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstddef>

namespace keyferry::server {
namespace {

constexpr std::size_t kHeader = 16;
constexpr std::size_t kEntry = 48;
constexpr std::int64_t kSecondsTo1970 = 11'644'473'600;  // metadata counts seconds since 1601

std::uint64_t ReadLittle(std::string_view bytes, std::size_t at, std::size_t size) {
  std::uint64_t value = 0;
  for (std::size_t i = size; i > 0; --i) {
    value = value << 8 | static_cast<std::uint8_t>(bytes[at + i - 1]);
  }
  return value;
}

}  // namespace

std::optional<AttributeStamp> ReadStamp(std::string_view data, std::uint32_t attribute) {
  if (data.size() < kHeader || ReadLittle(data, 0, 4) != 1) return std::nullopt;
  const std::uint64_t count = ReadLittle(data, 8, 4);
  if (count > (data.size() - kHeader) / kEntry) return std::nullopt;
  for (std::size_t at = kHeader; at < kHeader + count * kEntry; at += kEntry) {
    if (ReadLittle(data, at, 4) != attribute) continue;
    AttributeStamp stamp;
    stamp.version = static_cast<std::uint32_t>(ReadLittle(data, at + 4, 4));
    const std::uint64_t since_1601 = ReadLittle(data, at + 8, 8);
    if (since_1601 > 1'000'000'000'000) return std::nullopt;
    stamp.written = static_cast<std::int64_t>(since_1601) - kSecondsTo1970;
    std::copy_n(data.begin() + static_cast<std::ptrdiff_t>(at + 16), stamp.writer.size(),
                stamp.writer.begin());
    return stamp;
  }
  return std::nullopt;
}

std::int64_t ReadGeneralizedTime(std::string_view text) {
  const auto number = [&](std::size_t at, std::size_t size) {
    int value = -1;
    if (text.size() >= at + size) {
      const char* const end = text.data() + at + size;
      const auto [stop, error] = std::from_chars(text.data() + at, end, value);
      if (error != std::errc() || stop != end) value = -1;
    }
    return value;
  };
  const int year = number(0, 4), month = number(4, 2), day = number(6, 2), hour = number(8, 2),
            minute = number(10, 2), second = number(12, 2);
  const bool zulu = !text.empty() && text.back() == 'Z';
  if (!zulu || hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60) {
    return 0;
  }
  const std::chrono::year_month_day date{std::chrono::year(year),
                                         std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (year < 1970 || !date.ok()) return 0;
  const auto days = std::chrono::sys_days(date).time_since_epoch().count();
  return (days * 24L + hour) * 3600 + minute * 60 + second;
}

}  // namespace keyferry::server
