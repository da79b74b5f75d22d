// The page of everybody's own.
#include <catch2/catch.hpp>

#include "fake_services.h"
#include "response_text.h"
#include "server/core/four_eyes.h"
#include "server/pages/frame.h"

using namespace keyferry;
using namespace keyferry::server;
using fake::MakeId;
using fake::World;

namespace {

std::string HeaderOf(const Response& response, std::string_view name) {
  for (const auto& [key, value] : response.headers) {
    if (key == name) return value;
  }
  return {};
}

std::string Csrf() { return std::string("csrf=") + World::kCsrf; }

// The first employee of the company is signed in, without a role.
struct Employee : World {
  Employee() : World(KEYFERRY_WEB_DIR) {
    fake::Populate(*this);
    Session session;
    const Person& person = directory.people[0].person;
    session.id = MakeId<SessionId>(0x21);
    session.actor = {person.id, person.login, person.display_name, Role::kEmployee, "127.0.0.1"};
    session.csrf = kCsrf;
    sessions.sessions["own"] = session;
  }
  Response As(Request request) {
    request.headers["cookie"] = std::string(kSessionCookie) + "=own";
    return Send(std::move(request));
  }
  AccountState& state() { return directory.people[0].state; }
};

}  // namespace

TEST_CASE("employees see their account, keys, newest password and sessions") {
  Employee world;
  const Response page = world.As(world.Get("/me"));
  CHECK(page.status == 200);
  const Person& person = world.directory.people[0].person;
  CHECK(Contains(page.body, person.display_name));
  CHECK(Contains(page.body, "Authenticator app"));
  CHECK(Contains(page.body, "(this one)"));
  // Nothing of the menus, and no way to others.
  for (const char* gone : {"href=\"/employees", "href=\"/sessions\"", "href=\"/help-desk",
                           "href=\"/keys", "href=\"/alarm\"", "/end-sessions"}) {
    INFO(gone);
    CHECK_FALSE(Contains(page.body, gone));
  }
}

TEST_CASE("who set a password and why, and where it was, is not told to its person") {
  Employee world;
  auto& history = world.changes.history[world.directory.people[0].person.id];
  if (history.empty()) history.emplace_back();
  ChangeView& newest = history.front();
  newest.actor_login = "agent-of-the-desk";
  newest.reason = "INC-17: says they forgot";
  newest.error = "DC-9 says no";
  newest.last_error = "SPOOL-ERROR";
  newest.workstation = "WS-SECRET-7";
  newest.server = "dc-secret.corp.example";
  for (KeyDelivery& key : newest.keys) {
    key.workstation = "WS-SECRET-7";
    key.last_error = "SPOOL-ERROR";
  }
  newest.sources.clear();
  world.state().is_protected = true;
  world.state().protected_reason = "member of Secret Admins";
  const Response page = world.As(world.Get("/me"));
  CHECK(page.status == 200);
  CHECK(Contains(page.body, "data-step=\"ad\""));
  for (const char* hidden : {"agent-of-the-desk", "INC-17", "DC-9", "SPOOL-ERROR", "WS-SECRET-7",
                             "dc-secret", "Secret Admins"}) {
    INFO(hidden);
    CHECK_FALSE(Contains(page.body, hidden));
  }
}

TEST_CASE("what has become of the account is said with what to do") {
  Employee world;
  AccountState& state = world.state();
  state = AccountState();
  state.password_last_set = 133'500'000'000'000'000;  // 2024-01-17
  state.password_expires = 1'893'456'000;             // 2030-01-01
  CHECK(Contains(world.As(world.Get("/me")).body, "2024"));
  CHECK(Contains(world.As(world.Get("/me")).body, "2030"));
  state.locked = state.must_change = true;
  const std::string body = world.As(world.Get("/me")).body;
  CHECK(Contains(body, "have locked your account"));
  CHECK(Contains(body, "has to be changed at your next sign-in"));
  CHECK_FALSE(Contains(body, "has expired"));
  state = AccountState();
  state.password_never_expires = true;
  state.password_expires = 1'893'456'000;
  CHECK_FALSE(Contains(world.As(world.Get("/me")).body, "2030"));
}

