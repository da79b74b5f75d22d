// The pages and routes of the second factor.
#include <algorithm>
#include <catch2/catch.hpp>

#include "fake_services.h"
#include "server/pages/qr.h"

using namespace keyferry;
using namespace keyferry::server;
using fake::World;

namespace {

std::string HeaderOf(const Response& response, std::string_view name) {
  for (const auto& [key, value] : response.headers) {
    if (key == name) return value;
  }
  return {};
}

std::string Csrf() { return std::string("csrf=") + World::kCsrf; }

struct Half : World {
  Half() : World(KEYFERRY_WEB_DIR) {
    fake::Populate(*this);
    sessions.incomplete = true;
  }
};

}  // namespace

TEST_CASE("a session that owes its second factor opens nothing else") {
  Half world;
  std::size_t owed = 0;
  for (const Route& route : world.browser->routes()) {
    if (route.needs.access == Access::kPublic || route.pattern.find('{') != std::string::npos)
      continue;
    INFO(Name(route.method) << " " << route.pattern);
    if (route.incomplete) {
      ++owed;
      continue;
    }
    Request request = world.Get(route.pattern);
    request.method = route.method;
    const int status = world.Send(std::move(request)).status;
    CHECK(status == (route.pattern.rfind("/api/", 0) == 0 ? 401 : 303));
  }
  CHECK(owed == 9);
}

TEST_CASE("a complete session has no use for the routes of an incomplete one") {
  World world(KEYFERRY_WEB_DIR);
  CHECK(world.Send(world.Get("/sign-in/code")).status == 303);
  CHECK(world.Send(world.Post("/sign-in/set-up", Csrf())).status == 303);
  CHECK(world.factors.calls.empty());
}

TEST_CASE("the code completes the session under a new cookie and goes on where it was") {
  Half world;
  const Response form = world.Send(world.Get("/sign-in/code?next=/keys"));
  CHECK(form.status == 200);
  CHECK(form.body.find("value=\"/keys\"") != std::string::npos);
  CHECK(form.body.find("<nav") == std::string::npos);
  const Response wrong =
      world.Send(world.Post("/sign-in/code", Csrf() + "&code=000000&next=/keys"));
  CHECK(wrong.status == 401);
  CHECK(HeaderOf(wrong, "Set-Cookie").empty());
  CHECK(wrong.body.find("000000") == std::string::npos);
  CHECK(world.Send(world.Post("/sign-in/code", "csrf=x&code=135790")).status == 403);
  const Response right =
      world.Send(world.Post("/sign-in/code", Csrf() + "&code=135790&next=/keys"));
  CHECK(right.status == 303);
  CHECK(HeaderOf(right, "Location") == "/keys");
  CHECK(HeaderOf(right, "Set-Cookie").find(World::kRenewedToken) != std::string::npos);
}

TEST_CASE("no site is gone on to but this one") {
  for (const char* next :
       {"https%3A%2F%2Fevil.example", "%2F%2Fevil.example", "%5Cevil", "/api/v1"}) {
    Half world;
    const Response right =
        world.Send(world.Post("/sign-in/code", Csrf() + "&code=135790&next=" + next));
    CHECK(HeaderOf(right, "Location") == "/");
  }
}

TEST_CASE("the secret is on one page, and after a mistake on none") {
  Half world;
  CHECK(world.Send(world.Get("/sign-in/set-up")).body.find("ABCD EFGH") == std::string::npos);
  CHECK(world.factors.calls.empty());
  const Response begun = world.Send(world.Post("/sign-in/set-up", Csrf()));
  CHECK(begun.status == 200);
  CHECK(begun.body.find("ABCD EFGH IJKL MNOP QRST UVWX YZ23 4567") != std::string::npos);
  CHECK(begun.body.find("<svg class=\"qr\"") != std::string::npos);
  CHECK_FALSE(begun.cacheable);
  const Response wrong =
      world.Send(world.Post("/sign-in/set-up/confirm", Csrf() + "&first=111111&second=111111"));
  CHECK(wrong.status == 401);
  CHECK(wrong.body.find("ABCD") == std::string::npos);
  CHECK(wrong.body.find("name=\"first\"") != std::string::npos);
  const Response done =
      world.Send(world.Post("/sign-in/set-up/confirm", Csrf() + "&first=111111&second=135790"));
  CHECK(done.status == 200);
  CHECK(done.body.find("abcd-efgh-ijkl-mnop") != std::string::npos);
  CHECK(HeaderOf(done, "Set-Cookie").find(World::kRenewedToken) != std::string::npos);
}

