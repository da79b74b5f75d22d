#include "server/outbound/https_poster.h"

#include <curl/curl.h>

#include <algorithm>
#include <array>
#include <mutex>
#include <utility>

namespace keyferry::server {
namespace {

constexpr long kPostConnectSeconds = 5;
constexpr std::size_t kMostAnswer = 64 * 1024;

struct CurlCloser {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using CurlHandle = std::unique_ptr<CURL, CurlCloser>;
using CurlList = std::unique_ptr<curl_slist, CurlCloser>;

// Nothing of the answer is kept.
std::size_t CountAnswer(char*, std::size_t size, std::size_t count, void* state) {
  auto* const so_far = static_cast<std::size_t*>(state);
  *so_far += size * count;
  return *so_far > kMostAnswer ? 0 : size * count;
}

bool IsHeaderText(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7F; });
}

class HttpsPoster final : public HttpPoster {
 public:
  explicit HttpsPoster(HttpsPosterConfig config) : config_(std::move(config)) {
    static std::once_flag once;
    std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
  }

  Result<int> Post(const HttpPost& post) override {
    const CurlHandle handle(curl_easy_init());
    CurlList headers;
    // "Expect:" alone: the body goes with the head.
    if (!handle || !Add(headers, "Content-Type: " + post.content_type) ||
        !Add(headers, "Expect:")) {
      return NotPrepared();
    }
    for (const auto& [name, value] : post.headers) {
      if (!Add(headers, name + ": " + value)) return NotPrepared();
    }
    CURL* const curl = handle.get();
    std::array<char, CURL_ERROR_SIZE> words{};
    std::size_t answered = 0;
    curl_easy_setopt(curl, CURLOPT_URL, post.url.c_str());
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https,http");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, kPostConnectSeconds);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, config_.timeout_seconds);
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
    if (!config_.ca_file.empty()) {
      curl_easy_setopt(curl, CURLOPT_CAINFO, config_.ca_file.c_str());
      curl_easy_setopt(curl, CURLOPT_CAPATH, nullptr);
    }
    curl_easy_setopt(curl, CURLOPT_POST, 1L);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, reinterpret_cast<const char*>(post.body.data()));
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(post.body.size()));
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.get());
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "Keyferry");
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &CountAnswer);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answered);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, words.data());
    const CURLcode code = curl_easy_perform(curl);
    long status = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    if (code == CURLE_OK) return static_cast<int>(status);
    return Refused(code);
  }

 private:
  static bool Add(CurlList& list, const std::string& line) {
    if (!IsHeaderText(line)) return false;
    curl_slist* const longer = curl_slist_append(list.get(), line.c_str());
    if (longer == nullptr) return false;
    (void)list.release();
    list.reset(longer);
    return true;
  }
  static tl::unexpected<Error> NotPrepared() {
    return Fail(ErrorCode::kInternal, "No request could be prepared.");
  }
  // libcurl's own words may hold the address: its code's do not.
  static tl::unexpected<Error> Refused(CURLcode code) {
    const auto no = [code](const char* what) {
      return Fail(ErrorCode::kUnavailable, what, curl_easy_strerror(code));
    };
    switch (code) {
      case CURLE_COULDNT_RESOLVE_HOST:
        return no("The receiver's name is not known.");
      case CURLE_COULDNT_CONNECT:
      case CURLE_OPERATION_TIMEDOUT:
        return no("The receiver does not answer.");
      case CURLE_PEER_FAILED_VERIFICATION:
      case CURLE_SSL_CONNECT_ERROR:
      case CURLE_SSL_CACERT_BADFILE:
        return no(
            "There is no verified TLS with the receiver; check its certificate and the CA "
            "file.");
      case CURLE_WRITE_ERROR:
        return no("The receiver's answer is too long.");
      default:
        return no("The receiver did not take it.");
    }
  }

  const HttpsPosterConfig config_;
};

}  // namespace

std::unique_ptr<HttpPoster> MakeHttpsPoster(HttpsPosterConfig config) {
  return std::make_unique<HttpsPoster>(std::move(config));
}

}  // namespace keyferry::server