TEST_CASE("sign-in leads employees to their own place, whatever page was asked for") {
  Employee world;
  const Session own = world.sessions.sessions.at("own");
  CHECK(PlaceOf(own, "/") == "/me");
  CHECK(PlaceOf(own, "/employees") == "/me");
  CHECK(PlaceOf(own, "/mean") == "/me");
  CHECK(PlaceOf(own, "/me") == "/me");
  CHECK(PlaceOf(own, "/me/app") == "/me/app");
  CHECK(PlaceOf(world.sessions.sessions.at(World::kToken), "/keys") == "/keys");
  CHECK(HeaderOf(world.As(world.Get("/")), "Location") == "/me");
  CHECK(HeaderOf(world.Send(world.Get("/")), "Location") == "/employees");
  CHECK(world.As(world.Get("/employees")).status == 403);
  CHECK(Contains(world.As(world.Get("/employees")).body, "href=\"/me\""));
}

TEST_CASE("employees end their other sessions, and sign out") {
  Employee world;
  CHECK_FALSE(Contains(world.As(world.Get("/me")).body, "/me/end-others"));
  Session second = world.sessions.sessions.at("own");
  second.id = MakeId<SessionId>(0x22);
  world.sessions.sessions["second"] = second;
  CHECK(Contains(world.As(world.Get("/me")).body, "/me/end-others"));
  const Response ended = world.As(world.Post("/me/end-others", Csrf()));
  CHECK(ended.status == 303);
  CHECK(HeaderOf(ended, "Location") == "/me");
  CHECK(world.sessions.calls ==
        std::vector<std::string>{"end all but " + MakeId<SessionId>(0x21).Hex() + " by " +
                                 second.actor.login});
  CHECK(world.As(world.Post("/sign-out", Csrf())).status == 303);
  CHECK(world.sessions.sessions.count("own") == 0);
}

TEST_CASE("who has a role finds the page as well") {
  Employee world;
  CHECK(Contains(world.Send(world.Get("/employees")).body, "href=\"/me\""));
}

TEST_CASE("answers to security questions are set on a page of their own, and never shown again") {
  Employee world;
  CHECK(Contains(world.As(world.Get("/me")).body, "href=\"/me/questions\""));
  Response page = world.As(world.Get("/me/questions"));
  CHECK(page.status == 200);
  CHECK(Contains(page.body, "Which school?"));
  CHECK(Contains(page.body, "name=\"answer_3\""));
  CHECK_FALSE(Contains(page.body, "name=\"answer_4\""));
  Request ukrainian = world.Get("/me/questions");
  ukrainian.headers["accept-language"] = "uk";
  CHECK(Contains(world.As(std::move(ukrainian)).body, "Що school?"));
  const std::string form =
      Csrf() +
      "&password=right&question_1=school&answer_1=First%20Secret&question_2=toy&answer_2=second-"
      "secret&question_3=dream&answer_3=third-secret";
  world.questions.error = Error{ErrorCode::kInvalidArgument, "Two answers are the same.", {}, 0};
  page = world.As(world.Post("/me/questions", form));
  CHECK(page.status == 422);
  CHECK(Contains(page.body, "Two answers are the same."));
  CHECK(Contains(page.body, "<option value=\"toy\" selected>"));
  CHECK_FALSE(Contains(page.body, "ecret"));
  CHECK_FALSE(Contains(page.body, "right\""));
  world.questions.error.reset();
  page = world.As(world.Post("/me/questions", form));
  CHECK(page.status == 303);
  CHECK(HeaderOf(page, "Location") == "/me");
  CHECK(world.questions.calls.back() == world.directory.people[0].person.login +
                                            " right school=First Secret toy=second-secret "
                                            "dream=third-secret");
}

