// Paths, forms, headers, cookies, router: the parts of server/http that need no socket.
#include <catch2/catch.hpp>
#include <set>

#include "server/http/event_queue.h"
#include "server/http/form.h"
#include "server/http/message.h"
#include "server/http/router.h"
#include "server/http/target.h"

using namespace keyferry;
using namespace keyferry::server;

namespace {

Result<Form> Parse(std::string_view body, std::vector<FormField> fields) {
  return ParseForm(std::span(reinterpret_cast<const std::uint8_t*>(body.data()), body.size()),
                   fields);
}

Request Of(Method method, const std::string& target) {
  Request request;
  request.method = method;
  const auto parsed = ParseTarget(target);
  REQUIRE(parsed);
  request.path = parsed->path;
  request.query = parsed->query;
  return request;
}

Response Said(const std::string& text) { return Response::Html(text); }

}  // namespace

TEST_CASE("a target has one spelling only") {
  for (const char* good : {"/", "/employees", "/employees/0123456789abcdef0123456789abcdef",
                           "/assets/ab12/keyferry.css", "/api/v1/session", "/a-b_c.d/e"}) {
    INFO(good);
    CHECK(ParseTarget(good));
  }
  for (const char* bad : {"",
                          "employees",
                          "//employees",
                          "/employees/",
                          "/employees//",
                          "/./employees",
                          "/employees/.",
                          "/employees/..",
                          "/../employees",
                          "/employees/%2e",
                          "/%65mployees",
                          "/employees%2f",
                          "/employees%00",
                          "/employees;x",
                          "/employees;jsessionid=1",
                          "/employees\\",
                          "/employees/..;/",
                          "/employees.",
                          "/.employees",
                          "/employees/a..b",
                          "/emp loyees",
                          "/employees#x",
                          "/employees\t",
                          "/%2561",
                          "/employ\xC3\xA9",
                          "http://localhost/employees",
                          "*",
                          "/a:b",
                          "/a@b",
                          "/a,b",
                          "/~root",
                          "/a+b",
                          "/a$b",
                          "/a!b",
                          "/(a)",
                          "/a'b",
                          "/a*b",
                          "/a=b",
                          "/a&b",
                          "/a|b",
                          "/a\"b",
                          "/<a>",
                          "/{a}",
                          "/a^b",
                          "/a`b",
                          "/a%",
                          "/a%2",
                          "/1/2/3/4/5/6/7/8/9/10/11/12/13"}) {
    INFO(bad);
    CHECK_FALSE(ParseTarget(bad));
  }
  CHECK_FALSE(ParseTarget("/" + std::string(2048, 'a')));
}

TEST_CASE("a query is decoded once, names are unique") {
  const auto target = ParseTarget("/employees?query=a%20b%2Bc+d&cursor=%2561");
  REQUIRE(target);
  CHECK(target->query[0].second == "a b+c d");
  CHECK(target->query[1].second == "%61");
  for (const char* bad :
       {"/e?a", "/e?a=1&a=2", "/e?=1", "/e?a=%", "/e?a=%zz", "/e?a=%00", "/e?a=%0d%0a", "/e?a=%ff",
        "/e?a=%c0%af", "/e?a=1&&b=2", "/e?a=1&b=1&c=1&d=1&e=1&f=1&g=1&h=1&i=1"}) {
    INFO(bad);
    CHECK_FALSE(ParseTarget(bad));
  }
}

TEST_CASE("a form gives what its route declared") {
  const std::vector<FormField> fields = {
      {"name", 10, false, true}, {"password", 20, true}, {"note", 40}};
  auto form = Parse("name=a%26b&password=%C3%A9+%2b&note=one%0D%0Atwo", fields);
  REQUIRE(form);
  CHECK(form->Text("name") == "a&b");
  CHECK(form->Text("note") == "one\ntwo");
  CHECK(form->Text("password").empty());
  CHECK(form->TakeSecret("password").view() == "\xC3\xA9 +");
  CHECK(form->TakeSecret("password").empty());
  CHECK(form->TakeSecret("name").empty());
}

TEST_CASE("a form that does not fit is refused as a whole") {
  const std::vector<FormField> fields = {
      {"name", 10, false, true}, {"password", 20, true}, {"note", 40}};
  for (const char* bad : {"",
                          "note=x",
                          "name",
                          "name=a&name=b",
                          "name=a&password=1&password=2",
                          "name=a&other=1",
                          "name[]=a",
                          "name=%",
                          "name=%a",
                          "name=%zz",
                          "name=%00",
                          "name=%1b",
                          "name=12345678901",
                          "name=a&password=%ff",
                          "name=a&password=a%00b",
                          "name=%c0%80",
                          "name=%ed%a0%80",
                          "name=%c2%85",
                          "n%61me=a&name=b",
                          "name=a&&note=b",
                          "name=a&password=123456789012345678901",
                          "{\"name\":\"a\"}"}) {
    INFO(bad);
    CHECK_FALSE(Parse(bad, fields));
  }
  CHECK_FALSE(Parse("name=" + std::string(70000, 'a'), {{"name", 100000}}));
}

