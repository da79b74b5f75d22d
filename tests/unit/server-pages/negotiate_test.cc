// "Sign in with Windows": the page, its 401, and who is not signed in by it.
#include <catch2/catch.hpp>

#include "fake_services.h"
#include "response_text.h"

using namespace keyferry;
using namespace keyferry::server;
using fake::World;

namespace {

constexpr char kGood[] = "Negotiate dGlja2V0";  // FakeSessions::kTicket

std::vector<std::string> HeadersOf(const Response& response, std::string_view name) {
  std::vector<std::string> out;
  for (const auto& [key, value] : response.headers) {
    if (key == name) out.push_back(value);
  }
  return out;
}

struct Porch : World {
  Porch() : World(KEYFERRY_WEB_DIR) { fake::Populate(*this); }
  // As a browser that has no session, by a person who follows a link.
  Request Visit(const std::string& target, const std::string& authorization = {}) {
    Request request = Get(target);
    request.headers.erase("cookie");
    request.headers["sec-fetch-site"] = "same-origin";
    request.headers["sec-fetch-mode"] = "navigate";
    request.headers["sec-fetch-dest"] = "document";
    if (!authorization.empty()) request.headers["authorization"] = authorization;
    return request;
  }
};

}  // namespace

TEST_CASE("the sign-in page leads to Windows where that is set up, and keeps the way") {
  Porch porch;
  const Response page = porch.Send(porch.Visit("/sign-in?next=%2Fkeys%3Fstate%3Dalarm"));
  CHECK(Contains(page, "href=\"/sign-in/negotiate?next=%2Fkeys%3Fstate%3Dalarm\""));
  porch.sessions.takes_tickets = false;
  CHECK_FALSE(Contains(porch.Send(porch.Visit("/sign-in")), "negotiate"));
  const Response none = porch.Send(porch.Visit("/sign-in/negotiate", kGood));
  CHECK(none.status == 404);
  CHECK(HeadersOf(none, "WWW-Authenticate").empty());
  CHECK(porch.sessions.sign_ins == 0);
}

TEST_CASE("without a ticket the answer is 401, asks for one, and is a whole page for people") {
  Porch porch;
  for (const char* other : {"", "Negotiate", "Basic YTpi", "Bearer abc"}) {
    INFO(other);
    const Response page = porch.Send(porch.Visit("/sign-in/negotiate?next=/keys", other));
    CHECK(page.status == 401);
    CHECK(HeadersOf(page, "WWW-Authenticate") == std::vector<std::string>{"Negotiate"});
    CHECK(HeadersOf(page, "Set-Cookie").empty());
    CHECK(Contains(page, "Your browser sent no Windows ticket"));
    CHECK(Contains(page, "href=\"/sign-in?next=%2Fkeys\""));
    CHECK(Contains(page, "<main id=\"main\""));
    CHECK_FALSE(Contains(page, "{{"));
  }
  CHECK(porch.sessions.sign_ins == 0);
}

TEST_CASE("a ticket signs in under a new cookie, is answered, and goes on where the person was") {
  Porch porch;
  const Response in = porch.Send(porch.Visit("/sign-in/negotiate?next=/keys", kGood));
  CHECK(in.status == 303);
  CHECK(HeadersOf(in, "Location") == std::vector<std::string>{"/keys"});
  CHECK(HeadersOf(in, "WWW-Authenticate") == std::vector<std::string>{"Negotiate AQID"});
  REQUIRE(HeadersOf(in, "Set-Cookie").size() == 1);
  CHECK(HeadersOf(in, "Set-Cookie")[0].find("SameSite=Strict") != std::string::npos);
  for (const char* evil : {"//evil.example", "https://evil.example", "/sign-in/negotiate"}) {
    INFO(evil);
    Request request = porch.Visit("/sign-in/negotiate", kGood);
    request.query = {{"next", evil}};
    CHECK(HeadersOf(porch.Send(std::move(request)), "Location") == std::vector<std::string>{"/"});
  }
}

TEST_CASE("a ticket is no second factor") {
  Porch porch;
  porch.sessions.incomplete = true;
  const Response in = porch.Send(porch.Visit("/sign-in/negotiate?next=/keys", kGood));
  CHECK(HeadersOf(in, "Location") == std::vector<std::string>{"/sign-in/code?next=/keys"});
  porch.sessions.incomplete = false;
  porch.factors.stale = true;
  Request asks = porch.Post("/keys/" + porch.keys.keys[0].device.Hex() + "/step",
                            std::string("csrf=") + World::kCsrf + "&step=suspend&reason=r");
  asks.headers["authorization"] = kGood;
  CHECK(porch.Send(std::move(asks)).status == 403);
  CHECK(porch.keys.calls.empty());
}

TEST_CASE("a refused ticket is said in words, without asking for another one") {
  Porch porch;
  const Response no = porch.Send(porch.Visit("/sign-in/negotiate", "Negotiate AAAA"));
  CHECK(no.status == 403);
  CHECK(HeadersOf(no, "WWW-Authenticate").empty());
  CHECK(HeadersOf(no, "Set-Cookie").empty());
  CHECK(Contains(no, "role=\"alert\""));
  CHECK(Contains(no, "was not accepted"));
  CHECK_FALSE(Contains(no, "secret detail"));
  REQUIRE(porch.reported.size() == 1);
  CHECK(porch.reported[0].detail == "a secret detail");
  CHECK(porch.Send(porch.Visit("/sign-in/negotiate", "Negotiate !!!!")).status == 400);
  CHECK(porch.Send(porch.Visit("/sign-in/negotiate", "Negotiate " + std::string(20000, 'A')))
            .status == 400);
  porch.sessions.sign_in_error = Error{ErrorCode::kRateLimited, "Too many failed sign-ins.", {}, 0};
  CHECK(porch.Send(porch.Visit("/sign-in/negotiate", kGood)).status == 429);
  for (const Error& error : porch.reported) {
    CHECK((error.message + error.detail).find("AAAA") == std::string::npos);
  }
}

TEST_CASE("no other site, image, frame or script signs somebody in") {
  Porch porch;
  for (const auto& [name, value] :
       std::vector<std::pair<std::string, std::string>>{{"sec-fetch-site", "cross-site"},
                                                        {"sec-fetch-site", "same-site"},
                                                        {"sec-fetch-mode", "no-cors"},
                                                        {"sec-fetch-mode", "cors"},
                                                        {"sec-fetch-dest", "image"},
                                                        {"sec-fetch-dest", "iframe"},
                                                        {"origin", "https://evil.example"}}) {
    INFO(name << ": " << value);
    Request request = porch.Visit("/sign-in/negotiate?next=/keys", kGood);
    request.headers[name] = value;
    const Response sent_away = porch.Send(std::move(request));
    CHECK(sent_away.status == 303);
    CHECK(HeadersOf(sent_away, "Location") == std::vector<std::string>{"/sign-in?next=%2Fkeys"});
    CHECK(HeadersOf(sent_away, "Set-Cookie").empty());
    CHECK(HeadersOf(sent_away, "WWW-Authenticate").empty());
  }
  Request head = porch.Visit("/sign-in/negotiate", kGood);
  head.method = Method::kHead;
  porch.Send(std::move(head));
  CHECK(porch.sessions.sign_ins == 0);
  Request typed = porch.Visit("/sign-in/negotiate", kGood);
  typed.headers["sec-fetch-site"] = "none";
  CHECK(porch.Send(std::move(typed)).status == 303);
  CHECK(porch.sessions.sign_ins == 1);
}
