#include "server/http/target.h"

#include "server/http/form.h"

namespace keyferry::server {
namespace {

bool IsNameByte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_';
}

bool IsSegment(std::string_view segment) {
  if (segment.empty() || segment.front() == '.' || segment.back() == '.') return false;
  char before = 0;
  for (const char c : segment) {
    if (!IsNameByte(c) && (c != '.' || before == '.')) return false;
    before = c;
  }
  return true;
}

tl::unexpected<Error> Bad() {
  return Fail(ErrorCode::kInvalidArgument, "This address is not one of Keyferry's.");
}

}  // namespace

Result<Target> ParseTarget(std::string_view target) {
  if (target.empty() || target.size() > 2048 || target.front() != '/') return Bad();
  Target out;
  const std::size_t mark = target.find('?');
  std::string_view path = target.substr(1, mark == std::string_view::npos ? mark : mark - 1);
  while (!path.empty()) {
    const std::size_t slash = path.find('/');
    const std::string_view segment = path.substr(0, slash);
    if (!IsSegment(segment) || out.path.size() == 12) return Bad();
    out.path.emplace_back(segment);
    if (slash == std::string_view::npos) break;
    path.remove_prefix(slash + 1);
    if (path.empty()) return Bad();  // a slash at the end
  }
  if (mark == std::string_view::npos) return out;
  std::string_view query = target.substr(mark + 1);
  while (!query.empty()) {
    const std::size_t end = query.find('&');
    const std::string_view pair = query.substr(0, end);
    query = end == std::string_view::npos ? std::string_view() : query.substr(end + 1);
    const std::size_t equals = pair.find('=');
    if (equals == std::string_view::npos || out.query.size() == 8) return Bad();
    auto name = DecodeComponent(pair.substr(0, equals), 32);
    auto value = DecodeComponent(pair.substr(equals + 1), 1024);
    if (!name || !value || name->empty() || !IsUtf8(*name) || !IsUtf8(*value) ||
        HasControl(*name) || HasControl(*value)) {
      return Bad();
    }
    for (const auto& [known, unused] : out.query) {
      if (known == *name) return Bad();
    }
    out.query.emplace_back(std::move(*name), std::move(*value));
  }
  return out;
}

std::string QueryText(std::string_view text) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
        (byte >= 'A' && byte <= 'Z') || byte == '-' || byte == '_') {
      out += c;
    } else {
      out += '%';
      out += kDigits[byte >> 4];
      out += kDigits[byte & 15];
    }
  }
  return out;
}

}  // namespace keyferry::server
