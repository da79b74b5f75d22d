// Every route against callers who may not: no session, wrong role, other site, no token, wrong
// body.
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include "fake_services.h"

using namespace keyferry;
using namespace keyferry::server;
using fake::World;

namespace {

// An address that the route matches.
std::string Example(const Route& route) {
  std::string out;
  bool capture = false;
  for (const char c : route.pattern) {
    if (c == '{') {
      capture = true;
      out += std::string(32, '1');
    }
    if (!capture) out += c;
    if (c == '}') capture = false;
  }
  return out;
}

Request As(const World& world, const Route& route, const char* token) {
  Request request = world.Get(Example(route));
  request.method = route.method;
  if (token == nullptr) {
    request.headers.erase("cookie");
  } else {
    request.headers["cookie"] = std::string(kSessionCookie) + "=" + token;
  }
  if (route.body == Body::kJson) {
    request.headers["content-type"] = "application/json";
    request.body = SecureBytes::CopyOf(std::string_view("{}"));
  } else if (route.body != Body::kNone) {
    request.headers["content-type"] = "application/x-www-form-urlencoded";
    std::string form;
    for (const FormField& field : route.form) {
      if (!field.required && field.name != "csrf") continue;
      form += (form.empty() ? "" : "&") + field.name + "=" +
              (field.name == "csrf" ? std::string(World::kCsrf) : std::string("x"));
    }
    request.body = SecureBytes::CopyOf(std::string_view(form));
  }
  return request;
}

bool IsUnsafe(const Route& route) {
  return route.method == Method::kPost || route.method == Method::kDelete;
}

}  // namespace

TEST_CASE("a route without a session leads to sign-in or 401, whatever it is") {
  World world(KEYFERRY_WEB_DIR);
  fake::Populate(world);
  std::size_t seen = 0;
  for (const Route& route : world.browser->routes()) {
    INFO(Name(route.method) << " " << route.pattern);
    CHECK(route.needs.access != Access::kUndeclared);
    CHECK(route.needs.access != Access::kWorkstation);
    if (route.needs.access == Access::kPublic) continue;
    ++seen;
    for (const char* token : {static_cast<const char*>(nullptr), "", "forged"}) {
      const Response response = world.Send(As(world, route, token));
      const bool api = route.pattern.rfind("/api/", 0) == 0;
      CHECK(response.status == (api ? 401 : 303));
      CHECK(response.body.find("Kovalenko") == std::string::npos);
      if (!api) CHECK(response.headers[0].second.rfind("/sign-in", 0) == 0);
    }
  }
  CHECK(seen > 20);
}

TEST_CASE("what is public is on a short list") {
  World world(KEYFERRY_WEB_DIR);
  std::vector<std::string> open;
  for (const Route& route : world.browser->routes()) {
    if (route.needs.access == Access::kPublic) {
      open.push_back(std::string(Name(route.method)) + " " + route.pattern);
    }
  }
  std::sort(open.begin(), open.end());
  CHECK(open == std::vector<std::string>{
                    "GET /api/v1/health", "GET /api/v1/openapi.json", "GET /api/v1/problems/{name}",
                    "GET /api/v1/workstations/{id}/enrolment", "GET /assets/{version}/{file}",
                    "GET /caller", "GET /caller/known", "GET /caller/unknown", "GET /caller/wrong",
                    "GET /not-me", "GET /not-me/done", "GET /sign-in", "GET /sign-in/negotiate",
                    "POST /api/v1/session", "POST /api/v1/workstations", "POST /caller",
                    "POST /language", "POST /not-me", "POST /sign-in"});
}

TEST_CASE("help desk reaches nothing that is for administrators") {
  World world(KEYFERRY_WEB_DIR);
  fake::Populate(world);
  for (const Route& route : world.browser->routes()) {
    if (!route.needs.right || May(Role::kHelpDesk, *route.needs.right)) continue;
    INFO(Name(route.method) << " " << route.pattern);
    CHECK(world.Send(As(world, route, World::kHelpDeskToken)).status == 403);
  }
  CHECK(world.keys.calls.empty());
  CHECK(world.workstations.calls.empty());
  CHECK(world.rotation.calls.empty());
  CHECK(world.help_desk.calls.empty());
  const Response page =
      world.Send(As(world,
                    *std::find_if(world.browser->routes().begin(), world.browser->routes().end(),
                                  [](const Route& route) { return route.pattern == "/employees"; }),
                    World::kHelpDeskToken));
  CHECK(page.status == 200);
  CHECK(page.body.find("href=\"/audit\"") == std::string::npos);
}

