// The page behind the link that a caller's manager is mailed.
#include <catch2/catch.hpp>

#include "fake_services.h"

using namespace keyferry;
using namespace keyferry::server;
using fake::FakeHelpDesk;
using fake::World;

namespace {

const std::string kAsked = std::string("/caller?t=") + FakeHelpDesk::kToken;
const std::string kFilled = std::string("t=") + FakeHelpDesk::kToken;

struct Manager : World {
  Manager() : World(KEYFERRY_WEB_DIR) { fake::Populate(*this); }
  // As somebody who is not signed in.
  Response Look(const std::string& target) {
    Request request = Get(target);
    request.headers.erase("cookie");
    return Send(std::move(request));
  }
  Request Answer(const std::string& form) {
    Request request = Post("/caller", form);
    request.headers.erase("cookie");
    request.headers.erase("x-keyferry-csrf");
    return request;
  }
  std::string Place(const std::string& form) {
    const Response response = Send(Answer(form));
    CHECK(response.status == 303);
    return response.headers.empty() ? std::string() : response.headers[0].second;
  }
};

bool Shows(const Response& response, const std::string& part) {
  return response.body.find(part) != std::string::npos;
}

std::string Cut(std::string text, const std::string& part) {
  for (std::size_t at; (at = text.find(part)) != std::string::npos;) text.erase(at, part.size());
  return text;
}

}  // namespace

TEST_CASE("the manager's link shows who asks about whom, without a session, and changes nothing") {
  Manager world;
  world.help_desk.view.request.reason = "forgot it <b>again</b>";
  for (int i = 0; i < 3; ++i) {  // a mail scanner, a preview, the manager
    const Response page = world.Look(kAsked);
    CHECK(page.status == 200);
    for (const char* part : {"Henry Desk (henry.desk)", "New password to the key", "INC-1",
                             "forgot it &lt;b&gt;again&lt;/b&gt;",
                             "I have spoken with them, it is them", "I know nothing of this"}) {
      INFO(part);
      CHECK(Shows(page, part));
    }
    CHECK(Shows(page, world.help_desk.view.request.display_name));
    CHECK_FALSE(Shows(page, "{{"));
    CHECK_FALSE(Shows(page, "<b>"));
    // Neither the number nor what the directory has of the person is on it.
    CHECK_FALSE(Shows(page, "048213"));
    CHECK_FALSE(Shows(page, "048 213"));
    CHECK_FALSE(Shows(page, world.directory.people[0].person.phone));
    CHECK_FALSE(Shows(page, world.directory.people[0].person.employee_id));
    CHECK_FALSE(page.cacheable);
  }
  CHECK(world.help_desk.calls.empty());
}

TEST_CASE("the manager answers once, by either button") {
  Manager world;
  SECTION("known") {
    CHECK(world.Place(kFilled + "&answer=known&number=048+213") == "/caller/known");
    CHECK(world.help_desk.calls == std::vector<std::string>{"known 048 213 from 127.0.0.1"});
    CHECK(Shows(world.Look("/caller/known"), "Thank you"));
  }
  SECTION("unknown, without a number") {
    CHECK(world.Place(kFilled + "&answer=unknown") == "/caller/unknown");
    CHECK(world.help_desk.calls == std::vector<std::string>{"unknown  from 127.0.0.1"});
    CHECK(Shows(world.Look("/caller/unknown"), "It is stopped"));
  }
  SECTION("another number") {
    world.help_desk.right = false;
    CHECK(world.Place(kFilled + "&answer=known&number=000000") == "/caller/wrong");
    CHECK(Shows(world.Look("/caller/wrong"), "This was another number"));
  }
  CHECK(world.Send(world.Answer(kFilled + "&answer=known&number=048213")).status == 404);
  CHECK(world.help_desk.calls.size() == 1);
}

TEST_CASE("a number that is none is asked for again, and the link stays") {
  Manager world;
  const Response page = world.Send(world.Answer(kFilled + "&answer=known"));
  CHECK(page.status == 422);
  CHECK(Shows(page, "The number has six digits."));
  CHECK(Shows(page, "aria-describedby=\"number-hint problem\""));
  CHECK(world.help_desk.calls.empty());
}

TEST_CASE("a manager's link that is made up, used or late gets one answer") {
  Manager world;
  const std::string made_up(64, 'B');
  const Response unknown = world.Look("/caller?t=" + made_up);
  const Response nothing = world.Look("/caller");
  const Response posted = world.Send(world.Answer("t=" + made_up + "&answer=unknown"));
  world.help_desk.link_used = true;
  const Response used = world.Look(kAsked);
  for (const Response* answer : {&unknown, &nothing, &used, &posted}) {
    CHECK(answer->status == 404);
    CHECK(Shows(*answer, "This link is not good, or not any more."));
    CHECK_FALSE(Shows(*answer, "henry.desk"));
    CHECK_FALSE(Shows(*answer, "action=\"/caller\""));
  }
  // But for the address that the language's form comes back to.
  CHECK(Cut(unknown.body, made_up) == Cut(used.body, FakeHelpDesk::kToken));
}

TEST_CASE(
    "another site, another type, a second token or a third answer say nothing for a manager") {
  Manager world;
  const std::string form = kFilled + "&answer=unknown";
  Request other = world.Answer(form);
  other.headers["origin"] = "https://elsewhere.example";
  CHECK(world.Send(std::move(other)).status == 403);
  Request framed = world.Answer(form);
  framed.headers["sec-fetch-site"] = "cross-site";
  CHECK(world.Send(std::move(framed)).status == 403);
  Request json = world.Answer("{}");
  json.headers["content-type"] = "application/json";
  CHECK(world.Send(std::move(json)).status == 415);
  for (const std::string& bad : {form + "&" + kFilled, kFilled, kFilled + "&answer=perhaps",
                                 std::string("answer=unknown"), form + "&account=1"}) {
    INFO(bad);
    CHECK(world.Send(world.Answer(bad)).status == 400);
  }
  CHECK(world.help_desk.calls.empty());
}

TEST_CASE("too many wrong links of managers are told to wait; a server that cannot look says so") {
  Manager world;
  const std::string form = kFilled + "&answer=unknown";
  world.help_desk.error = Error{ErrorCode::kRateLimited, "Too many wrong links.", {}, 0};
  CHECK(world.Send(world.Answer(form)).status == 429);
  world.help_desk.error = Error{ErrorCode::kUnavailable, "The disk is full.", {}, 0};
  CHECK(world.Look(kAsked).status == 503);
  CHECK(world.Send(world.Answer(form)).status == 503);
}

TEST_CASE("the manager's page speaks the reader's language") {
  Manager world;
  Request request = world.Get(kAsked);
  request.headers.erase("cookie");
  request.headers["accept-language"] = "uk";
  CHECK(Shows(world.Send(std::move(request)), "Ця людина телефонує до служби підтримки?"));
}