TEST_CASE("the API says what is owed and takes the code") {
  Half world;
  Request wrong = world.Post("/api/v1/session/code", Csrf() + "&code=000000");
  wrong.headers["x-keyferry-csrf"] = World::kCsrf;
  wrong.body = SecureBytes::CopyOf(std::string_view("code=000000"));
  const Response refused = world.Send(std::move(wrong));
  CHECK(refused.status == 403);
  CHECK(refused.body.find("wrong_code") != std::string::npos);
  Request right = world.Post("/api/v1/session/code", Csrf());
  right.headers["x-keyferry-csrf"] = World::kCsrf;
  right.body = SecureBytes::CopyOf(std::string_view("code=135790"));
  const Response done = world.Send(std::move(right));
  CHECK(done.status == 201);
  CHECK(done.body.find("\"second_factor\":\"done\"") != std::string::npos);
}

TEST_CASE("what is guarded wants a fresh proof, of people alone") {
  World world(KEYFERRY_WEB_DIR);
  fake::Populate(world);
  world.factors.stale = true;
  std::vector<std::string> guarded;
  for (const Route& route : world.browser->routes()) {
    // At the help desk the act alone: the guard knows (below).
    const std::string& pattern = route.pattern;
    if (pattern.rfind("/help-desk/", 0) == 0 && !pattern.ends_with("/act")) continue;
    if (route.WantsProof())
      guarded.push_back(std::string(Name(route.method)) + " " + route.pattern);
  }
  std::sort(guarded.begin(), guarded.end());
  CHECK(guarded == std::vector<std::string>{
                       "DELETE /api/v1/session/fido-keys/{id}",
                       "GET /api/v1/audit/export",
                       "POST /alarm/end",
                       "POST /alarm/keep",
                       "POST /api/v1/alarm/end",
                       "POST /api/v1/alarm/keep",
                       "POST /api/v1/approvals/{id}/approve",
                       "POST /api/v1/approvals/{id}/refuse",
                       "POST /api/v1/approvals/{id}/withdraw",
                       "POST /api/v1/employees/{id}/must-change",
                       "POST /api/v1/employees/{id}/password",
                       "POST /api/v1/employees/{id}/unlock",
                       "POST /api/v1/enrolments",
                       "POST /api/v1/enrolments/{id}/clear",
                       "POST /api/v1/keys/{device}/compromise",
                       "POST /api/v1/keys/{device}/deactivate",
                       "POST /api/v1/keys/{device}/resume",
                       "POST /api/v1/keys/{device}/suspend",
                       "POST /api/v1/objections/{number}/lift",
                       "POST /api/v1/session/fido-keys",
                       "POST /api/v1/session/fido-keys/challenge",
                       "POST /api/v1/session/fido-keys/{id}",
                       "POST /api/v1/tokens",
                       "POST /api/v1/tokens/{id}/revoke",
                       "POST /approvals/{id}",
                       "POST /approvals/{id}/withdraw",
                       "POST /audit/export",
                       "POST /employees/{id}/key",
                       "POST /employees/{id}/must-change",
                       "POST /employees/{id}/password",
                       "POST /employees/{id}/unlock",
                       "POST /enrolments/{id}/clear",
                       "POST /help-desk/requests/{id}/act",
                       "POST /keys/{id}/step",
                       "POST /me/app",
                       "POST /me/app/confirm",
                       "POST /me/password",
                       "POST /me/questions",
                       "POST /reports/objections/{number}/lift",
                       "POST /second-factor",
                       "POST /second-factor/confirm",
                       "POST /second-factors/{id}/reset",
                       "POST /sessions/fido-keys",
                       "POST /sessions/fido-keys/new",
                       "POST /sessions/fido-keys/{id}/name",
                       "POST /sessions/fido-keys/{id}/remove",
                       "POST /sessions/recovery-codes",
                       "POST /tokens",
                       "POST /tokens/{id}/revoke",
                   });
  const std::string request = "/help-desk/requests/" + std::string(32, '1');
  CHECK(world.Send(world.Post(request + "/act", Csrf() + "&version=3")).status == 403);
  CHECK(world.Send(world.Post(request + "/cancel", Csrf() + "&version=3")).status != 403);
  const Response refused = world.Send(world.Get("/api/v1/audit/export?format=csv"));
  CHECK(refused.status == 403);
  CHECK(refused.body.find("step_up_required") != std::string::npos);
  Request robot = world.Get("/api/v1/audit/export?format=csv");
  robot.headers.erase("cookie");
  robot.headers["authorization"] = std::string("Bearer ") + fake::FakeTokens::kSecret;
  world.tokens.scopes = {"audit:read"};
  CHECK(world.Send(std::move(robot)).status == 200);
}

