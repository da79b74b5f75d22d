#include "server/core/sms.h"

#include <algorithm>
#include <array>

namespace keyferry::server {
namespace {

constexpr std::size_t kLeastPhoneDigits = 8, kMostPhoneDigits = 15;
constexpr std::size_t kMostPhoneText = 64;
constexpr char kSmsHex[] = "0123456789ABCDEF";

bool IsPhoneDigit(char c) { return c >= '0' && c <= '9'; }

// The value as `format` has it, byte by byte, given to `put`.
template <typename Put>
void EscapeTo(SmsFormat format, std::string_view value, const Put& put) {
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    if (format == SmsFormat::kForm) {
      const bool plain = IsPhoneDigit(c) || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                         c == '-' || c == '.' || c == '_' || c == '~';
      if (plain) {
        put(c);
      } else {
        put('%');
        put(kSmsHex[byte >> 4]);
        put(kSmsHex[byte & 15]);
      }
    } else if (c == '"' || c == '\\') {
      put('\\');
      put(c);
    } else if (byte < 0x20 || byte == 0x7F) {
      for (const char one : {'\\', 'u', '0', '0'}) put(one);
      put(kSmsHex[byte >> 4]);
      put(kSmsHex[byte & 15]);
    } else {
      put(c);
    }
  }
}

// Calls `put` with each byte of the filled body.
template <typename Put>
void FillTo(const SmsMessage& message, std::string_view number, std::string_view text,
            const Put& put) {
  const std::array<std::pair<std::string_view, std::string_view>, 3> values = {
      {{"%number%", number}, {"%text%", text}, {"%from%", message.from}}};
  std::string_view rest = message.body;
  while (!rest.empty()) {
    const auto value = std::find_if(values.begin(), values.end(), [&](const auto& one) {
      return rest.substr(0, one.first.size()) == one.first;
    });
    if (value == values.end()) {
      put(rest.front());
      rest.remove_prefix(1);
    } else {
      EscapeTo(message.format, value->second, put);
      rest.remove_prefix(value->first.size());
    }
  }
}

class HttpSmsGateway final : public SmsGateway {
 public:
  HttpSmsGateway(std::unique_ptr<HttpPoster> poster, SmsGatewayConfig config)
      : poster_(std::move(poster)), config_(std::move(config)) {}

  Result<void> Send(const std::string& number, const SecureBytes& text) override {
    HttpPost post;
    post.url = config_.url;
    post.content_type = config_.message.format == SmsFormat::kJson
                            ? "application/json"
                            : "application/x-www-form-urlencoded";
    if (!config_.header.empty()) {
      post.headers.emplace_back(config_.header, std::string(config_.header_value.view()));
    }
    post.body = FillSms(config_.message, number, text);
    const auto status = poster_->Post(post);
    if (!status) {
      return Fail(ErrorCode::kUnavailable,
                  "The SMS gateway does not answer as it should; tell an administrator.",
                  status.error().message);
    }
    if (*status >= 200 && *status <= 299) return {};
    return Fail(ErrorCode::kUnavailable, "The SMS gateway answered with status " +
                                             std::to_string(*status) + "; tell an administrator.");
  }

 private:
  const std::unique_ptr<HttpPoster> poster_;
  const SmsGatewayConfig config_;
};

}  // namespace

std::optional<std::string> ParsePhone(std::string_view text, const PhoneRules& rules) {
  if (text.size() > kMostPhoneText) return std::nullopt;
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  const bool plus = !text.empty() && text.front() == '+';
  if (plus) text.remove_prefix(1);
  std::string digits;
  bool open = false;
  std::string group;  // within parentheses
  for (const char c : text) {
    if (IsPhoneDigit(c)) {
      digits += c;
      if (open) group += c;
    } else if (c == '(') {
      if (open) return std::nullopt;
      open = true;
      group.clear();
    } else if (c == ')') {
      // "(0)" is dialled at home and not from abroad.
      if (!open || group.empty() || group == "0") return std::nullopt;
      open = false;
    } else if (c != ' ' && c != '-' && c != '.' && c != '/') {
      return std::nullopt;
    }
  }
  if (open) return std::nullopt;
  if (!plus) {
    if (digits.compare(0, 2, "00") == 0) {
      digits.erase(0, 2);
    } else {
      const std::string& trunk = rules.trunk_prefix;
      if (rules.country_code.empty() || digits.compare(0, trunk.size(), trunk) != 0) {
        return std::nullopt;
      }
      digits.erase(0, trunk.size());
      if (digits.empty() || digits.front() == '0') return std::nullopt;
      digits.insert(0, rules.country_code);
    }
  }
  if (digits.size() < kLeastPhoneDigits || digits.size() > kMostPhoneDigits ||
      digits.front() == '0') {
    return std::nullopt;
  }
  return "+" + digits;
}

std::string MaskedPhone(std::string_view number) {
  return "••• " + std::string(number.size() < 2 ? number : number.substr(number.size() - 2));
}

SecureBytes FillSms(const SmsMessage& message, std::string_view number, const SecureBytes& text) {
  std::size_t size = 0;
  FillTo(message, number, text.view(), [&size](char) { ++size; });
  SecureBytes out(size);
  std::size_t at = 0;
  FillTo(message, number, text.view(),
         [&](char c) { out.data()[at++] = static_cast<std::uint8_t>(c); });
  return out;
}

std::unique_ptr<SmsGateway> MakeSmsGateway(std::unique_ptr<HttpPoster> poster,
                                           SmsGatewayConfig config) {
  return std::make_unique<HttpSmsGateway>(std::move(poster), std::move(config));
}

}  // namespace keyferry::server
