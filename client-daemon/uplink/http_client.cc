#include "client-daemon/uplink/http_client.h"

#include <curl/curl.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <utility>

namespace keyferry::daemon {
namespace {

// The version of docs/workstation-api.md that we speak.
constexpr const char* kProtocolHeader = "Keyferry-Protocol: 4";

using SteadyClock = std::chrono::steady_clock;
constexpr std::size_t kMaxBody = 64 * 1024;

void InitCurl() {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
}

// What one transfer gathers. curl calls back with a pointer to it.
struct Transfer {
  CURL* easy = nullptr;
  HttpResponse response;
  const std::function<bool(std::string_view)>* on_data = nullptr;
  SteadyClock::time_point last_byte = SteadyClock::now();
  bool opened = false;
  char error[CURL_ERROR_SIZE] = {};
};

bool IsEventStream(CURL* easy) {
  long status = 0;
  const char* type = nullptr;
  curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
  curl_easy_getinfo(easy, CURLINFO_CONTENT_TYPE, &type);
  return status == 200 && type != nullptr &&
         std::string_view(type).substr(0, 17) == "text/event-stream";
}

std::size_t OnHeader(char* data, std::size_t, std::size_t size, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  transfer.last_byte = SteadyClock::now();
  const std::string_view line(data, size);
  if (transfer.on_data != nullptr && line == "\r\n") transfer.opened = IsEventStream(transfer.easy);
  return size;
}

std::size_t OnBody(char* data, std::size_t, std::size_t size, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  transfer.last_byte = SteadyClock::now();
  if (transfer.opened) {
    return (*transfer.on_data)({data, size}) ? size : 0;
  }
  if (transfer.response.body.size() + size > kMaxBody) return 0;
  transfer.response.body.append(data, size);
  return size;
}

tl::unexpected<Error> CurlError(CURLcode code, const Transfer& transfer, const std::string& url) {
  const std::string detail =
      transfer.error[0] != '\0' ? std::string(transfer.error) : curl_easy_strerror(code);
  switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
      return Fail(ErrorCode::kDeadline, "The server at " + url + " did not answer in time.",
                  detail);
    case CURLE_PEER_FAILED_VERIFICATION:
      return Fail(
          ErrorCode::kPermissionDenied,
          "The server at " + url + " could not prove who it is; check server_ca and server_url.",
          detail);
    case CURLE_SSL_CONNECT_ERROR:  // also a CA of the right name with another key
      return Fail(ErrorCode::kPermissionDenied,
                  "The server at " + url +
                      " and this workstation cannot make a secure connection; check server_ca and "
                      "server_url.",
                  detail);
    case CURLE_SSL_CACERT_BADFILE:
      return Fail(ErrorCode::kInvalidArgument,
                  "The file named by server_ca cannot be read as PEM certificates.", detail);
    case CURLE_SSL_CERTPROBLEM:
      return Fail(ErrorCode::kInvalidArgument, "This workstation's own certificate cannot be used.",
                  detail);
    case CURLE_COULDNT_RESOLVE_HOST:
      return Fail(ErrorCode::kUnavailable,
                  "The server's name in " + url + " is not known; check server_url and DNS.",
                  detail);
    case CURLE_WRITE_ERROR:
      return Fail(ErrorCode::kProtocol, "The server's answer is too long or broken.", detail);
    default:
      return Fail(ErrorCode::kUnavailable, "The server at " + url + " cannot be reached.", detail);
  }
}

}  // namespace

struct HttpClient::Impl {
  CURL* easy = nullptr;
  CURLM* multi = nullptr;
  TlsSettings tls;
  bool fresh = false;  // the kept connection was made with other settings
  std::atomic<bool> stopped{false};

  // Runs the prepared transfer to its end. The multi interface is used for its wake-up alone: an
  // easy transfer that waits cannot be ended at once.
  CURLcode Run(Transfer& transfer, std::chrono::milliseconds silence, bool& silent) {
    curl_multi_add_handle(multi, easy);
    CURLcode code = CURLE_OK;
    bool done = false;
    while (!done) {
      int running = 0;
      if (stopped.load() || curl_multi_perform(multi, &running) != CURLM_OK) {
        code = CURLE_ABORTED_BY_CALLBACK;
        break;
      }
      int left = 0;
      while (const CURLMsg* message = curl_multi_info_read(multi, &left)) {
        if (message->msg != CURLMSG_DONE) continue;
        code = message->data.result;
        done = true;
      }
      if (done) break;
      int wait = 1000;
      if (silence.count() != 0) {
        const auto quiet = std::chrono::duration_cast<std::chrono::milliseconds>(
            SteadyClock::now() - transfer.last_byte);
        silent = quiet >= silence;
        if (silent) break;
        wait = static_cast<int>(std::min<long long>(wait, (silence - quiet).count() + 1));
      }
      curl_multi_poll(multi, nullptr, 0, wait, nullptr);
    }
    curl_multi_remove_handle(multi, easy);
    return code;
  }
};

