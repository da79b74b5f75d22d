// Tokens before the API: no way round scopes, roles and cookies. Requests that are repeated, pages
// of lists, and the page of tokens.
#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <catch2/catch.hpp>
#include <iterator>
#include <string_view>

#include "fake_services.h"
#include "server/api/problem.h"

using namespace keyferry;
using namespace keyferry::server;
using fake::FakeTokens;
using fake::World;
namespace json = boost::json;

namespace {

struct Robot : World {
  Robot() : World(KEYFERRY_WEB_DIR) {
    fake::Populate(*this);
    for (const TokenScope& scope : kTokenScopes) tokens.scopes.emplace_back(scope.name);
  }
  Request As(Method method, const std::string& target, const std::string& body = {}) const {
    Request request = Get(target);
    request.method = method;
    request.headers.erase("cookie");
    request.headers["authorization"] = std::string("Bearer ") + FakeTokens::kSecret;
    request.headers["idempotency-key"] = "key-00000001";
    if (!body.empty()) request.headers["content-type"] = "application/json";
    request.body = SecureBytes::CopyOf(std::string_view(body));
    return request;
  }
  Response Ask(Method method, const std::string& target, const std::string& body = {}) const {
    return Send(As(method, target, body));
  }
  Response Person(const std::string& target, const std::string& body,
                  const std::string& key) const {
    Request request = Get(target);
    request.method = Method::kPost;
    request.headers["x-keyferry-csrf"] = kCsrf;
    request.headers["content-type"] = "application/json";
    if (!key.empty()) request.headers["idempotency-key"] = key;
    request.body = SecureBytes::CopyOf(std::string_view(body));
    return Send(std::move(request));
  }
};

std::string Code(const Response& response) {
  if (response.content_type.rfind("application/problem+json", 0) != 0) return {};
  return json::parse(response.body).at("code").as_string().c_str();
}

std::string Example(const Route& route) {
  std::string out = route.pattern;
  const std::size_t open = out.find('{');
  if (open != std::string::npos) {
    out.replace(open, out.find('}') - open + 1, std::string(32, '1'));
  }
  return out;
}

}  // namespace

TEST_CASE("a token reaches the routes that name a scope, and no other") {
  Robot robot;
  std::size_t scoped = 0, closed = 0;
  for (const Route& route : robot.browser->routes()) {
    if (route.needs.access == Access::kPublic) continue;
    INFO(Name(route.method) << " " << route.pattern);
    const bool api = route.pattern.rfind("/api/", 0) == 0;
    Request request = robot.As(route.method, Example(route));
    if (route.body == Body::kJson) {
      request.headers["content-type"] = "application/json";
      request.body = SecureBytes::CopyOf(std::string_view("{}"));
    }
    const Response response = robot.Send(std::move(request));
    if (!api) {
      CHECK(response.status == 303);  // a page: sign in
      CHECK(response.headers[0].second.rfind("/sign-in", 0) == 0);
    } else if (*route.scope() == '\0') {
      CHECK(Code(response) == "session_required");
      ++closed;
    } else {
      CHECK(response.status != 401);
      CHECK(response.status != 403);
      ++scoped;
    }
  }
  CHECK(scoped > 25);
  // Who am I, codes, challenges and FIDO2 keys, sign out, sessions, and all about tokens.
  CHECK(closed == 27);
}

TEST_CASE("without its scope a token is refused, and told which one it lacks") {
  Robot robot;
  for (const Route& route : robot.browser->routes()) {
    if (route.pattern.rfind("/api/", 0) != 0 || *route.scope() == '\0') continue;
    INFO(Name(route.method) << " " << route.pattern);
    robot.tokens.scopes.clear();
    for (const TokenScope& scope : kTokenScopes) {
      if (std::string(scope.name) != route.scope()) robot.tokens.scopes.emplace_back(scope.name);
    }
    const Response response = robot.Ask(route.method, Example(route));
    CHECK(Code(response) == "missing_scope");
    CHECK(json::parse(response.body).at("scope").as_string() == route.scope());
  }
  CHECK(robot.keys.calls.empty());
  CHECK(robot.workstations.calls.empty());
  CHECK(robot.changes.started.empty());
  CHECK(robot.check_up.runs == 0);
  CHECK(robot.rotation.calls.empty());
}

TEST_CASE("a token whose maker is help desk reaches nothing of administrators") {
  Robot robot;
  robot.tokens.roles = Role::kHelpDesk;
  std::size_t seen = 0;
  for (const Route& route : robot.browser->routes()) {
    if (route.pattern.rfind("/api/", 0) != 0 || *route.scope() == '\0') continue;
    if (May(Role::kHelpDesk, *route.needs.right)) continue;
    INFO(Name(route.method) << " " << route.pattern);
    CHECK(Code(robot.Ask(route.method, Example(route))) == "permission_denied");
    ++seen;
  }
  CHECK(seen > 12);
  CHECK(robot.keys.calls.empty());
  CHECK(robot.workstations.calls.empty());
  CHECK(robot.rotation.calls.empty());
}