TEST_CASE("cookies: the one that was asked for, once") {
  Request request;
  request.headers["cookie"] = "a=1; __Host-keyferry=token; b=2";
  CHECK(request.Cookie("__Host-keyferry") == "token");
  CHECK(request.Cookie("keyferry").empty());
  request.headers["cookie"] = "__Host-keyferry=one; __Host-keyferry=two";
  CHECK(request.Cookie("__Host-keyferry").empty());
  CHECK(SessionCookie("t") == "__Host-keyferry=t; Path=/; Secure; HttpOnly; SameSite=Strict");
}

TEST_CASE("the header block carries every security header and splits nowhere") {
  const std::string block =
      HeaderBlock(Response::SeeOther("/x\r\nSet-Cookie: evil=1").With("X-Test", "a\nb"), 0, true);
  for (const auto& [name, value] : SecurityHeaders()) {
    CHECK(block.find("\r\n" + name + ": " + value + "\r\n") != std::string::npos);
  }
  CHECK(block.find("\r\nCache-Control: no-store\r\n") != std::string::npos);
  CHECK(block.find("Location: /xSet-Cookie: evil=1\r\n") != std::string::npos);
  CHECK(block.find("\r\nSet-Cookie") == std::string::npos);
  CHECK(block.find("X-Test: ab\r\n") != std::string::npos);
  CHECK(block.find("\r\nServer:") == std::string::npos);
  const std::string& policy = SecurityHeaders()[0].second;
  CHECK(policy.find("unsafe") == std::string::npos);
  CHECK(policy.find("default-src 'none'") == 0);
}

TEST_CASE("the router matches whole segments and is closed by default") {
  Router router;
  router.Add({Method::kGet, "/", Access::kPublic, [](Request&) { return Said("root"); }});
  router.Add({Method::kGet, "/things/{id}", Access::kPublic,
              [](Request& request) { return Said("thing " + request.captures.at(0)); }});
  router.Add({Method::kGet, "/things/new", Access::kPublic, [](Request&) { return Said("new"); }});
  router.Add(
      {Method::kPost, "/things/{id}", Access::kPublic, [](Request&) { return Said("set"); }});
  Route undeclared;
  undeclared.pattern = "/secret";
  undeclared.handler = [](Request&) { return Said("secret"); };
  router.Add(undeclared);
  router.Add({Method::kGet, "/mine", Right::kSession, [](Request&) { return Said("mine"); }});
  router.Add({Method::kGet, "/throws", Access::kPublic,
              [](Request&) -> Response { throw std::runtime_error("inner detail"); }});
  const auto ask = [&router](Method method, const std::string& target) {
    Request request = Of(method, target);
    return router.Dispatch(request);
  };
  CHECK(ask(Method::kGet, "/").body == "root");
  CHECK(ask(Method::kGet, "/things/7").body == "thing 7");
  CHECK(ask(Method::kHead, "/things/7").status == 200);
  CHECK(ask(Method::kGet, "/things/new").body == "new");
  CHECK(ask(Method::kGet, "/Things/7").status == 404);
  CHECK(ask(Method::kGet, "/things").status == 404);
  CHECK(ask(Method::kGet, "/things/7/8").status == 404);
  CHECK(ask(Method::kGet, "/secret").status == 404);
  CHECK(ask(Method::kGet, "/things/7?x=1").status == 400);
  const Response method = ask(Method::kDelete, "/things/7");
  CHECK(method.status == 405);
  CHECK(method.headers.back() == std::pair<std::string, std::string>("Allow", "GET, POST"));
  CHECK(ask(Method::kGet, "/mine").status == 403);  // no guard is set: only public routes run
  const Response broken = ask(Method::kGet, "/throws");
  CHECK(broken.status == 500);
  CHECK(broken.body.find("inner detail") == std::string::npos);
}

TEST_CASE("an event queue is bounded, ordered, and says when it ends") {
  int wakes = 0;
  int ended = 0;
  EventQueue queue([&wakes] { ++wakes; }, [](std::function<void()> work) { work(); });
  queue.OnClosed([&ended] { ++ended; });
  CHECK(queue.Send("job", "{\"a\":1}"));
  CHECK(queue.Send("x\nevent: forged", "line\r\ndata: forged"));
  CHECK(queue.Take() ==
        "event: job\ndata: {\"a\":1}\n\nevent: xevent: forged\ndata: linedata: forged\n\n");
  CHECK(queue.Take().empty());
  CHECK(wakes == 2);
  SECTION("a slow peer loses its stream") {
    for (std::size_t i = 0; i < EventQueue::kMostEvents; ++i) CHECK(queue.Send("e", "{}"));
    CHECK_FALSE(queue.overrun());
    queue.Send("e", "{}");
    CHECK(queue.overrun());
    CHECK(queue.closing());
    CHECK_FALSE(queue.Send("e", "{}"));
  }
  SECTION("closing lets what waits go out first") {
    queue.Send("last", "{}");
    queue.Close();
    CHECK_FALSE(queue.Send("more", "{}"));
    CHECK(queue.Take() == "event: last\ndata: {}\n\n");
  }
  queue.End();
  queue.End();
  CHECK(ended == 1);
  queue.OnClosed([&ended] { ++ended; });  // too late: called at once
  CHECK(ended == 2);
}
