#pragma once

#include <optional>
#include <string_view>

#include "server/api/services.h"
#include "server/http/router.h"

namespace keyferry::server {

// Decides whether a matched route may run: caller, role, origin, CSRF token, body type. Everything
// is refused unless the route's declaration allows it.
//
// A change of state (POST, DELETE) needs all of: no sign of another origin (Origin,
// Sec-Fetch-Site), and, where there is a session, its token in the X-Keyferry-CSRF header or in the
// form's `csrf` field. A token of the API stands for a session under /api alone, never beside a
// cookie, and on routes that name a scope it has: no browser sends one by itself, so it needs no
// CSRF token. Thread-safe; blocks (session lookup).
//
// A route that wants a fresh proof of the second factor gets it first: of the API by a problem
// (step_up_required); of a page by another page in its place, which asks for the code and sends the
// form once more with it (`kStepUpField` or `kStepUpKeyField`), but for passwords, which are typed
// again.
class Guard {
 public:
  // Renders the page that asks; `problem` of the code that was given, or empty.
  using StepUpPage =
      std::function<Response(Request&, const Route&, std::string_view problem, int status)>;

  Guard(Services& services, Router::ErrorPage error_page, StepUpPage step_up_page)
      : services_(services),
        error_page_(std::move(error_page)),
        step_up_page_(std::move(step_up_page)) {}

  std::optional<Response> Check(Request& request, const Route& route) const;

 private:
  std::optional<Response> CheckPerson(Request& request, const Route& route) const;
  // Fills Request::session from the cookie, or from the token of the API.
  std::optional<Response> FindSession(Request& request, const Route& route) const;
  std::optional<Response> FindToken(Request& request, const Route& route) const;
  std::optional<Response> CheckBody(Request& request, const Route& route) const;
  std::optional<Response> CheckProof(Request& request, const Route& route) const;
  Response Refuse(const Request& request, int status, ErrorCode code, std::string message) const;

  Services& services_;
  Router::ErrorPage error_page_;
  StepUpPage step_up_page_;
};

// The fields of a form that carry the code of a step-up, or a FIDO2 key's answer (fido_keys.h).
inline constexpr char kStepUpField[] = "step_up_code";
inline constexpr char kStepUpKeyField[] = "step_up_key";

// False when the browser says that another site caused this request.
bool IsSameOrigin(const Request& request);

// Compares in time that depends on the lengths only.
bool ConstantTimeEquals(std::string_view a, std::string_view b);

// The credential of "Authorization: Bearer …"; empty without one.
std::string_view BearerToken(const Request& request);

// `next` when it is a plain path of this site, else "/".
std::string SafeNext(std::string_view next);

}  // namespace keyferry::server
