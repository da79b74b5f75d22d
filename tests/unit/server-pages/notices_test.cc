// "This was not me": the page behind a notice's link, and what administrators see of it.
#include <catch2/catch.hpp>

#include "fake_services.h"
#include "response_text.h"

using namespace keyferry;
using namespace keyferry::server;
using fake::FakeNotices;
using fake::World;

namespace {

const std::string kLink = std::string("/not-me?t=") + FakeNotices::kToken;
const std::string kLinkForm = std::string("t=") + FakeNotices::kToken;

struct Outside : World {
  Outside() : World(KEYFERRY_WEB_DIR) { fake::Populate(*this); }
  // As somebody who is not signed in.
  Response Look(const std::string& target) {
    Request request = Get(target);
    request.headers.erase("cookie");
    return Send(std::move(request));
  }
  Request Say(const std::string& form) {
    Request request = Post("/not-me", form);
    request.headers.erase("cookie");
    request.headers.erase("x-keyferry-csrf");
    return request;
  }
};

std::string Without(std::string text, const std::string& part) {
  for (std::size_t at; (at = text.find(part)) != std::string::npos;) text.erase(at, part.size());
  return text;
}

}  // namespace

TEST_CASE("the link shows what it is about, without a session, and changes nothing") {
  Outside world;
  for (int i = 0; i < 3; ++i) {  // a mail scanner, a preview, the person
    const Response page = world.Look(kLink);
    CHECK(page.status == 200);
    for (const char* part : {"A new password was set.", "henry.desk", "10.1.2.3",
                             "INC-9: forgot it &lt;b&gt;again&lt;/b&gt;", "method=\"post\""}) {
      INFO(part);
      CHECK(Contains(page, part));
    }
    CHECK_FALSE(Contains(page, "<b>"));
    CHECK_FALSE(Contains(page, "{{"));
    // What the directory has of the person is not on it.
    CHECK_FALSE(Contains(page, world.directory.people[2].person.phone));
  }
  CHECK(world.notices.calls.empty());
}

TEST_CASE("the button says it, once") {
  Outside world;
  const Response done = world.Send(world.Say(kLinkForm));
  CHECK(done.status == 303);
  CHECK(world.notices.calls == std::vector<std::string>{"object 7 from 127.0.0.1"});
  CHECK(Contains(world.Look("/not-me/done"), "It is stopped"));
  CHECK(world.Send(world.Say(kLinkForm)).status == 404);
  CHECK(world.notices.calls.size() == 1);
}

TEST_CASE("a link that is made up, used or late gets one answer") {
  Outside world;
  const std::string made_up(54, 'B');
  const Response unknown = world.Look("/not-me?t=" + made_up);
  const Response nothing = world.Look("/not-me");
  world.notices.notices[0].objected = 1;
  const Response used = world.Look(kLink);
  for (const Response* answer : {&unknown, &nothing, &used}) {
    CHECK(answer->status == 404);
    CHECK(Contains(*answer, "This link is not good, or not any more."));
    CHECK_FALSE(Contains(*answer, "henry.desk"));
    CHECK_FALSE(Contains(*answer, "action=\"/not-me\""));
  }
  // But for the address that the language's form comes back to.
  CHECK(Without(unknown.body, made_up) == Without(used.body, FakeNotices::kToken));
  CHECK(world.Send(world.Say("t=" + made_up)).status == 404);
}

TEST_CASE("another site, another type and a second token say nothing") {
  Outside world;
  Request other = world.Say(kLinkForm);
  other.headers["origin"] = "https://elsewhere.example";
  CHECK(world.Send(std::move(other)).status == 403);
  Request framed = world.Say(kLinkForm);
  framed.headers["sec-fetch-site"] = "cross-site";
  CHECK(world.Send(std::move(framed)).status == 403);
  Request json = world.Say("{}");
  json.headers["content-type"] = "application/json";
  CHECK(world.Send(std::move(json)).status == 415);
  CHECK(world.Send(world.Say(kLinkForm + "&" + kLinkForm)).status == 400);
  CHECK(world.Send(world.Say("")).status == 400);
  CHECK(world.notices.calls.empty());
}

TEST_CASE("too many wrong links are told to wait; a server that cannot look says so") {
  Outside world;
  world.notices.error = Error{ErrorCode::kRateLimited, "Too many wrong links.", {}, 0};
  CHECK(world.Send(world.Say(kLinkForm)).status == 429);
  world.notices.error = Error{ErrorCode::kUnavailable, "The disk is full.", {}, 0};
  CHECK(world.Look(kLink).status == 503);
  CHECK(world.Send(world.Say(kLinkForm)).status == 503);
}

TEST_CASE("the page speaks the reader's language") {
  Outside world;
  Request request = world.Get(kLink);
  request.headers.erase("cookie");
  request.headers["accept-language"] = "uk";
  const Response page = world.Send(std::move(request));
  CHECK(Contains(page, "Це зроблено не мною"));
  CHECK(Contains(page, "Задано новий пароль."));
}

TEST_CASE("every act and every state of a mail has words") {
  Outside world;
  for (int i = 0; i <= static_cast<int>(kLastNoticeKind); ++i) {
    const std::string key = std::string("notice_act.") + Name(static_cast<NoticeKind>(i));
    INFO(key);
    CHECK(world.catalog->HasText(key));
  }
  for (int i = 0; i <= static_cast<int>(NoticeRecord::Mail::kFailed); ++i) {
    const std::string key = std::string("notice_mail.") + Name(static_cast<NoticeRecord::Mail>(i));
    INFO(key);
    CHECK(world.catalog->HasText(key));
  }
}

TEST_CASE("an objection stands on Reports until an administrator has looked into it") {
  Outside world;
  const Response page = world.Send(world.Get("/reports"));
  CHECK(Contains(page, world.directory.people[8].person.login + " says: this was not me"));
  CHECK(Contains(page, "A security key was enrolled."));
  CHECK(Contains(page, "link, 192.0.2.9"));
  CHECK(Contains(page, "/reports/objections/8/lift"));
  const std::string csrf = std::string("csrf=") + World::kCsrf;
  CHECK(world.Send(world.Post("/reports/objections/8/lift", csrf)).status == 303);
  CHECK(world.notices.calls == std::vector<std::string>{"lift 8 by alice.admin"});
  CHECK(world.Send(world.Post("/reports/objections/x/lift", csrf)).status == 404);
  world.notices.error = Error{ErrorCode::kPermissionDenied, "It is your own doing.", {}, 0};
  CHECK(world.Send(world.Post("/reports/objections/8/lift", csrf)).status == 403);
  world.notices.error = Error{ErrorCode::kConflict, "Somebody else did.", {}, 0};
  CHECK(world.Send(world.Post("/reports/objections/8/lift", csrf)).status == 303);
}

TEST_CASE("the employee's page says that nothing is done for them, and what they were told of") {
  Outside world;
  const auto page = [&](std::size_t index) {
    return world.Send(world.Get("/employees/" + world.directory.people[index].person.id.Hex()));
  };
  const Response frozen = page(8);
  CHECK(Contains(frozen, "This person says: this was not me"));
  CHECK(Contains(frozen, "A security key was enrolled."));
  const Response told = page(2);
  CHECK_FALSE(Contains(told, "This person says"));
  CHECK(Contains(told, "Told to the person"));
  CHECK(Contains(told, "mailed"));
  CHECK_FALSE(Contains(page(1), "Told to the person"));
}
