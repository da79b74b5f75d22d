#include "server/mail/smtp.h"

#include <curl/curl.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <ctime>
#include <mutex>
#include <utility>

#include "protocol/secure/system_random.h"
#include "server/core/encoding.h"

namespace keyferry::server {
namespace {

constexpr long kConnectSeconds = 10;
constexpr std::size_t kLine = 76;

struct Closer {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using Handle = std::unique_ptr<CURL, Closer>;
using List = std::unique_ptr<curl_slist, Closer>;

// A header's text: as it is when it is ASCII, else as RFC 2047 words of whole characters.
std::string HeaderText(std::string_view text) {
  const bool plain =
      std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7F; });
  if (plain) return std::string(text);
  std::string out;
  constexpr std::size_t kWord = 42;  // bytes; 75 characters a word, encoded
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = std::min(text.size(), at + kWord);
    while (end < text.size() && end > at + 1 &&
           (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) {
      --end;
    }
    const std::string_view word = text.substr(at, end - at);
    if (!out.empty()) out += "\r\n ";
    out += "=?UTF-8?B?" +
           ToBase64(std::span(reinterpret_cast<const std::uint8_t*>(word.data()), word.size())) +
           "?=";
    at = end;
  }
  return out;
}

std::string DateText(std::int64_t when) {
  static constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::time_t seconds = when;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[64];
  std::snprintf(text, sizeof text, "%s, %02d %s %04d %02d:%02d:%02d +0000", kDays[parts.tm_wday],
                parts.tm_mday, kMonths[parts.tm_mon], parts.tm_year + 1900, parts.tm_hour,
                parts.tm_min, parts.tm_sec);
  return text;
}

// Base64 in lines, straight into locked memory.
void AppendBase64(std::span<const std::uint8_t> bytes, std::uint8_t*& out) {
  static constexpr char kAlphabet[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::size_t column = 0;
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    const std::size_t left = std::min<std::size_t>(3, bytes.size() - at);
    const std::uint32_t group = static_cast<std::uint32_t>(bytes[at]) << 16 |
                                (left > 1 ? static_cast<std::uint32_t>(bytes[at + 1]) << 8 : 0u) |
                                (left > 2 ? static_cast<std::uint32_t>(bytes[at + 2]) : 0u);
    *out++ = static_cast<std::uint8_t>(kAlphabet[group >> 18 & 63]);
    *out++ = static_cast<std::uint8_t>(kAlphabet[group >> 12 & 63]);
    *out++ = static_cast<std::uint8_t>(left > 1 ? kAlphabet[group >> 6 & 63] : '=');
    *out++ = static_cast<std::uint8_t>(left > 2 ? kAlphabet[group & 63] : '=');
    column += 4;
    if (column >= kLine) {
      *out++ = '\r';
      *out++ = '\n';
      column = 0;
    }
  }
  if (column != 0) {
    *out++ = '\r';
    *out++ = '\n';
  }
}

struct Upload {
  const SecureBytes& text;
  std::size_t at = 0;
};

std::size_t ReadUpload(char* to, std::size_t size, std::size_t count, void* state) {
  auto* const upload = static_cast<Upload*>(state);
  const std::size_t take = std::min(size * count, upload->text.size() - upload->at);
  std::memcpy(to, upload->text.data() + upload->at, take);
  upload->at += take;
  return take;
}

class SmtpMailer final : public Mailer {
 public:
  explicit SmtpMailer(SmtpConfig config) : config_(std::move(config)) {
    static std::once_flag once;
    std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
  }

  Result<void> Send(const MailMessage& message) override {
    if (!IsMailAddress(message.recipient) ||
        !std::none_of(message.subject.begin(), message.subject.end(),
                      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; })) {
      return Fail(ErrorCode::kInvalidArgument, "This mail's address or subject cannot be sent.");
    }
    std::array<std::uint8_t, 16> id{};
    if (!OsRandom().Fill(id)) {
      return Fail(ErrorCode::kInternal, "The system gave no random numbers.");
    }
    const SecureBytes text =
        FormatMail(config_, message, std::time(nullptr), ToHex(id) + "@" + config_.helo);
    Upload upload{text};
    const std::string recipient = "<" + message.recipient + ">";
    const List recipients(curl_slist_append(nullptr, recipient.c_str()));
    auto handle = Open();
    if (!handle || !recipients) return Fail(ErrorCode::kInternal, "No mail could be prepared.");
    const std::string from = "<" + config_.from + ">";
    curl_easy_setopt(handle.get(), CURLOPT_MAIL_FROM, from.c_str());
    curl_easy_setopt(handle.get(), CURLOPT_MAIL_RCPT, recipients.get());
    curl_easy_setopt(handle.get(), CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(handle.get(), CURLOPT_READFUNCTION, &ReadUpload);
    curl_easy_setopt(handle.get(), CURLOPT_READDATA, &upload);
    return Perform(handle.get(), true);
  }

  Result<void> Probe() override {
    auto handle = Open();
    if (!handle) return Fail(ErrorCode::kInternal, "No mail could be prepared.");
    curl_easy_setopt(handle.get(), CURLOPT_CONNECT_ONLY, 1L);
    return Perform(handle.get(), false);
  }