TEST_CASE("employees set a new password for themselves, and nothing is told that is not theirs") {
  Employee world;
  world.changes.preflight.key_seen = true;
  world.changes.preflight.seen_at = "WS-SECRET-7";
  CHECK(Contains(world.As(world.Get("/me")).body, "href=\"/me/password\""));
  Response page = world.As(world.Get("/me/password"));
  CHECK(page.status == 200);
  CHECK(Contains(page.body, "action=\"/me/password\""));
  CHECK(Contains(page.body, "name=\"present\""));
  CHECK(Contains(page.body, "Your key is connected"));
  for (const char* gone : {"WS-SECRET-7", "/employees", "name=\"reason\""}) {
    INFO(gone);
    CHECK_FALSE(Contains(page.body, gone));
  }
  const std::string form = Csrf() + "&once=0123456789abcdef&mode=generate&when=now&reason=x";
  for (const char* present : {"", "&present=wrong"}) {
    page = world.As(world.Post("/me/password", form + present));
    CHECK(page.status == 401);
    CHECK(Contains(page.body, "This is not your password."));
    CHECK_FALSE(Contains(page.body, "wrong"));
    CHECK(world.changes.started.empty());
  }
  page = world.As(world.Post("/me/password", form + "&present=right"));
  CHECK(page.status == 303);
  CHECK(HeaderOf(page, "Location") == "/me");
  REQUIRE(world.changes.started.size() == 1);
  CHECK(world.changes.started.front().actor == world.directory.people[0].person.login);
  CHECK(world.changes.started.front().reason.empty());
  CHECK(world.changes.started.front().generate);
}

TEST_CASE("who has a second factor proves with that, and the present password is not asked for") {
  Employee world;
  world.factors.factors = {{world.directory.people[0].person.id, "somebody", 1, 10, true, 0}};
  CHECK_FALSE(Contains(world.As(world.Get("/me/password")).body, "name=\"present\""));
  const std::string form = Csrf() + "&once=0123456789abcdef&mode=generate";
  world.factors.stale = true;
  CHECK(world.As(world.Post("/me/password", form)).status == 403);
  CHECK(world.changes.started.empty());
  world.factors.stale = false;
  CHECK(world.As(world.Post("/me/password", form)).status == 303);
  CHECK(world.changes.started.size() == 1);
  // A factor that nobody is asked for proves nothing.
  world.factors.on = false;
  CHECK(world.As(world.Post("/me/password", form)).status == 401);
  CHECK(world.changes.started.size() == 1);
}

TEST_CASE("what keeps somebody from a new password of their own is said with the next step") {
  Employee world;
  world.changes.preflight.allowed = false;
  world.changes.preflight.reason = "This account has expired; extend it first.";
  CHECK(Contains(world.As(world.Get("/me/password")).body, "has expired"));
  world.state().is_protected = true;
  world.changes.preflight.reason = "This is a protected account (member of Secret Admins).";
  Response page = world.As(world.Get("/me/password"));
  CHECK_FALSE(Contains(page.body, "Secret Admins"));
  CHECK(Contains(page.body, "call your help desk"));
  world.changes.preflight.allowed = true;
  world.changes.start_error = {ErrorCode::kPermissionDenied, "It is in Secret Admins.", {}, 0};
  const std::string form = Csrf() + "&once=0123456789abcdef&mode=generate&present=right";
  page = world.As(world.Post("/me/password", form));
  CHECK(page.status == 403);
  CHECK_FALSE(Contains(page.body, "Secret Admins"));
  CHECK(Contains(page.body, "call your help desk"));
  // A second person has to approve it: there is no page of approvals for employees.
  world.changes.start_error = {ErrorCode::kConflict, "A second person has to approve this first.",
                               std::string(kApprovalDetail) + ": " + std::string(32, '1'), 0};
  page = world.As(world.Post("/me/password", form));
  CHECK(page.status == 409);
  CHECK(Contains(page.body, "A second person has to approve"));
}

TEST_CASE("whoever works here sets no password for themselves") {
  Employee world;
  CHECK_FALSE(Contains(world.Send(world.Get("/me")).body, "/me/password"));
  CHECK(world.Send(world.Get("/me/password")).status == 403);
  CHECK(world.Send(world.Post("/me/password", Csrf() + "&once=0123456789abcdef&mode=generate"))
            .status == 403);
  CHECK(world.changes.started.empty());
}

TEST_CASE("what is set up of the questions is told, and what is missing since they were changed") {
  Employee world;
  const auto says = [&world](const std::string& words) {
    return Contains(world.As(world.Get("/me")).body, words);
  };
  CHECK(says("Set answers"));
  world.questions.standing = {{"school", "toy", "dream"}, 1'700'000'000'000};
  CHECK(says("Set other answers"));
  CHECK_FALSE(says("Questions are missing"));
  world.questions.standing.answered = {"school"};
  CHECK(says("Questions are missing"));
}