TEST_CASE("a cookie beside a token is refused, and a cookie without its CSRF token too") {
  Robot robot;
  for (const Route& route : robot.browser->routes()) {
    if (route.pattern.rfind("/api/", 0) != 0 || route.needs.access == Access::kPublic) continue;
    INFO(Name(route.method) << " " << route.pattern);
    for (const char* token : {FakeTokens::kSecret, "wrong", ""}) {
      Request both = robot.As(route.method, Example(route));
      both.headers["authorization"] = std::string("Bearer ") + token;
      both.headers["cookie"] = std::string(kSessionCookie) + "=" + World::kToken;
      both.headers["x-keyferry-csrf"] = World::kCsrf;
      CHECK(Code(robot.Send(std::move(both))) == "mixed_credentials");
    }
    Request other_site = robot.As(route.method, Example(route));
    other_site.headers["origin"] = "https://evil.example";
    CHECK(robot.Send(std::move(other_site)).status == 403);
  }
  CHECK(robot.tokens.calls.empty());
  for (const char* header : {"Bearer", "Bearer ", "Basic YWxpY2U6cmlnaHQ=", "kft_0123456789",
                             "Bearer  kft_0123456789", "Bearer kft_0123456789,Bearer x"}) {
    Request request = robot.As(Method::kGet, "/api/v1/keys");
    request.headers["authorization"] = header;
    const Response response = robot.Send(std::move(request));
    CHECK(response.status == 401);
    CHECK(Code(response) == "token_unknown");
  }
  CHECK(robot.keys.calls.empty());
}

TEST_CASE("what is wrong with a token has a type of its own") {
  Robot robot;
  using Kind = TokenVerdict::Kind;
  for (const auto& [kind, code, status] :
       std::vector<std::tuple<Kind, std::string, int>>{{Kind::kExpired, "token_expired", 401},
                                                       {Kind::kRevoked, "token_revoked", 401},
                                                       {Kind::kOwnerGone, "token_owner_gone", 403},
                                                       {Kind::kRateLimited, "rate_limited", 429}}) {
    robot.tokens.verdict = kind;
    const Response response = robot.Ask(Method::kGet, "/api/v1/keys");
    CHECK(response.status == status);
    CHECK(Code(response) == code);
    if (status != 429) continue;
    REQUIRE(response.headers.size() == 1);
    CHECK(response.headers[0] == std::pair<std::string, std::string>{"Retry-After", "7"});
  }
}

TEST_CASE("a token acts under its own name, with keys of its own") {
  Robot robot;
  const std::string person = robot.directory.people[0].person.id.Hex();
  const std::string target = "/api/v1/employees/" + person + "/password";
  CHECK(robot.Ask(Method::kPost, target, R"({"generate":true})").status == 201);
  REQUIRE(robot.changes.started.size() == 1);
  CHECK(robot.changes.started[0].actor == "token robot");
  CHECK(robot.changes.started[0].key.size() == 64);
  CHECK(robot.changes.started[0].key != "key-00000001");
  robot.changes.start_error = Error{ErrorCode::kConflict, "Used.", kOtherRequestDetail, 0};
  const Response other = robot.Ask(Method::kPost, target, R"({"generate":true,"reason":"x"})");
  CHECK(other.status == 422);
  CHECK(Code(other) == "idempotency_mismatch");
}

TEST_CASE("a POST with the same key is answered alike and done once") {
  Robot robot;
  const std::string device = robot.keys.keys[0].device.Hex();
  const std::string suspend = "/api/v1/keys/" + device + "/suspend";
  CHECK(Code(robot.Person(suspend, R"({"reason":"x"})", "")) == "idempotency_key_missing");
  CHECK(Code(robot.Person(suspend, R"({"reason":"x"})", "short")) == "idempotency_key_missing");
  CHECK(robot.keys.calls.empty());

  const Response first = robot.Person(suspend, R"({"reason":"x"})", "key-00000001");
  CHECK(first.status == 200);
  robot.keys.keys[0].state_reason = "something else by now";
  const Response second = robot.Person(suspend, R"({"reason":"x"})", "key-00000001");
  CHECK(second.status == 200);
  CHECK(second.body == first.body);
  CHECK(second.content_type == first.content_type);
  REQUIRE(second.headers.size() == 1);
  CHECK(second.headers[0].first == "Idempotency-Replayed");
  CHECK(robot.keys.calls.size() == 1);

  CHECK(Code(robot.Person(suspend, R"({"reason":"y"})", "key-00000001")) == "idempotency_mismatch");
  const std::string resume = "/api/v1/keys/" + device + "/resume";
  CHECK(Code(robot.Person(resume, R"({"reason":"x"})", "key-00000001")) == "idempotency_mismatch");
  CHECK(robot.keys.calls.size() == 1);
  // What was not even tried leaves the key free; a token has keys of its own.
  CHECK(robot.Person(suspend, R"({"reason":""})", "key-00000002").status == 400);
  CHECK(robot.Person(suspend, R"({"reason":"z"})", "key-00000002").status == 200);
  CHECK(robot.Ask(Method::kPost, suspend, R"({"reason":"q"})").status == 200);
  CHECK(robot.keys.calls.size() == 3);
}