TEST_CASE("a guarded form goes on after the code, without the password that was typed") {
  World world(KEYFERRY_WEB_DIR);
  fake::Populate(world);
  world.factors.stale = true;
  const std::string address =
      "/employees/" + world.directory.people[0].person.id.Hex() + "/password";
  const std::string form = Csrf() +
                           "&once=12345678&mode=type&reason=lost+%3Cb%3E&password=Typed-1!a"
                           "&again=Typed-1!a";
  const Response asks = world.Send(world.Post(address, form));
  CHECK(asks.status == 403);
  CHECK(asks.body.find("action=\"" + address + "\"") != std::string::npos);
  CHECK(asks.body.find("name=\"reason\" value=\"lost &lt;b&gt;\"") != std::string::npos);
  CHECK(asks.body.find("name=\"password\"") != std::string::npos);
  CHECK(asks.body.find("Typed-1") == std::string::npos);
  CHECK(asks.body.find("name=\"step_up_code\"") != std::string::npos);
  const Response wrong = world.Send(world.Post(address, form + "&step_up_code=000000"));
  CHECK(wrong.status == 401);
  CHECK(world.changes.started.empty());
  const Response done = world.Send(world.Post(address, form + "&step_up_code=135790"));
  CHECK(done.status == 303);
  REQUIRE(world.changes.started.size() == 1);
  CHECK(world.changes.started[0].reason == "lost <b>");
  CHECK(HeaderOf(done, "Set-Cookie").find(World::kRenewedToken) != std::string::npos);
}

TEST_CASE("a FIDO2 key's answer takes the code's place at sign-in and before guarded forms") {
  Half world;
  const std::string answer = fake::FakeFidoKeys::kAnswer;
  const Response form = world.Send(world.Get("/sign-in/code"));
  CHECK(form.body.find("data-fido=\"get\"") != std::string::npos);
  CHECK(form.body.find("data-challenge=\"/api/v1/session/code/challenge\"") != std::string::npos);
  CHECK(form.body.find("data-fido-without>") != std::string::npos);
  CHECK(form.body.find("/fido.js\"") != std::string::npos);
  const Response wrong =
      world.Send(world.Post("/sign-in/code", Csrf() + "&code=&assertion=AA.AA.AA.AA.&next=/keys"));
  CHECK(wrong.status == 401);
  CHECK(HeaderOf(wrong, "Set-Cookie").empty());
  CHECK(world
            .Send(world.Post("/sign-in/code",
                             Csrf() + "&assertion=" + std::string(kFidoAnswerBytes + 1, 'A')))
            .status == 400);
  const Response right = world.Send(
      world.Post("/sign-in/code", Csrf() + "&code=&assertion=" + answer + "&next=/keys"));
  CHECK(right.status == 303);
  CHECK(HeaderOf(right, "Location") == "/keys");
  CHECK(HeaderOf(right, "Set-Cookie").find(World::kRenewedToken) != std::string::npos);

  World whole(KEYFERRY_WEB_DIR);
  fake::Populate(whole);
  whole.factors.stale = true;
  const Response asks = whole.Send(whole.Post("/sessions/recovery-codes", Csrf()));
  CHECK(asks.status == 403);
  CHECK(asks.body.find("name=\"step_up_key\"") != std::string::npos);
  CHECK(whole.Send(whole.Post("/sessions/recovery-codes", Csrf() + "&step_up_code=&step_up_key=A"))
            .status == 401);
  const Response done = whole.Send(
      whole.Post("/sessions/recovery-codes", Csrf() + "&step_up_code=&step_up_key=" + answer));
  CHECK(done.status == 200);
  CHECK(HeaderOf(done, "Set-Cookie").find(World::kRenewedToken) != std::string::npos);
}

TEST_CASE("where there are no FIDO2 keys the pages say nothing of them") {
  Half world;
  world.fido.keys.clear();
  CHECK(world.Send(world.Get("/sign-in/code")).body.find("fido") == std::string::npos);
  CHECK(world.Send(world.Get("/sign-in/set-up")).body.find("data-fido") != std::string::npos);
  world.services.fido = nullptr;
  CHECK(world.Send(world.Get("/sign-in/set-up")).body.find("fido") == std::string::npos);
  // An answer of a key is then no code either.
  CHECK(
      world.Send(world.Post("/sign-in/code", Csrf() + "&assertion=" + fake::FakeFidoKeys::kAnswer))
          .status == 401);
}

