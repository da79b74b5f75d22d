#include "server/app/outbound_config.h"

#include <algorithm>
#include <boost/json/parse.hpp>
#include <utility>

#include "server/core/attributes.h"
#include "server/core/encoding.h"
#include "server/core/help_desk_records.h"
#include "server/core/mail_template.h"

namespace keyferry::server {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxWebhooks = 4;
constexpr std::size_t kMostSmsBody = 2048, kMostSmsText = 300, kMostSmsFrom = 32;
constexpr const char* kJsonBody = R"({"to":"%number%","text":"%text%"})";
constexpr const char* kFormBody = "to=%number%&text=%text%";
constexpr const char* kSmsText =
    "{{code}} is your code for {{agent}} of the help desk, for {{minutes}} minutes. If you did not "
    "call, tell it to nobody.";
constexpr const char* kSmsNoticeText =
    "{{login}}: {{what}} ({{by}}, {{when}}) Was this not you? {{link}}";

fs::path PathOf(ConfigReader& reader, const fs::path& directory, const char* key) {
  const std::string text = reader.Text(key, false);
  return text.empty() ? fs::path() : directory / text;
}

bool IsDigits(const std::string& text, std::size_t most) {
  return text.size() <= most &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

bool IsHeaderName(const std::string& text) {
  return !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' ||
           c == '_';
  });
}

// What is wrong with the body, as the end of a sentence; empty: nothing.
std::string ProblemOf(const SmsMessage& message) {
  const auto has = [&](const char* what) { return message.body.find(what) != std::string::npos; };
  if (message.body.size() > kMostSmsBody) return "has more than 2048 bytes.";
  if (!has("%number%") || !has("%text%")) return "must hold %number% and %text%.";
  if (has("%from%") && message.from.empty()) return "holds %from%, but there is no sms.from.";
  if (message.format == SmsFormat::kForm) {
    const bool good = std::all_of(message.body.begin(), message.body.end(),
                                  [](char c) { return c > 0x20 && c < 0x7F; });
    return good ? "" : "must be printable ASCII without blanks, like \"to=%number%&text=%text%\".";
  }
  // Values that are only good within a string, and only escaped.
  const SecureBytes filled =
      FillSms(message, "+1", SecureBytes::CopyOf(std::string_view("a\"\\\n")));
  boost::system::error_code failure;
  const auto value = boost::json::parse(filled.view(), failure);
  return !failure && value.is_object()
             ? ""
             : "must be a JSON object, with %number% and %text% within strings.";
}

void ReadWebhooks(ConfigReader& reader, const fs::path& directory, ServerConfig& config) {
  auto& webhook = config.webhook;
  const auto urls = reader.Texts("webhook.urls", false);
  if (urls.size() > kMaxWebhooks) reader.Complain("webhook.urls", "holds more than 4.");
  for (const std::string& url : urls) {
    auto target = WebhookTarget::Parse(url);
    // The address itself may hold a token, and complaints are printed.
    if (!target) {
      reader.Complain("webhook.urls", "holds one that " + target.error().message);
      break;
    }
    for (const WebhookTarget& other : webhook.targets) {
      if (other.url == url) reader.Complain("webhook.urls", "holds the same one twice.");
    }
    webhook.targets.push_back(*std::move(target));
  }
  webhook.secret_file = PathOf(reader, directory, "webhook.secret_file");
  webhook.ca_file = PathOf(reader, directory, "webhook.ca_file");
  webhook.timeout_seconds =
      reader.Number("webhook.timeout_seconds", webhook.timeout_seconds, 1, 30);
  if (!urls.empty() && webhook.secret_file.empty()) {
    reader.Complain("webhook.urls", "needs webhook.secret_file: what is sent is signed with it.");
  }
}

