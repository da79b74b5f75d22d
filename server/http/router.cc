#include "server/http/router.h"

#include <algorithm>
#include <exception>

namespace keyferry::server {
namespace {

std::vector<std::string> SplitPattern(std::string_view pattern) {
  std::vector<std::string> segments;
  if (!pattern.empty() && pattern.front() == '/') pattern.remove_prefix(1);
  while (!pattern.empty()) {
    const std::size_t slash = pattern.find('/');
    segments.emplace_back(pattern.substr(0, slash));
    if (slash == std::string_view::npos) break;
    pattern.remove_prefix(slash + 1);
  }
  return segments;
}

bool IsCapture(const std::string& segment) { return !segment.empty() && segment.front() == '{'; }

// -1 = no match; else the number of captures.
int Match(const std::vector<std::string>& pattern, const std::vector<std::string>& path) {
  if (pattern.size() != path.size()) return -1;
  int captures = 0;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (IsCapture(pattern[i])) {
      ++captures;
    } else if (pattern[i] != path[i]) {
      return -1;
    }
  }
  return captures;
}

}  // namespace

void Router::Add(Route route) {
  segments_.push_back(SplitPattern(route.pattern));
  routes_.push_back(std::move(route));
}

Response Router::ErrorResponse(const Request& request, int status, const Error& error) const {
  if (error_page_) return error_page_(request, status, error);
  Response response;
  response.status = status;
  response.content_type = "text/plain; charset=utf-8";
  response.body = error.message + "\n";
  return response;
}

std::optional<std::size_t> Router::Find(const Request& request, std::string& allowed) const {
  // A HEAD is a GET whose body stays here; streams have no HEAD.
  const Method wanted = request.method == Method::kHead ? Method::kGet : request.method;
  std::optional<std::size_t> best;
  int best_captures = 0;
  for (std::size_t i = 0; i < routes_.size(); ++i) {
    const Route& route = routes_[i];
    if (route.needs.access == Access::kUndeclared || !route.handler) continue;
    const int captures = Match(segments_[i], request.path);
    if (captures < 0) continue;
    if (route.method != wanted) {
      allowed += (allowed.empty() ? "" : ", ") + std::string(Name(route.method));
      continue;
    }
    if (!best || captures < best_captures) {
      best = i;
      best_captures = captures;
    }
  }
  return best;
}

bool Router::IsSlow(const Request& request) const {
  std::string allowed;
  const auto found = Find(request, allowed);
  return found && routes_[*found].slow;
}

Response Router::Dispatch(Request& request) const {
  std::string allowed;
  const auto found = Find(request, allowed);
  if (!found && !allowed.empty()) {
    return ErrorResponse(
               request, 405,
               Error{ErrorCode::kUnsupported, "This address does not take that method.", {}, 0})
        .With("Allow", allowed);
  }
  if (!found) {
    return ErrorResponse(request, 404,
                         Error{ErrorCode::kNotFound, "There is nothing at this address.", {}, 0});
  }
  const Route& route = routes_[*found];
  for (const auto& [name, unused] : request.query) {
    if (std::find(route.query.begin(), route.query.end(), name) == route.query.end()) {
      return ErrorResponse(request, 400,
                           Error{ErrorCode::kInvalidArgument,
                                 "The address holds a parameter that does not belong there.",
                                 {},
                                 0});
    }
  }
  for (std::size_t i = 0; i < request.path.size(); ++i) {
    if (IsCapture(segments_[*found][i])) request.captures.push_back(request.path[i]);
  }
  try {
    if (guard_) {
      if (auto refused = guard_(request, route)) return std::move(*refused);
    } else if (route.needs.access != Access::kPublic) {
      return ErrorResponse(request, 403,
                           Error{ErrorCode::kPermissionDenied, "Nobody may do this.", {}, 0});
    }
    Response response = route.handler(request);
    if (!request.renewed_cookie.empty()) response.With("Set-Cookie", request.renewed_cookie);
    return response;
  } catch (const std::exception& failure) {
    return ErrorResponse(
        request, 500,
        Error{ErrorCode::kInternal, "Something went wrong inside Keyferry.", failure.what(), 0});
  } catch (...) {
    return ErrorResponse(request, 500,
                         Error{ErrorCode::kInternal, "Something went wrong inside Keyferry.",
                               "unknown exception", 0});
  }
}

}  // namespace keyferry::server