TEST_CASE("every POST of the API that changes something demands an idempotency key") {
  // Codes and challenges of the second factor are good once, and a name given twice is the same.
  static constexpr std::string_view kOnceByItself[] = {
      "/api/v1/session/code",           "/api/v1/session/code/challenge",
      "/api/v1/session/fido-keys",      "/api/v1/session/fido-keys/challenge",
      "/api/v1/session/fido-keys/{id}", "/api/v1/session/set-up/challenge",
      "/api/v1/session/step-up",        "/api/v1/session/step-up/challenge"};
  Robot robot;
  std::size_t seen = 0;
  for (const Route& route : robot.browser->routes()) {
    if (route.pattern.rfind("/api/", 0) != 0 || route.method != Method::kPost) continue;
    if (route.needs.access == Access::kPublic) continue;
    if (std::count(std::begin(kOnceByItself), std::end(kOnceByItself), route.pattern) != 0)
      continue;
    INFO(route.pattern);
    ++seen;
    Request request = robot.Get(Example(route));
    request.method = Method::kPost;
    request.headers["x-keyferry-csrf"] = World::kCsrf;
    if (route.body != Body::kNone) {
      request.headers["content-type"] = "application/json";
      request.body = SecureBytes::CopyOf(std::string_view("{}"));
    }
    CHECK(Code(robot.Send(std::move(request))) == "idempotency_key_missing");
  }
  CHECK(seen == 27);
}

TEST_CASE("an answer that tells a secret once is repeated to its asker and lies sealed") {
  Robot robot;
  const std::string body = R"({"name":"new","scopes":["people:read"],"days":3})";
  const Response first = robot.Person("/api/v1/tokens", body, "key-00000001");
  CHECK(first.status == 201);
  CHECK(first.body.find(FakeTokens::kSecret) != std::string::npos);
  CHECK(robot.Person("/api/v1/tokens", body, "key-00000001").body == first.body);
  CHECK(robot.tokens.calls.size() == 1);
  REQUIRE(robot.journal.kept.size() == 1);
  const auto& [who, kept] = *robot.journal.kept.begin();
  CHECK(who.first.find(World::kToken) == std::string::npos);
  const std::string sealed(kept.second.sealed.begin(), kept.second.sealed.end());
  CHECK(sealed.find(FakeTokens::kSecret) == std::string::npos);
  CHECK(sealed.find("people") == std::string::npos);
  robot.journal.kept.begin()->second.second.sealed[30] ^= 1;
  CHECK(robot.Person("/api/v1/tokens", body, "key-00000001").status == 500);
  CHECK(robot.Send(robot.Get("/api/v1/tokens")).body.find(FakeTokens::kSecret) ==
        std::string::npos);
}

