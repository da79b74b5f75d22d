#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/result.h"
#include "protocol/secure/secure_bytes.h"

namespace keyferry::server {

// A field that a route's form may carry. Anything else in the body refuses the whole form.
struct FormField {
  std::string name;
  std::size_t max = 64;  // decoded bytes
  bool secret = false;   // goes into SecureBytes and nowhere else
  bool required = false;
};

// A parsed application/x-www-form-urlencoded body.
class Form {
 public:
  bool Has(std::string_view name) const;
  // Text of a field; empty when absent. Valid UTF-8; line ends are LF; no other control character.
  std::string_view Text(std::string_view name) const;
  // Hands a secret field over; empty when absent. A second call finds it empty.
  SecureBytes TakeSecret(std::string_view name);

 private:
  friend Result<Form> ParseForm(std::span<const std::uint8_t> body,
                                std::span<const FormField> fields);
  std::map<std::string, std::string, std::less<>> text_;
  std::map<std::string, SecureBytes, std::less<>> secrets_;
};

// Parses at most 64 KiB. kInvalidArgument for unknown, repeated, over-long or missing fields, bad
// percent signs, bytes that are not UTF-8, and NUL. Secret fields are decoded straight from `body`
// into locked memory and never pass through a std::string. The caller wipes `body`.
Result<Form> ParseForm(std::span<const std::uint8_t> body, std::span<const FormField> fields);

// Percent-decodes once ('+' is a space). kInvalidArgument for bad escapes or more than `max` bytes.
Result<std::string> DecodeComponent(std::string_view encoded, std::size_t max);

bool IsUtf8(std::span<const std::uint8_t> bytes);
inline bool IsUtf8(std::string_view text) {
  return IsUtf8(std::span(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()));
}
// True when `text` holds a control character (C0, DEL, C1) other than those in `allowed`.
bool HasControl(std::string_view text, std::string_view allowed = {});

}  // namespace keyferry::server
