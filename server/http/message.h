#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "protocol/secure/secure_bytes.h"
#include "server/core/ids.h"
#include "server/core/session.h"
#include "server/http/form.h"

namespace keyferry::server {

// Plain structs between the listener (the only code that sees the HTTP library) and everything
// else. Handlers are blocking functions Request → Response on the bounded pool.

enum class Method { kGet, kHead, kPost, kDelete };
const char* Name(Method method);
std::optional<Method> ParseMethod(std::string_view text);  // case-sensitive; others → nullopt

// One request, read completely (at most 16 KiB of header, 64 KiB of body) and taken apart strictly.
struct Request {
  std::string id;  // 16 hex digits, names this request in log and error pages
  Method method = Method::kGet;
  std::vector<std::string> path;                            // decoded segments; "/" is empty
  std::vector<std::pair<std::string, std::string>> query;   // decoded, names are unique
  std::map<std::string, std::string, std::less<>> headers;  // lower-case names, only those of kKept
  SecureBytes body;
  std::string address;  // the peer's IP address, never a forwarded one
  std::string host;     // the configured name that the Host header matched, with port if given
  // SHA-256 of the verified client certificate; set on the workstation listener only.
  std::optional<std::array<std::uint8_t, 32>> certificate;

  // Filled on the way to the handler.
  std::vector<std::string> captures;  // values of the pattern's {…} segments
  std::optional<Session> session;     // routes for signed-in people
  std::string session_token;          // its cookie, or the token of the API that stands for it
  std::optional<TokenId> token;       // … which is this one
  std::string renewed_cookie;         // Set-Cookie of a session that was renewed on the way
  std::optional<WorkstationId> workstation;  // routes for workstations
  std::optional<Form> form;                  // routes that take a form, parsed

  std::string_view Header(std::string_view name) const;  // empty = absent
  std::string_view Query(std::string_view name) const;   // empty = absent
  // The cookie's value; empty when absent or sent twice.
  std::string_view Cookie(std::string_view name) const;
  std::string PathText() const;  // "/employees/…", for logs
};

// Header names that reach handlers; a request that repeats one of them is refused.
extern const std::array<std::string_view, 16> kKeptHeaders;

// The writing end of one text/event-stream. Thread-safe; nothing here blocks. At most 256 events or
// 1 MiB wait for the peer; a peer that is slower loses its stream (it reconnects and gets the
// present state again). A `ping` goes out every 15 s.
class EventStream {
 public:
  virtual ~EventStream() = default;
  // `name` and `data` are one line each. False: the stream is closed.
  virtual bool Send(std::string_view name, std::string_view data) = 0;
  // Ends the stream after what was sent; may be called more than once.
  virtual void Close() = 0;
  // Runs once, on the pool, when the stream has ended (at once if it has ended already).
  virtual void OnClosed(std::function<void()> callback) = 0;
};

struct Response {
  int status = 200;
  std::string content_type;                        // with charset; empty = no body
  std::string body;                                // overwritten after it was sent
  std::shared_ptr<const std::string> shared_body;  // instead of `body`: assets
  std::vector<std::pair<std::string, std::string>> headers;
  bool cacheable = false;  // else Cache-Control: no-store
  // Set: the response is an event stream; called on the pool after the header was queued.
  std::function<void(std::shared_ptr<EventStream>)> stream;

  static Response Html(std::string body, int status = 200);
  static Response Json(std::string body, int status = 200);
  static Response NoContent();
  static Response SeeOther(std::string location);  // a path of this site
  static Response Events(std::function<void(std::shared_ptr<EventStream>)> stream);
  Response& With(std::string name, std::string value);
};

// The security headers that every response of the product carries, errors included. Documented in
// docs/security.md; a test compares them on every route.
const std::vector<std::pair<std::string, std::string>>& SecurityHeaders();

// The status line and header block, ready to write. Control characters in values are dropped, so
// that no value can start a header of its own.
std::string HeaderBlock(const Response& response, std::size_t body_size, bool keep_alive);

const char* ReasonPhrase(int status);

// The session cookie and its removal, as Set-Cookie values.
inline constexpr char kSessionCookie[] = "__Host-keyferry";
std::string SessionCookie(std::string_view token);
std::string EndedSessionCookie();

}  // namespace keyferry::server