TEST_CASE("a change of state needs this site and the session's token") {
  World world(KEYFERRY_WEB_DIR);
  fake::Populate(world);
  std::size_t seen = 0;
  for (const Route& route : world.browser->routes()) {
    if (!IsUnsafe(route)) continue;
    INFO(Name(route.method) << " " << route.pattern);
    ++seen;
    world.sessions.incomplete = route.incomplete;
    const auto with = [&](const char* name, const std::string& value) {
      Request request = As(world, route, World::kToken);
      request.headers["x-keyferry-csrf"] = World::kCsrf;
      request.headers[name] = value;
      return world.Send(std::move(request)).status;
    };
    for (const char* origin :
         {"null", "https://evil.example", "http://localhost:8443", "https://localhost",
          "https://localhost:8443.evil.example", "https://localhost:8444"}) {
      CHECK(with("origin", origin) == 403);
    }
    for (const char* site : {"cross-site", "same-site", "none", "x"}) {
      CHECK(with("sec-fetch-site", site) == 403);
    }
    if (route.needs.access == Access::kPublic) continue;
    Request bare = As(world, route, World::kToken);
    bare.body.Clear();
    std::string form;
    for (const FormField& field : route.form) {
      if (field.required || field.name == "csrf") {
        form += (form.empty() ? "" : "&") + field.name + "=x";
      }
    }
    if (route.body == Body::kJson) form = "{}";
    bare.body = SecureBytes::CopyOf(std::string_view(form));
    CHECK(world.Send(std::move(bare)).status == 403);
    CHECK(with("x-keyferry-csrf", "csrf-of-the-sessioN") == 403);
    CHECK(with("x-keyferry-csrf", "csrf-of-the-session2") == 403);
  }
  CHECK(seen >= 12);
  CHECK(world.changes.started.empty());
  CHECK(world.keys.calls.empty());
  CHECK(world.workstations.calls.empty());
  CHECK(world.rotation.calls.empty());
  CHECK(world.help_desk.calls.empty());
  CHECK(world.workstations.registered.empty());
  CHECK(world.sessions.sign_ins == 0);
  CHECK(world.sessions.sessions.size() == 2);
}

TEST_CASE("no GET changes anything") {
  World world(KEYFERRY_WEB_DIR);
  fake::Populate(world);
  for (const Route& route : world.browser->routes()) {
    if (route.method != Method::kGet) continue;
    world.Send(As(world, route, World::kToken));
  }
  CHECK(world.changes.started.empty());
  CHECK(world.keys.calls.empty());
  CHECK(world.workstations.calls.empty());
  CHECK(world.rotation.calls.empty());
  CHECK(world.help_desk.calls.empty());
}

TEST_CASE("a body of another kind than the route takes is refused") {
  World world(KEYFERRY_WEB_DIR);
  // What is for employees alone is asked as one.
  Session employee = world.sessions.sessions.at(World::kToken);
  employee.actor.roles = Role::kEmployee;
  world.sessions.sessions["employee"] = employee;
  for (const Route& route : world.browser->routes()) {
    if (!IsUnsafe(route) || route.body == Body::kNone) continue;
    INFO(route.pattern);
    world.sessions.incomplete = route.incomplete;
    for (const char* type : {"text/plain", "multipart/form-data", "application/xml", ""}) {
      const bool own = route.needs.right && !May(Role::kAdministrator, *route.needs.right);
      Request request = As(world, route, own ? "employee" : World::kToken);
      request.headers["x-keyferry-csrf"] = World::kCsrf;
      request.headers["content-type"] = type;
      CHECK(world.Send(std::move(request)).status == 415);
    }
  }
  CHECK(world.changes.started.empty());
}

TEST_CASE("form fields that do not belong to the route refuse it") {
  World world(KEYFERRY_WEB_DIR);
  fake::Populate(world);
  const std::string id = fake::MakeId<AccountId>(1).Hex();
  const std::string good = std::string("csrf=") + World::kCsrf + "&once=12345678&mode=generate";
  CHECK(world.Send(world.Post("/employees/" + id + "/password", good)).status == 303);
  CHECK(world.changes.started.size() == 1);
  for (const char* more :
       {"&account=2", "&mode=type", "&generate=true", "&__proto__=1", "&reason[]=x",
        "&csrf=csrf-of-the-session", "&password=%ff", "&must_change=true"}) {
    INFO(more);
    CHECK(world.Send(world.Post("/employees/" + id + "/password", good + more)).status == 400);
  }
  CHECK(world.changes.started.size() == 1);
}

