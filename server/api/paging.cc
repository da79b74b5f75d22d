#include "server/api/paging.h"

#include <charconv>

#include "server/core/encoding.h"

namespace keyferry::server {
namespace {

constexpr std::size_t kMaxCursor = 256;

// Strict base64url without padding.
std::optional<std::string> Decode(std::string_view text) {
  std::string plain(text);
  for (char& c : plain) {
    if (c == '+' || c == '/' || c == '=') return std::nullopt;
    if (c == '-') c = '+';
    if (c == '_') c = '/';
  }
  plain.append((4 - plain.size() % 4) % 4, '=');
  const auto bytes = FromBase64(plain);
  if (!bytes) return std::nullopt;
  return std::string(bytes->begin(), bytes->end());
}

}  // namespace

Result<std::uint64_t> ReadNumber(std::string_view text, std::string_view what) {
  std::uint64_t number = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || failure != std::errc() || end != text.data() + text.size()) {
    return Fail(ErrorCode::kInvalidArgument, std::string(what) + " must be a number.");
  }
  return number;
}

Result<std::size_t> ReadLimit(const Request& request, std::size_t most) {
  const std::string_view text = request.Query("limit");
  if (text.empty()) return std::min<std::size_t>(most, 100);
  const auto number = ReadNumber(text, "limit");
  if (!number || *number < 1 || *number > most) {
    return Fail(ErrorCode::kInvalidArgument,
                "limit must be a number from 1 to " + std::to_string(most) + ".");
  }
  return static_cast<std::size_t>(*number);
}

std::string MakeCursor(std::string_view list, std::string_view after) {
  const std::string plain = std::string(list) + ":" + std::string(after);
  return ToBase64Url(std::span(reinterpret_cast<const std::uint8_t*>(plain.data()), plain.size()));
}

Result<PageRequest> ReadPage(const Request& request, std::string_view list) {
  PageRequest page;
  auto limit = ReadLimit(request, kMostOfAPage);
  if (!limit) return tl::unexpected(limit.error());
  page.limit = *limit;
  const std::string_view cursor = request.Query("cursor");
  if (cursor.empty()) return page;
  const auto plain = cursor.size() > kMaxCursor ? std::nullopt : Decode(cursor);
  if (!plain || plain->size() <= list.size() + 1 || plain->compare(0, list.size(), list) != 0 ||
      (*plain)[list.size()] != ':') {
    return Fail(ErrorCode::kInvalidArgument, "cursor is not one that this list gave.");
  }
  page.after = plain->substr(list.size() + 1);
  return page;
}

}  // namespace keyferry::server