void ReadSms(ConfigReader& reader, const fs::path& directory, ServerConfig& config) {
  auto& sms = config.sms;
  sms.url = reader.Text("sms.url", false);
  sms.header = reader.Text("sms.header", false);
  sms.secret_file = PathOf(reader, directory, "sms.secret_file");
  sms.ca_file = PathOf(reader, directory, "sms.ca_file");
  sms.timeout_seconds = reader.Number("sms.timeout_seconds", sms.timeout_seconds, 1, 30);
  const bool json = reader.OneOf("sms.format", "json", {"json", "form"}) == "json";
  sms.message.format = json ? SmsFormat::kJson : SmsFormat::kForm;
  sms.message.body = reader.Text("sms.body", false);
  if (sms.message.body.empty()) sms.message.body = json ? kJsonBody : kFormBody;
  sms.message.from = reader.Text("sms.from", false);
  sms.text = reader.Text("sms.text", false);
  if (sms.text.empty()) sms.text = kSmsText;
  sms.notice_text = reader.Text("sms.notice_text", false);
  if (sms.notice_text.empty()) sms.notice_text = kSmsNoticeText;
  sms.phone.country_code = reader.Text("sms.country_code", false);
  sms.phone.trunk_prefix = reader.OneOf("sms.trunk_prefix", "0", {"0", "1", "8", "06", "none"});
  if (sms.phone.trunk_prefix == "none") sms.phone.trunk_prefix.clear();
  auto& attribute = config.directory.mobile_attribute;
  if (const auto named = reader.Text("sms.attribute", false); !named.empty()) attribute = named;
  sms.per_person_day = reader.Number("sms.per_person_day", sms.per_person_day, 1, 100);
  sms.per_hour = reader.Number("sms.per_hour", sms.per_hour, 1, 100000);
  if (sms.url.empty()) return;
  config.help_desk.points[static_cast<std::size_t>(HelpDeskMethod::kSmsCode)] = 1;
  // The address itself may hold a token, and complaints are printed.
  if (const auto target = WebhookTarget::Parse(sms.url); !target) {
    reader.Complain("sms.url", target.error().message);
  }
  if (sms.header.empty() != sms.secret_file.empty()) {
    reader.Complain(sms.header.empty() ? "sms.secret_file" : "sms.header",
                    "goes together with sms.header and sms.secret_file: give both or none.");
  }
  if (!sms.header.empty() && !IsHeaderName(sms.header)) {
    reader.Complain("sms.header", "must be the name of a header, like \"Authorization\".");
  }
  if (sms.message.from.size() > kMostSmsFrom || !IsPrintableUtf8(sms.message.from)) {
    reader.Complain("sms.from", "must be one line of at most 32 bytes.");
  }
  if (const std::string problem = ProblemOf(sms.message); !problem.empty()) {
    reader.Complain("sms.body", problem);
  }
  if (const auto text =
          MailTemplate::Parse("Subject: SMS\n\n" + sms.text, {"code", "agent", "login", "minutes"});
      !text || !IsPrintableUtf8(sms.text) || sms.text.size() > kMostSmsText ||
      sms.text.find("{{code}}") == std::string::npos) {
    reader.Complain("sms.text",
                    "must be one line of at most 300 bytes with {{code}}, and nothing else in "
                    "braces but {{agent}}, {{login}} and {{minutes}}.");
  }
  if (const auto text = MailTemplate::Parse("Subject: SMS\n\n" + sms.notice_text,
                                            {"what", "login", "by", "when", "link"});
      !text || !IsPrintableUtf8(sms.notice_text) || sms.notice_text.size() > kMostSmsText ||
      sms.notice_text.find("{{what}}") == std::string::npos) {
    reader.Complain("sms.notice_text",
                    "must be one line of at most 300 bytes with {{what}}, and nothing else in "
                    "braces but {{login}}, {{by}}, {{when}} and {{link}}.");
  }
  if (!IsDigits(sms.phone.country_code, 3) || sms.phone.country_code.substr(0, 1) == "0") {
    reader.Complain("sms.country_code", "must be a country code of 1 to 3 digits, like \"380\".");
  }
  if (!MayBeShown(attribute)) {
    reader.Complain("sms.attribute", "is no name of an attribute that may be read.");
  }
}

}  // namespace

const std::vector<std::string>& OutboundKeys() {
  static const std::vector<std::string> keys = {"webhook.urls",
                                                "webhook.secret_file",
                                                "webhook.ca_file",
                                                "webhook.timeout_seconds",
                                                "sms.url",
                                                "sms.header",
                                                "sms.secret_file",
                                                "sms.ca_file",
                                                "sms.timeout_seconds",
                                                "sms.format",
                                                "sms.body",
                                                "sms.from",
                                                "sms.text",
                                                "sms.notice_text",
                                                "sms.attribute",
                                                "sms.country_code",
                                                "sms.trunk_prefix",
                                                "sms.per_person_day",
                                                "sms.per_hour"};
  return keys;
}

void ReadOutbound(ConfigReader& reader, const fs::path& directory, ServerConfig& config) {
  ReadWebhooks(reader, directory, config);
  ReadSms(reader, directory, config);
}

}  // namespace keyferry::server
