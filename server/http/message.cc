#include "server/http/message.h"

#include <ctime>

namespace keyferry::server {

const std::array<std::string_view, 16> kKeptHeaders = {
    "accept",         "accept-language", "authorization",  "content-type",      "cookie",
    "host",           "idempotency-key", "if-none-match",  "keyferry-protocol", "keyferry-version",
    "origin",         "sec-fetch-dest",  "sec-fetch-mode", "sec-fetch-site",    "user-agent",
    "x-keyferry-csrf"};

const char* Name(Method method) {
  switch (method) {
    case Method::kGet:
      return "GET";
    case Method::kHead:
      return "HEAD";
    case Method::kPost:
      return "POST";
    case Method::kDelete:
      return "DELETE";
  }
  return "";
}

std::optional<Method> ParseMethod(std::string_view text) {
  for (const Method method : {Method::kGet, Method::kHead, Method::kPost, Method::kDelete}) {
    if (text == Name(method)) return method;
  }
  return std::nullopt;
}

std::string_view Request::Header(std::string_view name) const {
  const auto found = headers.find(name);
  return found == headers.end() ? std::string_view() : found->second;
}

std::string_view Request::Query(std::string_view name) const {
  for (const auto& [key, value] : query) {
    if (key == name) return value;
  }
  return {};
}

std::string_view Request::Cookie(std::string_view name) const {
  std::string_view rest = Header("cookie");
  std::string_view found;
  bool seen = false;
  while (!rest.empty()) {
    const std::size_t end = rest.find(';');
    std::string_view pair = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
    while (!pair.empty() && pair.front() == ' ') pair.remove_prefix(1);
    const std::size_t equals = pair.find('=');
    if (equals == std::string_view::npos || pair.substr(0, equals) != name) continue;
    if (seen) return {};
    seen = true;
    found = pair.substr(equals + 1);
  }
  return found;
}

std::string Request::PathText() const {
  std::string text;
  for (const std::string& segment : path) text += "/" + segment;
  return text.empty() ? "/" : text;
}

Response Response::Html(std::string body, int status) {
  Response response;
  response.status = status;
  response.content_type = "text/html; charset=utf-8";
  response.body = std::move(body);
  return response;
}

Response Response::Json(std::string body, int status) {
  Response response;
  response.status = status;
  response.content_type =
      status >= 400 ? "application/problem+json; charset=utf-8" : "application/json; charset=utf-8";
  response.body = std::move(body);
  return response;
}

Response Response::NoContent() {
  Response response;
  response.status = 204;
  return response;
}

Response Response::SeeOther(std::string location) {
  Response response;
  response.status = 303;
  response.headers.emplace_back("Location", std::move(location));
  return response;
}

Response Response::Events(std::function<void(std::shared_ptr<EventStream>)> stream) {
  Response response;
  response.content_type = "text/event-stream; charset=utf-8";
  response.stream = std::move(stream);
  return response;
}

Response& Response::With(std::string name, std::string value) {
  headers.emplace_back(std::move(name), std::move(value));
  return *this;
}

const std::vector<std::pair<std::string, std::string>>& SecurityHeaders() {
  // Referrer-Policy is same-origin and not no-referrer: with the latter browsers send
  // "Origin: null" on form posts, and the same-origin check would have nothing to compare.
  static const std::vector<std::pair<std::string, std::string>> headers = {
      {"Content-Security-Policy",
       "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; "
       "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; "
       "object-src 'none'; require-trusted-types-for 'script'; trusted-types 'none'"},
      {"Strict-Transport-Security", "max-age=31536000; includeSubDomains"},
      {"X-Content-Type-Options", "nosniff"},
      {"X-Frame-Options", "DENY"},
      {"Referrer-Policy", "same-origin"},
      {"Cross-Origin-Opener-Policy", "same-origin"},
      {"Cross-Origin-Resource-Policy", "same-origin"},
      {"Cross-Origin-Embedder-Policy", "require-corp"},
      {"Permissions-Policy",
       "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=(), "
       "serial=(), hid=()"},
  };
  return headers;
}

const char* ReasonPhrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 303:
      return "See Other";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 411:
      return "Length Required";
    case 413:
      return "Content Too Large";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 421:
      return "Misdirected Request";
    case 422:
      return "Unprocessable Content";
    case 426:
      return "Upgrade Required";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Status";
  }
}

namespace {

void AddHeader(std::string& out, std::string_view name, std::string_view value) {
  out += name;
  out += ": ";
  for (const char c : value) {
    if (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f) out += c;
  }
  out += "\r\n";
}

}  // namespace

std::string HeaderBlock(const Response& response, std::size_t body_size, bool keep_alive) {
  std::string out;
  out.reserve(1536);
  out +=
      "HTTP/1.1 " + std::to_string(response.status) + " " + ReasonPhrase(response.status) + "\r\n";
  char date[64];
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  std::strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &parts);
  AddHeader(out, "Date", date);
  if (!response.content_type.empty()) AddHeader(out, "Content-Type", response.content_type);
  const bool bodyless = response.status == 204 || response.status == 304;
  if (!response.stream && !bodyless) AddHeader(out, "Content-Length", std::to_string(body_size));
  AddHeader(out, "Cache-Control",
            response.cacheable ? "public, max-age=31536000, immutable" : "no-store");
  for (const auto& [name, value] : SecurityHeaders()) AddHeader(out, name, value);
  for (const auto& [name, value] : response.headers) AddHeader(out, name, value);
  AddHeader(out, "Connection", keep_alive ? "keep-alive" : "close");
  out += "\r\n";
  return out;
}

std::string SessionCookie(std::string_view token) {
  return std::string(kSessionCookie) + "=" + std::string(token) +
         "; Path=/; Secure; HttpOnly; SameSite=Strict";
}

std::string EndedSessionCookie() {
  return std::string(kSessionCookie) + "=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0";
}

}  // namespace keyferry::server