TEST_CASE("a FIDO2 key is the first factor at sign-in, and its recovery codes are shown once") {
  Half world;
  const std::string form = Csrf() +
                           "&name=%D1%81%D0%B8%D0%BD%D1%96%D0%B9&credential=AA.AA"
                           "&transports=usb%2Cnfc&next=/keys";
  world.fido.error = Error{ErrorCode::kUnauthenticated, "The answer was not accepted.", "why", 0};
  const Response refused = world.Send(world.Post("/sign-in/set-up/key", form));
  CHECK(refused.status == 401);
  CHECK(refused.body.find("The answer was not accepted.") != std::string::npos);
  CHECK(refused.body.find("abcd-efgh") == std::string::npos);
  world.fido.error.reset();
  const Response done = world.Send(world.Post("/sign-in/set-up/key", form));
  CHECK(done.status == 200);
  CHECK(done.body.find("abcd-efgh-ijkl-mnop") != std::string::npos);
  CHECK(HeaderOf(done, "Set-Cookie").find(World::kRenewedToken) != std::string::npos);
  CHECK(world.fido.calls[1] == "add синій usb nfc");
}

TEST_CASE("the API speaks with FIDO2 keys as the pages do") {
  World world(KEYFERRY_WEB_DIR);
  fake::Populate(world);
  const auto post = [&](const std::string& target, const std::string& body, bool json) {
    Request request = world.Post(target, body);
    if (json) request.headers["content-type"] = "application/json";
    request.headers["x-keyferry-csrf"] = World::kCsrf;
    return world.Send(std::move(request));
  };
  const Response options = post("/api/v1/session/step-up/challenge", "", true);
  CHECK(options.status == 200);
  CHECK(
      options.body ==
      R"({"challenge":"Y2hhbGxlbmdl","timeout":300000,"rpId":"corp.example","allowCredentials":[)"
      R"({"type":"public-key","id":"aWQ","transports":["usb"]}],"userVerification":"preferred"})");
  const Response create = post("/api/v1/session/fido-keys/challenge", "", true);
  CHECK(create.body.find(R"("attestation":"none")") != std::string::npos);
  CHECK(create.body.find(R"("pubKeyCredParams":[{"type":"public-key","alg":-7},)") !=
        std::string::npos);
  CHECK(create.body.find(R"("excludeCredentials":[{"type":"public-key","id":"aWQ")") !=
        std::string::npos);
  CHECK(post("/api/v1/session/step-up", "", false).status == 400);
  CHECK(post("/api/v1/session/step-up", "code=135790&assertion=x", false).status == 400);
  CHECK(post("/api/v1/session/step-up", "assertion=x", false).status == 403);
  world.fido.error = Error{ErrorCode::kUnauthenticated, "No.", {}, 0};
  const std::string offer = R"({"name":"n","credential":"AA.AA","transports":[]})";
  const Response refused = post("/api/v1/session/fido-keys", offer, true);
  CHECK(refused.status == 403);
  CHECK(refused.body.find("wrong_code") != std::string::npos);
  const Response proven = post("/api/v1/session/step-up",
                               std::string("assertion=") + fake::FakeFidoKeys::kAnswer, false);
  CHECK(proven.status == 201);
}

