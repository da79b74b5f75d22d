#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <string_view>
#include <utility>
#include <vector>

#include "server/api/answers.h"
#include "server/api/paging.h"
#include "server/api/problem.h"
#include "server/api/services.h"
#include "server/api/views_json.h"
#include "server/http/router.h"

// What the handlers of /api/v1 share. Included by them alone.
namespace keyferry::server {

inline Response Ok(const boost::json::object& body, int status = 200) {
  return Response::Json(boost::json::serialize(body), status);
}

template <typename View>
Response One(Services& services, const Request& request, const Result<View>& view) {
  return view ? Ok(ToJson(*view)) : Answer(services, request, view.error());
}

template <typename View>
Response OnePage(const char* name, const Page<View>& page) {
  boost::json::array array;
  for (const View& view : page.views) array.push_back(ToJson(view));
  return Ok({{name, std::move(array)}, {"next", page.next}});
}

// A page of `views`, ordered by `id`.
template <typename View, typename IdOf>
Response PageById(Services& services, const Request& request, const char* name,
                  Result<std::vector<View>> views, IdOf id) {
  const auto wanted = ReadPage(request, name);
  if (!wanted) return Problem(request, wanted.error());
  if (!views) return Answer(services, request, views.error());
  return OnePage(name, CutById(*std::move(views), *wanted, name, id));
}

// A page of `views`, which are in order.
template <typename View, typename IdOf>
Response PageInOrder(Services& services, const Request& request, const char* name,
                     Result<std::vector<View>> views, IdOf id) {
  const auto wanted = ReadPage(request, name);
  if (!wanted) return Problem(request, wanted.error());
  if (!views) return Answer(services, request, views.error());
  const auto page = CutInOrder(*std::move(views), *wanted, name, id);
  if (!page) return Problem(request, page.error());
  return OnePage(name, *page);
}

// A handler whose first capture is an identifier; anything else there is 404.
template <typename Id, typename Handle>
Handler WithId(Services& services, Handle handle) {
  return [&services, handle](Request& request) -> Response {
    const auto id = Id::Parse(request.captures[0]);
    return id ? handle(services, request, *id) : NoSuchThing(request);
  };
}

// A GET under /api/v1. `query`: the names it knows.
inline Route Reading(const char* pattern, Needs needs, Handler handler,
                     std::vector<std::string> query = {}) {
  Route route;
  route.pattern = std::string("/api/v1") + pattern;
  route.needs = needs;
  route.handler = std::move(handler);
  route.query = std::move(query);
  return route;
}

// A POST that changes something; the handler stands behind Once where it is wanted.
inline Route Writing(const char* pattern, Needs needs, Body body, Handler handler) {
  Route route;
  route.method = Method::kPost;
  route.pattern = std::string("/api/v1") + pattern;
  route.needs = needs;
  route.handler = std::move(handler);
  route.body = body;
  return route;
}

// The parts of AddAdminRoutes.
void AddSessionRoutes(Router& router, Services& services);
void AddSignInRoutesOfApi(Router& router, Services& services);
void AddFidoRoutes(Router& router, Services& services);
void AddPeopleRoutes(Router& router, Services& services);
void AddKeyRoutes(Router& router, Services& services);
void AddWorkstationAdminRoutes(Router& router, Services& services,
                               std::function<void(const WorkstationId&)> end_stream);
void AddAuditRoutes(Router& router, Services& services);
void AddTokenRoutes(Router& router, Services& services);
void AddScopeRoutes(Router& router, Services& services);
void AddApprovalRoutes(Router& router, Services& services);
void AddAlarmRoutes(Router& router, Services& services);
void AddWebhookRoutes(Router& router, Services& services);
void AddNoticeRoutes(Router& router, Services& services);

}  // namespace keyferry::server
