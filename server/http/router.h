#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/result.h"
#include "server/core/rights.h"
#include "server/http/message.h"

namespace keyferry::server {

// Who may call a route.
enum class Access {
  kUndeclared,
  kPublic,       // anybody
  kPerson,       // a session, or a token of the API, with a right
  kWorkstation,  // an approved workstation, by its client certificate
};

// What a route needs: a right of core/rights.h, or one of the other ways in. A route that does not
// say is never called (404).
struct Needs {
  Needs() = default;
  Needs(Right what) : access(Access::kPerson), right(what) {}
  Needs(Access other) : access(other == Access::kPerson ? Access::kUndeclared : other) {}

  Access access = Access::kUndeclared;
  std::optional<Right> right;  // for kPerson, and there always
};

// What body a route takes; anything else is refused before the handler runs.
enum class Body { kNone, kForm, kJson, kFormOrJson };

using Handler = std::function<Response(Request&)>;

struct Route {
  Method method = Method::kGet;
  std::string pattern;  // "/employees/{id}": literal segments and whole-segment captures
  Needs needs;
  Handler handler;
  std::vector<std::string> query = {};  // query names that it knows; others → 400
  Body body = Body::kNone;
  std::vector<FormField> form = {};  // for kForm and kFormOrJson
  // Waits for a write of the directory. Such requests have threads of their own, so that no page
  // waits behind them.
  bool slow = false;
  // Of a session that still owes its second factor, and of no other (SessionStage).
  bool incomplete = false;
  // Wants a fresh proof of the second factor from people, beside the routes whose right does
  // (core/rights.h).
  bool step_up = false;

  bool WantsProof() const {
    if (!needs.right) return false;
    return step_up || (server::WantsProof(*needs.right) &&
                       (method != Method::kGet || *needs.right == Right::kAuditExport));
  }
  // What a token of the API needs for it (core/tokens.h). Empty: it takes no tokens.
  const char* scope() const { return needs.right ? InfoOf(*needs.right).scope : ""; }
};

// Matches whole segments, byte for byte; literal segments win over captures. Filled at start, then
// read by many threads.
class Router {
 public:
  // Runs before a route's handler; an answer ends the request there. Checks session, role, origin,
  // CSRF token, body type; fills Request::session, form, workstation.
  using Guard = std::function<std::optional<Response>(Request&, const Route&)>;
  // Renders an error that no handler answered (404, 405, 400 …).
  using ErrorPage = std::function<Response(const Request&, int status, const Error&)>;

  void Add(Route route);
  void SetGuard(Guard guard) { guard_ = std::move(guard); }
  void SetErrorPage(ErrorPage page) { error_page_ = std::move(page); }

  // Never throws: an exception of a handler becomes a 500 whose id is in the log.
  Response Dispatch(Request& request) const;
  // Whether the request is for a slow route.
  bool IsSlow(const Request& request) const;
  Response ErrorResponse(const Request& request, int status, const Error& error) const;
  const std::vector<Route>& routes() const { return routes_; }

 private:
  // Index of the route, or none; then `allowed` names the methods that the address does take.
  std::optional<std::size_t> Find(const Request& request, std::string& allowed) const;

  std::vector<Route> routes_;
  std::vector<std::vector<std::string>> segments_;  // of routes_, split once
  Guard guard_;
  ErrorPage error_page_;
};

}  // namespace keyferry::server
