#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "protocol/result.h"
#include "protocol/secure/secure_bytes.h"
#include "server/core/http_post.h"

namespace keyferry::server {

// How the directory's telephone numbers are read.
struct PhoneRules {
  // ITU-T E.164 country code, digits, of numbers without one; empty: such numbers are not used.
  std::string country_code;
  // What a national number begins with, which is no part of it; empty: nothing does.
  std::string trunk_prefix = "0";
};
// The number in E.164: "+" and 8 to 15 digits. International ones begin with "+" or "00". Blanks
// and - . / ( ) between digits do not count; whatever else is in it, also "(0)" behind a country
// code, letters or an extension, makes it no number: a code is sent to the right one or not at all.
std::optional<std::string> ParsePhone(std::string_view text, const PhoneRules& rules);
// "••• 42": all that anybody is shown of it.
std::string MaskedPhone(std::string_view number);

// Sends short messages. Thread-safe; blocks, bounded.
class SmsGateway {
 public:
  virtual ~SmsGateway() = default;
  // `number` in E.164; `text` is UTF-8 and may hold a code. kUnavailable: it was not taken, or
  // nobody knows. No message or detail has the address, the number or the text.
  virtual Result<void> Send(const std::string& number, const SecureBytes& text) = 0;
};

enum class SmsFormat {
  kJson,  // application/json; what stands in a string is escaped (RFC 8259 section 7)
  kForm,  // application/x-www-form-urlencoded; percent-encoded (RFC 3986 section 2.1)
};

// What is posted: %number%, %text% and %from% in `body` stand for the values, escaped for `format`.
struct SmsMessage {
  SmsFormat format = SmsFormat::kJson;
  std::string body;
  std::string from;
};
SecureBytes FillSms(const SmsMessage& message, std::string_view number, const SecureBytes& text);

struct SmsGatewayConfig {
  std::string url;
  std::string header;        // name of the header that holds the secret; empty = none
  SecureBytes header_value;  // printable ASCII
  SmsMessage message;
};
// By one POST; an answer from 200 to 299 says that it was taken.
std::unique_ptr<SmsGateway> MakeSmsGateway(std::unique_ptr<HttpPoster> poster,
                                           SmsGatewayConfig config);

}  // namespace keyferry::server
