#pragma once

#include <array>
#include <boost/json/object.hpp>
#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/result.h"

namespace keyferry::server {

// Reads one JSON object strictly: every member is asked for by name and type, and Finish() refuses
// the object when a member was missing, of another type, out of bounds, given twice, or unknown.
// After a mistake the getters return empty values; look at Finish() before using any of them.
//   JsonReader in(request.body.span());
//   const std::string name = in.Text("name", 1, 64);
//   if (auto bad = in.Finish(); !bad) return Problem(request, bad.error());
class JsonReader {
 public:
  explicit JsonReader(std::span<const std::uint8_t> body);
  // A nested object, e.g. one element of Objects().
  explicit JsonReader(boost::json::object object) : object_(std::move(object)) {}

  // UTF-8 without control characters, `least`…`most` bytes; `multiline` allows LF and tab.
  std::string Text(const char* name, std::size_t least, std::size_t most, bool multiline = false);
  // As Text, but the member may be absent (→ empty).
  std::string OptionalText(const char* name, std::size_t most, bool multiline = false);
  // A list of at most `most` texts of 1…`bytes` bytes each.
  std::vector<std::string> Texts(const char* name, std::size_t most, std::size_t bytes);
  // As Texts, but the member may be absent (→ nullopt).
  std::optional<std::vector<std::string>> OptionalTexts(const char* name, std::size_t most,
                                                        std::size_t bytes);
  bool Bool(const char* name);
  bool OptionalBool(const char* name, bool absent);
  std::int64_t Integer(const char* name, std::int64_t least, std::int64_t most);
  std::vector<std::int64_t> Integers(const char* name, std::size_t count, std::int64_t least,
                                     std::int64_t most);
  // Padded base64 of `least`…`most` bytes.
  std::vector<std::uint8_t> Bytes(const char* name, std::size_t least, std::size_t most);
  // As Bytes, but null is allowed (→ nullopt).
  std::optional<std::vector<std::uint8_t>> NullableBytes(const char* name, std::size_t least,
                                                         std::size_t most);
  // An identifier type with a static Parse(hex).
  template <typename Id>
  Id Identifier(const char* name) {
    const auto id = Id::Parse(Text(name, 32, 32));
    if (!id) Complain(std::string(name) + " is not an identifier.");
    return id.value_or(Id{});
  }
  // As Identifier, but the member may be absent (→ nullopt).
  template <typename Id>
  std::optional<Id> OptionalIdentifier(const char* name) {
    const std::string text = OptionalText(name, 32);
    if (text.empty()) return std::nullopt;
    const auto id = Id::Parse(text);
    if (!id) Complain(std::string(name) + " is not an identifier.");
    return id ? std::optional<Id>(*id) : std::nullopt;
  }
  std::vector<JsonReader> Objects(const char* name, std::size_t most);

  Result<void> Finish();

 private:
  const boost::json::value* Find(const char* name, bool required);
  void Complain(std::string message);

  boost::json::object object_;
  std::set<std::string, std::less<>> asked_;
  std::string complaint_;
};

}  // namespace keyferry::server
