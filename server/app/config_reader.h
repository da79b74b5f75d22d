#pragma once

#define TOML_HEADER_ONLY 0
#include <toml++/toml.h>

#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/result.h"

namespace keyferry::server {

// Reads values out of one TOML document and keeps the first complaint, as "FILE:LINE: …". Keys that
// nobody asked for are found by Finish().
class ConfigReader {
 public:
  ConfigReader(const toml::table& document, std::string file_name)
      : document_(document), file_name_(std::move(file_name)) {}

  // `key` is "table.name". Required values must be there and not be empty.
  std::string Text(const char* key, bool required);
  std::string OneOf(const char* key, std::string fallback, const std::vector<std::string>& allowed);
  std::vector<std::string> Texts(const char* key, bool required);
  std::int64_t Number(const char* key, std::int64_t fallback, std::int64_t least,
                      std::int64_t most);
  bool Flag(const char* key, bool fallback);

  // Complains about a value that was read, at its line.
  void Complain(const char* key, const std::string& what);
  Result<void> Finish(const std::vector<std::string>& known);

 private:
  const toml::node* Find(const char* key);
  void ComplainAt(std::uint32_t line, const std::string& what);

  const toml::table& document_;
  std::string file_name_;
  std::string complaint_;
};

}  // namespace keyferry::server