 private:
  Handle Open() const {
    Handle handle(curl_easy_init());
    if (!handle) return handle;
    CURL* const curl = handle.get();
    const bool v6 = config_.host.find(':') != std::string::npos;
    const std::string url = std::string(config_.tls == SmtpTls::kTls ? "smtps://" : "smtp://") +
                            (v6 ? "[" + config_.host + "]" : config_.host) + ":" +
                            std::to_string(config_.port) + "/" + config_.helo;
    curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, config_.timeout_seconds);
    curl_easy_setopt(curl, CURLOPT_SERVER_RESPONSE_TIMEOUT, config_.timeout_seconds);
    curl_easy_setopt(
        curl, CURLOPT_USE_SSL,
        static_cast<long>(config_.tls == SmtpTls::kNone ? CURLUSESSL_NONE : CURLUSESSL_ALL));
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
    if (!config_.ca_file.empty()) {
      curl_easy_setopt(curl, CURLOPT_CAINFO, config_.ca_file.c_str());
      curl_easy_setopt(curl, CURLOPT_CAPATH, nullptr);
    }
    if (!config_.user.empty()) {
      // libcurl copies both; the copies go with the handle.
      SecureBytes password(config_.password.size() + 1);
      std::copy(config_.password.span().begin(), config_.password.span().end(), password.data());
      password.data()[config_.password.size()] = 0;
      curl_easy_setopt(curl, CURLOPT_USERNAME, config_.user.c_str());
      curl_easy_setopt(curl, CURLOPT_PASSWORD, reinterpret_cast<const char*>(password.data()));
    }
    return handle;
  }

  Result<void> Perform(CURL* curl, bool sending) const {
    std::array<char, CURL_ERROR_SIZE> words{};
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, words.data());
    const CURLcode code = curl_easy_perform(curl);
    if (code == CURLE_OK) return {};
    long answer = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer);
    const std::string place = config_.host + ":" + std::to_string(config_.port);
    const std::string detail = std::string(curl_easy_strerror(code)) + ": " + words.data() +
                               ", answer " + std::to_string(answer);
    switch (code) {
      case CURLE_COULDNT_RESOLVE_HOST:
        return Fail(ErrorCode::kUnavailable,
                    "The mail server's name " + config_.host + " is not known; check mail.host.",
                    detail);
      case CURLE_COULDNT_CONNECT:
      case CURLE_OPERATION_TIMEDOUT:
        return Fail(ErrorCode::kUnavailable,
                    "The mail server " + place + " does not answer; check mail.host and mail.port.",
                    detail);
      case CURLE_PEER_FAILED_VERIFICATION:
      case CURLE_SSL_CONNECT_ERROR:
      case CURLE_SSL_CACERT_BADFILE:
      case CURLE_USE_SSL_FAILED:
        return Fail(ErrorCode::kUnavailable,
                    "No verified TLS with the mail server " + place +
                        "; check mail.tls, mail.ca_file and the server's certificate.",
                    detail);
      case CURLE_LOGIN_DENIED:
        return Fail(ErrorCode::kPermissionDenied,
                    "The mail server " + place +
                        " refuses the sign-in; check mail.user and mail.password_file.",
                    detail);
      default:
        break;
    }
    // Its recipient or its text; that of everybody's mails would be the sender's (MAIL).
    const bool this_mail =
        std::string_view(words.data()).find("RCPT failed") == 0 || code == CURLE_WEIRD_SERVER_REPLY;
    if (sending && this_mail && answer >= 500 && answer < 600) {
      return Fail(ErrorCode::kInvalidArgument,
                  "The mail server " + place + " refuses this mail for good (" +
                      std::to_string(answer) + ").",
                  detail);
    }
    return Fail(ErrorCode::kUnavailable,
                "The mail server " + place + " did not take the mail" +
                    (answer != 0 ? " (" + std::to_string(answer) + ")" : std::string()) + ".",
                detail);
  }

  const SmtpConfig config_;
};

}  // namespace

SecureBytes FormatMail(const SmtpConfig& config, const MailMessage& message, std::int64_t when,
                       const std::string& message_id) {
  const std::string head = "Date: " + DateText(when) + "\r\nFrom: Keyferry <" + config.from +
                           ">\r\nTo: <" + message.recipient +
                           ">\r\nSubject: " + HeaderText(message.subject) + "\r\nMessage-ID: <" +
                           message_id +
                           ">\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n"
                           "Content-Type: text/plain; charset=utf-8\r\n"
                           "Content-Transfer-Encoding: base64\r\n\r\n";
  const std::size_t encoded = (message.text.size() + 2) / 3 * 4;
  SecureBytes out(head.size() + encoded + 2 * (encoded / kLine + 1));
  std::uint8_t* to = std::copy(head.begin(), head.end(), out.data());
  AppendBase64(message.text.span(), to);
  out.Truncate(static_cast<std::size_t>(to - out.data()));
  return out;
}

std::unique_ptr<Mailer> MakeSmtpMailer(SmtpConfig config) {
  return std::make_unique<SmtpMailer>(std::move(config));
}

}  // namespace keyferry::server