TEST_CASE("sessions and second factors of many are found by name, the very name first") {
  World world(KEYFERRY_WEB_DIR);
  fake::Populate(world);
  const AccountId account = world.directory.people[1].person.id;
  world.factors.factors.clear();
  const auto add = [&](const std::string& login) {
    Session session;
    session.id.bytes[0] = static_cast<std::uint8_t>(world.factors.factors.size());
    session.id.bytes[1] = 0x77;
    session.actor.id = account;
    session.actor.login = login;
    world.sessions.sessions["of " + login] = session;
    world.factors.factors.push_back({account, login, 1'700'000'000'000, 8, true, 0});
  };
  for (int i = 0; i < 60; ++i) add("anna" + std::to_string(i) + ".x");
  add("Anna");
  add("bob");
  const auto count = [](const std::string& text, const std::string& part) {
    std::size_t found = 0;
    for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; ++at) ++found;
    return found;
  };
  const std::string all = world.Send(world.Get("/sessions")).body;
  // The agent's session is among them.
  CHECK(count(all, "<strong>anna") + count(all, "<strong>Anna") +
            count(all, "<strong>henry.desk") ==
        50);
  CHECK(count(all, "There are more than are shown; look for a name.") == 2);
  const std::string some = world.Send(world.Get("/sessions?person=ANNA")).body;
  CHECK(count(some, "<strong>Anna</strong>") == 2);
  CHECK(count(some, "<strong>bob</strong>") == 0);
  CHECK(some.find("<strong>Anna</strong>") < some.find("<strong>anna"));
  const std::string one = world.Send(world.Get("/sessions?person=bob")).body;
  CHECK(count(one, "<strong>bob</strong>") == 2);
  CHECK(count(one, "look for a name") == 0);
  const std::string none = world.Send(world.Get("/sessions?person=%3Cscript%3E")).body;
  CHECK(none.find("Nobody with such a name") != std::string::npos);
  CHECK(none.find("value=\"<script>") == std::string::npos);
  CHECK(world.Send(world.Get("/sessions?person=" + std::string(129, 'x'))).status == 404);
  // Who sees nobody else looks for nobody.
  Request agent = world.Get("/sessions");
  agent.headers["cookie"] = std::string(kSessionCookie) + "=" + World::kHelpDeskToken;
  CHECK(world.Send(std::move(agent)).body.find("role=\"search\"") == std::string::npos);
}

TEST_CASE("a QR code has its three finder patterns and one size a text") {
  const auto image = MakeQr(SecureBytes::CopyOf(std::string_view("otpauth://totp/x?secret=A")));
  REQUIRE(image);
  CHECK((image->size - 17) % 4 == 0);
  // Seven dark modules at the top of the left and of the right finder.
  CHECK(image->path.rfind("M0 0h7v1h-7z", 0) == 0);
  CHECK(image->path.find("M" + std::to_string(image->size - 7) + " 0h7v1h-7z") !=
        std::string::npos);
  CHECK(image->path.find("M0 " + std::to_string(image->size - 1) + "h7") != std::string::npos);
  CHECK_FALSE(MakeQr(SecureBytes()));
  CHECK_FALSE(MakeQr(SecureBytes(1001)));
}

TEST_CASE("employees set an app up with their password, typed once more") {
  World world(KEYFERRY_WEB_DIR);
  fake::Populate(world);
  Session session = world.sessions.sessions.at(World::kToken);
  session.actor.id = world.directory.people[0].person.id;
  session.actor.roles = Role::kEmployee;
  world.sessions.sessions[World::kToken] = session;
  CHECK(world.Send(world.Get("/me")).body.find("href=\"/me/app?next=/me\"") != std::string::npos);
  CHECK(world.Send(world.Get("/me/app?next=/me")).body.find("name=\"password\"") !=
        std::string::npos);
  for (const char* typed : {"", "&password=", "&password=wrong"}) {
    INFO(typed);
    const Response refused = world.Send(world.Post("/me/app", Csrf() + typed));
    CHECK(refused.status >= 400);
    CHECK(refused.body.find(fake::FakeSecondFactor::kSecret) == std::string::npos);
  }
  CHECK(world.factors.calls.empty());
  const Response begun = world.Send(world.Post("/me/app", Csrf() + "&next=/me&password=right"));
  CHECK(begun.status == 200);
  CHECK(begun.body.find("action=\"/me/app/confirm\"") != std::string::npos);
  CHECK(begun.body.find("data-secret") != std::string::npos);
  const Response done =
      world.Send(world.Post("/me/app/confirm", Csrf() + "&next=/me&first=135791&second=135790"));
  CHECK(done.status == 200);
  CHECK(done.body.find(fake::FakeSecondFactor::kRecovery) != std::string::npos);
  CHECK(done.body.find("href=\"/me\"") != std::string::npos);
}

TEST_CASE("where an app is set up, or nobody is asked for one, none is offered") {
  World world(KEYFERRY_WEB_DIR);
  fake::Populate(world);
  Session& session = world.sessions.sessions.at(World::kToken);
  session.actor.id = world.directory.people[0].person.id;
  const auto offered = [&world] {
    return world.Send(world.Get("/me")).body.find("/me/app") != std::string::npos;
  };
  CHECK(offered());
  world.factors.factors.push_back({session.actor.id, session.actor.login, 1'700'000'000'000, 8});
  CHECK_FALSE(offered());
  world.factors.factors.clear();
  world.factors.on = false;
  CHECK_FALSE(offered());
}