TEST_CASE("workstation routes: no certificate, revoked, and nothing for browsers") {
  World world(KEYFERRY_WEB_DIR);
  for (const Route& route : world.workstation->routes()) {
    INFO(route.pattern);
    CHECK(route.needs.access == Access::kWorkstation);
    Request bare = As(world, route, World::kToken);
    CHECK(world.workstation->Dispatch(bare).status == 403);
    Request revoked = As(world, route, nullptr);
    revoked.certificate.emplace();
    const Response response = world.workstation->Dispatch(revoked);
    CHECK(response.status == 403);
    CHECK(response.body.find("\"workstation_revoked\"") != std::string::npos);
    Request through_browser = As(world, route, World::kToken);
    CHECK(world.Send(std::move(through_browser)).status == 404);
  }
  CHECK(world.workstations.calls.empty());
  CHECK(world.rotation.calls.empty());
  CHECK(world.help_desk.calls.empty());
  CHECK(world.keys.calls.empty());
}

TEST_CASE("errors are pages for people and problems for programs, without internals") {
  World world(KEYFERRY_WEB_DIR);
  const Response page = world.Send(world.Get("/nothing"));
  CHECK(page.status == 404);
  CHECK(page.content_type == "text/html; charset=utf-8");
  CHECK(page.body.find("0123456789abcdef") != std::string::npos);
  const Response problem = world.Send(world.Get("/api/v1/nothing"));
  CHECK(problem.status == 404);
  CHECK(problem.content_type == "application/problem+json; charset=utf-8");
  CHECK(problem.body.find("\"code\":\"not_found\"") != std::string::npos);
  world.directory.down = Error{ErrorCode::kUnavailable, "Active Directory cannot be reached.",
                               "connect to 10.1.2.3 failed", 0};
  const Response down = world.Send(world.Get("/employees/" + fake::MakeId<AccountId>(1).Hex()));
  CHECK(down.status == 503);
  CHECK(down.body.find("Active Directory cannot be reached.") != std::string::npos);
  CHECK(down.body.find("10.1.2.3") == std::string::npos);
  REQUIRE(world.reported.size() == 1);
  CHECK(world.reported[0].detail == "connect to 10.1.2.3 failed");
}

TEST_CASE("after sign-in people come back to where they were, and nowhere else") {
  for (const char* good : {"/", "/employees", "/employees?query=a", "/audit"}) {
    CHECK(SafeNext(good) == good);
  }
  for (const char* bad :
       {"", "//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)",
        "/%2f%2fevil", "/employees\r\nX: y", "/api/v1/session", "/sign-out", "/sign-in", "/a//b"}) {
    INFO(bad);
    CHECK(SafeNext(bad) == "/");
  }
}

TEST_CASE("signing in and out by page") {
  World world(KEYFERRY_WEB_DIR);
  const Response wrong = world.Send(world.Post("/sign-in", "name=alice.admin&password=no&next=/"));
  CHECK(wrong.status == 401);
  CHECK(wrong.body.find("role=\"alert\"") != std::string::npos);
  CHECK(wrong.body.find("value=\"alice.admin\"") != std::string::npos);
  const Response unknown =
      world.Send(world.Post("/sign-in", "name=mallory1234&password=no&next=/"));
  CHECK(unknown.body.size() == wrong.body.size());  // the names have the same length
  const Response right =
      world.Send(world.Post("/sign-in", "name=alice.admin&password=right&next=%2Fkeys"));
  CHECK(right.status == 303);
  CHECK(right.headers[0].second == "/keys");
  CHECK(right.headers[1].second ==
        "__Host-keyferry=administrator-token; Path=/; Secure; HttpOnly; SameSite=Strict");
  const Response out = world.Send(world.Post("/sign-out", std::string("csrf=") + World::kCsrf));
  CHECK(out.status == 303);
  CHECK(out.headers[1].second.find("Max-Age=0") != std::string::npos);
  CHECK(world.Send(world.Get("/employees")).status == 303);
}

TEST_CASE("every header that a handler reads is one that the listener keeps") {
  static const std::regex kRead("Header\\(\"([a-z-]+)\"\\)");
  std::set<std::string> read;
  for (const char* room : {"api", "pages"}) {
    const auto folder = std::filesystem::path(KEYFERRY_SOURCE_DIR) / "server" / room;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      std::ifstream in(entry.path());
      std::stringstream stream;
      stream << in.rdbuf();
      const std::string text = stream.str();
      for (std::sregex_iterator it(text.begin(), text.end(), kRead), end; it != end; ++it) {
        read.insert((*it)[1]);
      }
    }
  }
  CHECK(read.size() > 8);
  for (const std::string& name : read) {
    INFO(name);
    CHECK(std::find(kKeptHeaders.begin(), kKeptHeaders.end(), name) != kKeptHeaders.end());
  }
}
