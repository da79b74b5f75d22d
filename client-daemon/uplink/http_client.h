#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "protocol/result.h"

namespace keyferry::daemon {

// Who we are and whom we trust. The server's certificate is always verified against `ca_file` alone
// (the system's own list is not used) and against the host name; TLS 1.3 only; no redirects, no
// proxy but what the environment of the service names.
struct TlsSettings {
  std::string ca_file;           // PEM
  std::string certificate_file;  // PEM, our client certificate; empty: none
  std::string key_file;          // PEM, its key
  int generation = 0;            // another one: the files have changed
  bool operator==(const TlsSettings&) const = default;
};

struct HttpRequest {
  const char* method = "GET";  // or "POST"
  std::string url;             // https only
  std::string body;            // JSON, POST only
  std::string bearer;          // token of the Authorization header, empty: none
};

struct HttpResponse {
  int status = 0;
  std::string body;       // at most 64 KiB
  int retry_after = -1;   // seconds of the Retry-After header, -1: none
  std::int64_t date = 0;  // of the Date header, Unix seconds; 0: none
};

// One kept connection for requests, one after another; a second client for a second thread. Blocks
// up to `timeout` a request. Errors: kUnavailable (no connection; `message` says what a person can
// check), kDeadline, kProtocol (answer too long or no HTTP), kPermissionDenied (the server's
// certificate is not the one that we trust).
class HttpClient {
 public:
  HttpClient();
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  void SetTls(const TlsSettings& tls);  // other settings end the kept connection
  Result<HttpResponse> Send(const HttpRequest& request, std::chrono::milliseconds timeout);

  // GET of an event stream that goes on until the server ends it (success), `on_data` returns
  // false, nothing at all came for `silence`, or Stop is called. Only the body of a 200
  // text/event-stream is given to `on_data`; any other answer is returned whole.
  Result<HttpResponse> Stream(const HttpRequest& request, std::chrono::milliseconds silence,
                              const std::function<bool(std::string_view)>& on_data);

  // Any thread: ends a running and every later Send or Stream with kUnavailable ("stopped").
  void Stop();

 private:
  Result<HttpResponse> Perform(const HttpRequest& request, std::chrono::milliseconds timeout,
                               std::chrono::milliseconds silence,
                               const std::function<bool(std::string_view)>* on_data);

  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace keyferry::daemon
