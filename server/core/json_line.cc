#include "server/core/json_line.h"

#include <utility>

#include "server/core/encoding.h"

namespace keyferry::server {

JsonLine& JsonLine::Text(std::string_view name, std::string_view value) {
  Name(name);
  Quote(value);
  return *this;
}

JsonLine& JsonLine::Number(std::string_view name, std::int64_t value) {
  Name(name);
  out_ += std::to_string(value);
  return *this;
}

JsonLine& JsonLine::Unsigned(std::string_view name, std::uint64_t value) {
  Name(name);
  out_ += std::to_string(value);
  return *this;
}

JsonLine& JsonLine::Base64(std::string_view name, std::span<const std::uint8_t> value) {
  Name(name);
  out_ += '"' + ToBase64(value) + '"';
  return *this;
}

JsonLine& JsonLine::Texts(std::string_view name, std::span<const std::string> values) {
  Name(name);
  out_ += '[';
  for (const std::string& value : values) {
    if (out_.back() != '[') out_ += ',';
    Quote(value);
  }
  out_ += ']';
  return *this;
}

JsonLine& JsonLine::Null(std::string_view name) {
  Name(name);
  out_ += "null";
  return *this;
}

std::string JsonLine::Take() {
  out_ += '}';
  return std::exchange(out_, "{");
}

void JsonLine::Name(std::string_view name) {
  if (out_.size() > 1) out_ += ',';
  Quote(name);
  out_ += ':';
}

void JsonLine::Quote(std::string_view value) {
  out_ += '"';
  // Presentable() leaves no control character, so two escapes are enough.
  for (const char c : Presentable(value, value.size())) {
    if (c == '"' || c == '\\') out_ += '\\';
    out_ += c;
  }
  out_ += '"';
}

}  // namespace keyferry::server
