#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace keyferry::server {

// Builds one JSON object on one line, for events. Text is escaped so that it can hold no line
// break; bad UTF-8 becomes '?'.
class JsonLine {
 public:
  JsonLine& Text(std::string_view name, std::string_view value);
  JsonLine& Number(std::string_view name, std::int64_t value);
  JsonLine& Unsigned(std::string_view name, std::uint64_t value);
  JsonLine& Base64(std::string_view name, std::span<const std::uint8_t> value);
  JsonLine& Texts(std::string_view name, std::span<const std::string> values);
  JsonLine& Null(std::string_view name);
  std::string Take();

 private:
  void Name(std::string_view name);
  void Quote(std::string_view value);
  std::string out_ = "{";
};

}  // namespace keyferry::server