HttpClient::HttpClient() : impl_(std::make_unique<Impl>()) {
  InitCurl();
  impl_->easy = curl_easy_init();
  impl_->multi = curl_multi_init();
}

HttpClient::~HttpClient() {
  curl_easy_cleanup(impl_->easy);
  curl_multi_cleanup(impl_->multi);
}

void HttpClient::SetTls(const TlsSettings& tls) {
  if (tls == impl_->tls) return;
  impl_->tls = tls;
  impl_->fresh = true;
}

void HttpClient::Stop() {
  impl_->stopped.store(true);
  curl_multi_wakeup(impl_->multi);
}

Result<HttpResponse> HttpClient::Send(const HttpRequest& request,
                                      std::chrono::milliseconds timeout) {
  return Perform(request, timeout, std::chrono::milliseconds(0), nullptr);
}

Result<HttpResponse> HttpClient::Stream(const HttpRequest& request,
                                        std::chrono::milliseconds silence,
                                        const std::function<bool(std::string_view)>& on_data) {
  return Perform(request, std::chrono::milliseconds(0), silence, &on_data);
}

Result<HttpResponse> HttpClient::Perform(const HttpRequest& request,
                                         std::chrono::milliseconds timeout,
                                         std::chrono::milliseconds silence,
                                         const std::function<bool(std::string_view)>* on_data) {
  CURL* easy = impl_->easy;
  Transfer transfer;
  transfer.easy = easy;
  transfer.on_data = on_data;

  curl_easy_reset(easy);  // options only: the kept connection stays
  // curl's own Content-Type of a POST would be a form's; an empty value leaves it out.
  curl_slist* headers = curl_slist_append(
      nullptr, request.body.empty() ? "Content-Type:" : "Content-Type: application/json");
  headers = curl_slist_append(
      headers, on_data == nullptr ? "Accept: application/json" : "Accept: text/event-stream");
  headers = curl_slist_append(headers, kProtocolHeader);
  headers = curl_slist_append(headers, "Keyferry-Version: " KEYFERRY_VERSION);
  if (!request.bearer.empty()) {
    headers = curl_slist_append(headers, ("Authorization: Bearer " + request.bearer).c_str());
  }
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(easy, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https");
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  curl_easy_setopt(easy, CURLOPT_USERAGENT, "keyferryd");
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, std::exchange(impl_->fresh, false) ? 1L : 0L);
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, 5000L);
  curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(timeout.count()));
  curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer.error);
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
  curl_easy_setopt(easy, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_3));
  curl_easy_setopt(easy, CURLOPT_CAINFO, impl_->tls.ca_file.c_str());
  curl_easy_setopt(easy, CURLOPT_CAPATH,
                   nullptr);  // Debian's default would trust the system's CAs too
  if (!impl_->tls.certificate_file.empty()) {
    curl_easy_setopt(easy, CURLOPT_SSLCERT, impl_->tls.certificate_file.c_str());
    curl_easy_setopt(easy, CURLOPT_SSLKEY, impl_->tls.key_file.c_str());
  }
  if (std::string_view(request.method) == "POST") {
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, static_cast<long>(request.body.size()));
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request.body.c_str());
  }
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, OnHeader);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, &transfer);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, OnBody);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &transfer);

  bool silent = false;
  const CURLcode code = impl_->Run(transfer, silence, silent);
  curl_slist_free_all(headers);
  if (impl_->stopped.load()) return Fail(ErrorCode::kUnavailable, "Stopped.");
  if (silent) {
    return Fail(ErrorCode::kDeadline, "The server at " + request.url + " fell silent.");
  }
  if (code != CURLE_OK) return CurlError(code, transfer, request.url);

  long status = 0;
  curl_off_t retry_after = 0;
  curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
  if (curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &retry_after) == CURLE_OK && retry_after > 0) {
    transfer.response.retry_after = static_cast<int>(std::min<curl_off_t>(retry_after, 3600));
  }
  curl_header* date = nullptr;
  if (curl_easy_header(easy, "Date", 0, CURLH_HEADER, -1, &date) == CURLHE_OK) {
    transfer.response.date = std::max<std::int64_t>(curl_getdate(date->value, nullptr), 0);
  }
  transfer.response.status = static_cast<int>(status);
  return transfer.response;
}

}  // namespace keyferry::daemon