TEST_CASE("lists come in pages: each element once, whatever the limit") {
  Robot robot;
  const auto all = [&](const std::string& target, const char* name, const std::string& limit) {
    std::vector<std::string> seen;
    std::string cursor;
    for (int round = 0; round < 100; ++round) {
      const Response response = robot.Send(
          robot.Get(target + "?limit=" + limit + (cursor.empty() ? "" : "&cursor=" + cursor)));
      REQUIRE(response.status == 200);
      const json::value page = json::parse(response.body);
      CHECK(page.at(name).as_array().size() <= static_cast<std::size_t>(std::stoi(limit)));
      for (const json::value& one : page.at(name).as_array()) {
        const json::object& element = one.as_object();
        seen.push_back(json::serialize(element.contains("number")   ? element.at("number")
                                       : element.contains("device") ? element.at("device")
                                                                    : element.at("id")));
      }
      cursor = page.at("next").as_string().c_str();
      if (cursor.empty()) return seen;
    }
    FAIL("no end");
    return seen;
  };
  robot.tokens.Create({}, {"a", {}, 1}).value();
  robot.tokens.Create({}, {"b", {}, 1}).value();
  robot.tokens.Create({}, {"c", {}, 1}).value();
  std::string person;
  for (const auto& [account, views] : robot.changes.history) {
    if (views.size() > 1) person = account.Hex();
  }
  REQUIRE_FALSE(person.empty());
  for (const auto& [target, name] : std::vector<std::pair<std::string, const char*>>{
           {"/api/v1/keys", "keys"},
           {"/api/v1/keys/unassigned", "keys"},
           {"/api/v1/presence", "presence"},
           {"/api/v1/workstations", "workstations"},
           {"/api/v1/tokens", "tokens"},
           {"/api/v1/audit", "rows"},
           {"/api/v1/employees/" + person + "/changes", "changes"}}) {
    INFO(target);
    const auto whole = all(target, name, "500");
    CHECK_FALSE(whole.empty());
    for (const char* limit : {"1", "2", "3"}) CHECK(all(target, name, limit) == whole);
    for (const char* bad :
         {"limit=0", "limit=501", "limit=-1", "limit=x", "limit=1e2", "cursor=x", "cursor=!!",
          "cursor=a2V5czo=", "cursor=b3RoZXI6MQ", "before=1", "limit=1&limit=2"}) {
      INFO(bad);
      Request request = robot.Get(target);
      const std::string text = bad;
      for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = std::min(text.find('&', at), text.size());
        const std::size_t equals = text.find('=', at);
        request.query.emplace_back(text.substr(at, equals - at),
                                   text.substr(equals + 1, end - equals - 1));
        at = end + 1;
      }
      if (text.find('&') != std::string::npos) continue;  // the listener refuses those
      CHECK(Code(robot.Send(std::move(request))) == "invalid_request");
    }
  }
}

TEST_CASE("the audit log by API: export in pieces, verification in words") {
  Robot robot;
  std::string text;
  std::string target = "/api/v1/audit/export?format=csv&limit=2";
  for (int round = 0; round < 100 && !target.empty(); ++round) {
    const Response piece = robot.Send(robot.Get(target));
    REQUIRE(piece.status == 200);
    CHECK(piece.content_type == "text/csv; charset=utf-8");
    text += piece.body;
    target.clear();
    for (const auto& [name, value] : piece.headers) {
      if (name == "Link") target = value.substr(1, value.find('>') - 1);
    }
  }
  CHECK(std::count(text.begin(), text.end(), '\n') ==
        static_cast<std::ptrdiff_t>(robot.audit.rows.size()));
  CHECK(robot.Send(robot.Get("/api/v1/audit/export?format=xml")).status == 400);
  CHECK(robot.Send(robot.Get("/api/v1/audit/verification")).body ==
        R"({"whole":true,"report":"The audit log is whole."})");
  robot.audit_damage = Error{ErrorCode::kInternal, "Entry 7 was altered.", "", 0};
  CHECK(robot.Send(robot.Get("/api/v1/audit/verification")).body ==
        R"({"whole":false,"report":"Entry 7 was altered."})");
  robot.audit_damage = Error{ErrorCode::kUnavailable, "Away.", "", 0};
  CHECK(robot.Send(robot.Get("/api/v1/audit/verification")).status == 503);
}

TEST_CASE("the page of tokens: made, shown once, revoked") {
  Robot robot;
  const std::string csrf = "csrf=" + std::string(World::kCsrf);
  CHECK_THAT(robot.Send(robot.Get("/tokens")).body, Catch::Contains("There are no tokens"));
  const Response refused =
      robot.Send(robot.Post("/tokens", csrf + "&name=&days=x&scope_keys_read=on"));
  CHECK(refused.status == 400);
  CHECK_THAT(refused.body, Catch::Contains("role=\"alert\""));
  CHECK_THAT(refused.body, Catch::Contains("id=\"scope_keys_read\" value=\"on\" checked"));
  robot.tokens.calls.clear();
  const Response made = robot.Send(
      robot.Post("/tokens", csrf + "&name=robot&days=30&scope_people_read=on&scope_keys_read=on"));
  CHECK(made.status == 200);
  CHECK_THAT(made.body, Catch::Contains(FakeTokens::kSecret));
  CHECK(robot.tokens.calls == std::vector<std::string>{"create alice.admin robot 30 2"});
  const Response page = robot.Send(robot.Get("/tokens"));
  CHECK_THAT(page.body, !Catch::Contains(FakeTokens::kSecret));
  CHECK_THAT(page.body, Catch::Contains("people:read, keys:read"));
  const std::string id = robot.tokens.tokens[0].id.Hex();
  CHECK(robot.Send(robot.Post("/tokens/" + id + "/revoke", csrf)).status == 303);
  CHECK_THAT(robot.Send(robot.Get("/tokens")).body, Catch::Contains("Revoked"));
  CHECK(robot.Send(robot.Post("/tokens/" + std::string(32, 'f') + "/revoke", csrf)).status == 404);
  CHECK(robot.Send(robot.Post("/tokens", csrf + "&name=x&days=1&scope_everything=on")).status ==
        400);
}
