// What the pages show in each state.
#include <catch2/catch.hpp>
#include <regex>

#include "fake_services.h"
#include "response_text.h"
#include "server/pages/models.h"

using namespace keyferry;
using namespace keyferry::server;
using fake::World;

namespace {

std::string PageOf(std::uint8_t number) {
  return "/employees/" + fake::MakeId<AccountId>(number).Hex();
}

const std::vector<std::string> kHostile = {"<script>alert(1)</script>",
                                           "\"><img src=x onerror=alert(1)>",
                                           "' onmouseover='alert(1)",
                                           "{{t.lang}}{{{x}}}",
                                           "</title><svg/onload=alert(1)>",
                                           "&lt;b&gt;",
                                           "javascript:alert(1)",
                                           "\xE2\x80\xAEtxt.exe",
                                           "%1%2%3",
                                           "a\xC3\xA9\xF0\x9F\x98\x80"};

}  // namespace

TEST_CASE("every page renders, stays small, and loads nothing inline or from elsewhere") {
  World world(KEYFERRY_WEB_DIR);
  fake::Populate(world);
  std::vector<std::string> pages = {
      "/sign-in",  "/employees",        "/employees?query=zzzz",
      "/keys",     "/workstations",     "/audit",
      "/check-up", "/help-desk",        "/help-desk?query=a",
      "/reports",  "/keys?state=alarm", "/reports/changes?list=pending",
      "/nothing",  PageOf(5) + "/key",  "/enrolments/" + world.keys.enrolment.id.Hex()};
  for (const KeyView& key : world.keys.keys) pages.push_back("/keys/" + key.device.Hex());
  for (std::uint8_t i = 1; i < 6; ++i) {
    pages.push_back(PageOf(i));
    pages.push_back(PageOf(i) + "/password");
  }
  static const std::regex kInline(
      R"(<style|\sstyle=|\son\w+=|<script(?! type="module" src="/assets/)|(src|href|action)="(?!/|#))");
  for (const std::string& page : pages) {
    INFO(page);
    const Response response = world.Send(world.Get(page));
    CHECK(response.status == (page == "/nothing" ? 404 : 200));
    CHECK(response.body.size() < 100 * 1024);
    CHECK_FALSE(std::regex_search(response.body, kInline));
    CHECK_FALSE(Contains(response.body, "{{"));
    CHECK(Contains(response.body, "<html lang=\"en\" dir=\"ltr\">"));
    CHECK(Contains(response.body, "<main id=\"main\""));
  }
}

TEST_CASE("a key's page offers the steps that its state and the role allow") {
  World world(KEYFERRY_WEB_DIR);
  fake::Populate(world);
  KeyView& key = world.keys.keys[0];
  key.state = KeyState::kActive;
  const std::string page = "/keys/" + key.device.Hex();
  const auto body = [&] { return world.Send(world.Get(page)).body; };
  CHECK(Contains(body(), "step-suspend"));
  CHECK(Contains(body(), "step-deactivate"));
  CHECK_FALSE(Contains(body(), "step-resume"));
  key.firmware = 0x00010203;
  CHECK(Contains(body(), ">1.2.3<"));
  key.state = KeyState::kSuspended;
  key.state_reason = "left at home";
  CHECK(Contains(body(), "step-resume"));
  CHECK(Contains(body(), "left at home"));
  key.state = KeyState::kCompromised;
  CHECK_FALSE(Contains(body(), "name=\"step\""));
  CHECK(Contains(body(), "may still hold a password"));
  key.wiped = 5;
  CHECK(Contains(body(), "proved it"));
  CHECK(world.Send(world.Get("/keys/" + std::string(32, 'f'))).status == 404);

  key.state = KeyState::kActive;
  const std::string csrf = std::string("csrf=") + World::kCsrf;
  Response answer = world.Send(world.Post(page + "/step", csrf + "&step=suspend&reason="));
  CHECK(answer.status == 422);
  CHECK(Contains(answer.body, "Give a reason"));
  answer = world.Send(world.Post(page + "/step", csrf + "&step=explode&reason=why"));
  CHECK(answer.status == 422);
  CHECK(Contains(answer.body, "Choose what to do"));
  CHECK(world.keys.calls.empty());
  answer = world.Send(world.Post(page + "/step", csrf + "&step=suspend&reason=left+at+home"));
  CHECK(answer.status == 303);
  REQUIRE(world.keys.calls.size() == 1);
  CHECK(Contains(world.keys.calls[0], " 0 left at home"));
}

TEST_CASE("hostile values of directory, keys and workstations stay text") {
  for (const std::string& text : kHostile) {
    INFO(text);
    World world(KEYFERRY_WEB_DIR);
    fake::Populate(world);
    auto& person = world.directory.people[0].person;
    person.display_name = person.login = person.title = person.department = person.mail =
        person.phone = person.employee_id = person.upn = text;
    world.directory.people[0].state.is_protected = true;
    world.directory.people[0].state.protected_reason = text;
    for (ChangeView& change : world.changes.history[person.id]) {
      change.reason = change.actor_login = change.error = change.last_error = change.workstation =
          change.receipt_hash = change.server = text;
    }
    world.keys.keys[0].display_name = world.keys.keys[0].login = world.keys.keys[0].seen_at =
        world.keys.keys[0].alarm = world.keys.keys[0].state_reason = text;
    world.keys.unassigned[0].workstation_name = text;
    world.workstations.workstations[0].name = world.workstations.workstations[0].os =
        world.workstations.workstations[0].fingerprint = text;
    auto& row = world.audit.rows[0];
    row.actor = row.action = row.target = row.detail = row.outcome = row.address = row.hash = text;
    auto& finding = world.check_up.report.findings[0];
    finding.what = finding.cause = finding.fix = text;
    world.changes.preflight.seen_at = text;
    world.sessions.sessions[World::kToken].actor.display_name = text;
    const std::string raw_tag = text.substr(0, text.find('>') + 1);
    for (const std::string& page :
         {std::string("/employees"), PageOf(1), PageOf(1) + "/password", PageOf(1) + "/key",
          std::string("/keys"), "/keys/" + world.keys.keys[0].device.Hex(),
          std::string("/workstations"), std::string("/audit"), std::string("/check-up")}) {
      INFO(page);
      const Response response = world.Send(world.Get(page));
      CHECK(response.status == 200);
      for (const char* live :
           {"<script>alert", "<img src=x", "<svg/onload", " onmouseover='", "</title><svg"}) {
        CHECK_FALSE(Contains(response.body, live));
      }
    }
    const Response search =
        world.Send(world.Post("/sign-in", "name=%22%3E%3Cscript%3E&password=x"));
    CHECK_FALSE(Contains(search.body, "\"><script>"));
  }
}

TEST_CASE("the check-up is shown worst first, with what to copy, and is run by a button only") {
  World world(KEYFERRY_WEB_DIR);
  Response page = world.Send(world.Get("/check-up"));
  CHECK(page.status == 200);
  CHECK(Contains(page.body, "Nobody has checked yet"));
  CHECK(Contains(page.body, "href=\"/check-up\" aria-current=\"page\""));
  CHECK(world.check_up.runs == 0);
  page = world.Send(world.Post("/check-up", "csrf=" + std::string(World::kCsrf)));
  CHECK(page.status == 303);
  CHECK(world.check_up.runs == 1);
  CHECK(world.Send(world.Post("/check-up", "csrf=wrong")).status == 403);
  CHECK(world.check_up.runs == 1);
  fake::Populate(world);
  page = world.Send(world.Get("/check-up"));
  const auto at = [&](const char* text) {
    INFO(text);
    const std::size_t found = page.body.find(text);
    CHECK(found != std::string::npos);
    return found;
  };
  CHECK(at("right Reset Password") < at("service account: password"));
  CHECK(at("service account: password") < at("database: whole"));
  at("<code>dsacls &quot;OU=Branch");
  at("<p class=\"muted\">or, on Samba:</p>");
  at("Problems: 1, warnings: 1.");
}

TEST_CASE("the employee page tells the road of the newest password") {
  World world(KEYFERRY_WEB_DIR);
  fake::Populate(world);
  const auto show = [&](std::uint8_t number) { return world.Send(world.Get(PageOf(number))).body; };
  SECTION("delivered: four steps done, receipt shown, earlier changes without steps") {
    const std::string page = show(1);
    for (const char* step : {"ad", "queued", "workstation", "delivered"}) {
      CHECK(Contains(page, std::string("data-step=\"") + step + "\" data-done=\"true\""));
    }
    CHECK(Contains(page, "data-step=\"used\" data-done=\"false\""));
    CHECK(Contains(page, "9f2c 4e7a b1d0"));
    CHECK(Contains(page, "2026-11-21T06:47:00.872Z"));
    CHECK_FALSE(Contains(page, "ahead of the key"));
    CHECK(page.find("data-step=\"ad\"") == page.rfind("data-step=\"ad\""));
  }
  SECTION("undelivered: Active Directory is ahead, with the next step and the last problem") {
    const std::string page = show(2);
    CHECK(Contains(page, "Active Directory is ahead of the key"));
    CHECK(Contains(page, "connect the key to an approved workstation"));
    CHECK(Contains(page, "The key was unplugged during the delivery."));
    CHECK(Contains(page, "data-step=\"delivered\" data-done=\"false\""));
    world.keys.keys[1].seen_at = "ward-3";
    CHECK(Contains(show(2), "The key is connected at ward-3"));
  }
  SECTION("unknown: being checked, do not repeat") {
    const std::string page = show(3);
    CHECK(Contains(page, "being checked"));
    CHECK(Contains(page, "data-step=\"ad\" data-done=\"false\" data-now=\"true\""));
  }
  SECTION("failed: the reason, and that nothing changed") {
    const std::string page = show(4);
    CHECK(Contains(page, "it is in the password history."));
    CHECK(Contains(page, "Nothing was changed in Active Directory."));
    CHECK_FALSE(Contains(page, "data-now=\"true\""));
  }
  SECTION("at delivery: what it waits for, and that the old password works") {
    ChangeView& change = world.changes.history.at(fake::MakeId<AccountId>(1)).front();
    change = ChangeView{};
    change.account = fake::MakeId<AccountId>(1);
    change.mode = ChangeMode::kAtDelivery;
    change.created = 1'790'000'000'000;
    change.expires = change.created + 86'400'000;
    std::string page = show(1);
    CHECK(Contains(page, "Waiting for the key; Active Directory is unchanged"));
    CHECK(Contains(page, "The old password works"));
    CHECK(Contains(page, "is given up"));
    CHECK(Contains(page, "unchanged until the key is there"));
    CHECK(Contains(page, "data-step=\"prepared\" data-done=\"false\" data-now=\"true\""));
    CHECK(Contains(page, "data-step=\"ad\" data-done=\"false\" data-now=\"false\""));
    change.state = ChangeState::kHeld;
    change.job_state = JobState::kSpooled;
    change.queued = change.spooled = change.created + 1;
    page = show(1);
    CHECK(Contains(page, "The key is being prepared; Active Directory is unchanged"));
    CHECK(Contains(page, "data-step=\"workstation\" data-done=\"false\""));
    change.job_state = JobState::kHeld;
    change.prepared = change.created + 2;
    page = show(1);
    CHECK(Contains(page, "The key is prepared; Active Directory is next"));
    CHECK(Contains(page, "data-step=\"prepared\" data-done=\"true\""));
    CHECK(Contains(page, "data-step=\"delivered\" data-done=\"false\""));
    change.state = ChangeState::kFailed;
    change.error = "It is too new.";
    page = show(1);
    CHECK(Contains(page, "It is too new."));
    CHECK(Contains(page, "Active Directory and the key keep the old password."));
    change.incident = true;
    page = show(1);
    CHECK(Contains(page, "Nobody may know this person&apos;s password"));
    CHECK_FALSE(Contains(page, "keep the old password"));
    // Neither is it said beside it that nothing happened.
    CHECK(Contains(page, "It is too new."));
    CHECK(Contains(page, "Password not known"));
    CHECK_FALSE(Contains(page, "The last change did not happen"));
    change.state = ChangeState::kSuperseded;
    page = show(1);
    CHECK(Contains(page, "Password not known"));
    CHECK(Contains(page, "It is too new."));
  }
  SECTION("a key alarm is said above everything") {
    CHECK(Contains(show(7), "The key&apos;s counter went back"));
  }
}

TEST_CASE("the employee page says what is true at each password source") {
  World world(KEYFERRY_WEB_DIR);
  fake::Populate(world);
  ChangeView& newest = world.changes.history[fake::MakeId<AccountId>(1)].front();
  REQUIRE(newest.sources.size() == 1);
  SourceView& lab = newest.sources.front();
  const auto page = [&] { return world.Send(world.Get(PageOf(1))).body; };
  CHECK(Contains(page(), "data-source=\"Laboratory\" data-state=\"confirmed\""));
  CHECK_FALSE(Contains(page(), "does not have the new password"));
  lab.state = SourceState::kNotSet;
  lab.confirmed = 0;
  lab.error = "It is in the <history>. Set a new one for both.";
  CHECK(Contains(page(), "data-state=\"not_set\""));
  CHECK(Contains(page(), "Laboratory does not have the new password"));
  CHECK(Contains(page(), "It is in the &lt;history&gt;. Set a new one for both."));
  lab.state = SourceState::kUnknown;
  CHECK(Contains(page(), "It is not known whether Laboratory has the new password"));
  lab.state = SourceState::kSuperseded;
  CHECK(Contains(page(), "Not known"));
  lab.state = SourceState::kPlanned;
  CHECK(Contains(page(), "Waits"));
  newest.sources.clear();
  CHECK_FALSE(Contains(page(), "Other password sources"));
  auto& history = world.changes.history[fake::MakeId<AccountId>(1)];
  history.push_back(history.front());
  history.back().sources = {{"Laboratory", "anna", SourceState::kSuperseded, "", "", 0, 0}};
  CHECK(Contains(page(), "Laboratory: Not known"));
}

TEST_CASE("edit password: what is offered, what a mistake says, what Save does") {
  World world(KEYFERRY_WEB_DIR);
  fake::Populate(world);
  const std::string target = PageOf(1) + "/password";
  const std::string base = std::string("csrf=") + World::kCsrf + "&once=abcdefgh12345678";
  const auto save = [&](const std::string& more) {
    return world.Send(world.Post(target, base + more));
  };
  SECTION("generate is the default; typing only where it is allowed") {
    std::string page = world.Send(world.Get(target)).body;
    CHECK(std::regex_search(page, std::regex("value=\"generate\" checked")));
    CHECK(Contains(page, "name=\"again\""));
    world.changes.preflight.typing_allowed = false;
    page = world.Send(world.Get(target)).body;
    CHECK_FALSE(Contains(page, "name=\"password\""));
  }
  SECTION("each form has an idempotency key of its own") {
    static const std::regex kOnce("name=\"once\" value=\"([0-9a-f]{32})\"");
    std::smatch first, second;
    const std::string one = world.Send(world.Get(target)).body;
    const std::string two = world.Send(world.Get(target)).body;
    REQUIRE(std::regex_search(one, first, kOnce));
    REQUIRE(std::regex_search(two, second, kOnce));
    CHECK(first[1] != second[1]);
  }
  SECTION("no key: explained, no form") {
    world.changes.preflight.allowed = false;
    world.changes.preflight.reason = "This employee has no key.";
    world.changes.preflight.device.reset();
    const std::string page = world.Send(world.Get(target)).body;
    CHECK(Contains(page, "This employee has no key."));
    CHECK(Contains(page, PageOf(1) + "/key"));
    CHECK_FALSE(Contains(page, "name=\"once\""));
  }
  SECTION("save") {
    const Response done = save("&mode=generate&reason=INC-1%0D%0Aline");
    CHECK(done.status == 303);
    CHECK(done.headers[0].second == PageOf(1));
    REQUIRE(world.changes.started.size() == 1);
    CHECK(world.changes.started[0].generate);
    CHECK(world.changes.started[0].typed.empty());
    CHECK(world.changes.started[0].reason == "INC-1\nline");
    CHECK(world.changes.started[0].key == "abcdefgh12345678");
  }
  SECTION("typed twice, and never shown again") {
    CHECK(save("&mode=type&password=Kobzar-1840&again=Kobzar-1840").status == 303);
    CHECK(world.changes.started[0].typed == "Kobzar-1840");
    for (const char* more : {"&mode=type&password=Kobzar-1840&again=Kobzar-1841", "&mode=type",
                             "&mode=type&password=Kobzar-1840", "&mode=type&again=Kobzar-1840"}) {
      const Response page = save(more);
      CHECK(page.status == 422);
      CHECK(Contains(page.body, "id=\"typed-problem\""));
      CHECK_FALSE(Contains(page.body, "Kobzar"));
    }
    CHECK(world.changes.started.size() == 1);
  }
  SECTION("at delivery: chosen by hand, never typed") {
    CHECK(std::regex_search(world.Send(world.Get(target)).body,
                            std::regex("name=\"when\" id=\"when-now\" value=\"now\" checked")));
    CHECK(save("&mode=generate").status == 303);
    CHECK(world.changes.started.back().mode == ChangeMode::kNow);
    CHECK(save("&mode=generate&when=at_delivery").status == 303);
    CHECK(world.changes.started.back().mode == ChangeMode::kAtDelivery);
    const Response typed = save("&mode=type&when=at_delivery&password=a&again=a");
    CHECK(typed.status == 422);
    CHECK(Contains(typed.body, "A typed password can only be set now"));
    CHECK(save("&mode=generate&when=tomorrow").status == 400);
    CHECK(world.changes.started.size() == 2);
  }
  SECTION("password sources: boxes, what is ticked, and what is kept after a mistake") {
    std::string page = world.Send(world.Get(target)).body;
    const std::regex ticked("name=\"source0\" id=\"source0\" value=\"Laboratory\" checked>");
    const std::regex barred("name=\"source1\" id=\"source1\" value=\"Archive\" disabled>");
    CHECK(std::regex_search(page, ticked));
    CHECK(std::regex_search(page, barred));
    CHECK(Contains(page, "Account anna."));
    CHECK(Contains(page, "No account there."));
    CHECK(save("&mode=generate&sources=chosen&source0=Laboratory").status == 303);
    CHECK(world.changes.started.back().sources == std::vector<std::string>{"Laboratory"});
    CHECK(save("&mode=generate&sources=chosen").status == 303);
    CHECK(world.changes.started.back().sources == std::vector<std::string>{});
    CHECK(save("&mode=generate").status == 303);
    CHECK_FALSE(world.changes.started.back().sources);
    page = save("&mode=type&sources=chosen").body;
    CHECK_FALSE(std::regex_search(page, ticked));
    page = save("&mode=type&sources=chosen&source0=Laboratory").body;
    CHECK(std::regex_search(page, ticked));
    world.changes.preflight.sources.clear();
    page = world.Send(world.Get(target)).body;
    CHECK_FALSE(Contains(page, "source-first"));
    CHECK_FALSE(Contains(page, "name=\"sources\""));
  }
  SECTION("generated: a password in the form is not taken") {
    CHECK(save("&mode=generate&password=smuggled&again=smuggled").status == 303);
    CHECK(world.changes.started[0].typed.empty());
  }
  SECTION("errors of the service, in their place") {
    world.changes.start_error =
        Error{ErrorCode::kPolicyRefused, "Too short for the domain.", "", 0};
    CHECK(Contains(save("&mode=type&password=a&again=a").body,
                   "id=\"typed-problem\"><svg class=\"icon\" aria-hidden=\"true\"><use "
                   "href=\"#i-alert\"/></svg><span>Too short for the domain."));
    world.changes.start_error = Error{ErrorCode::kUnavailable, "No controller answers.", "", 0};
    const Response down = save("&mode=generate&reason=keep%20me");
    CHECK(down.status == 503);
    CHECK(Contains(down.body, "nothing was changed. No controller answers."));
    CHECK(Contains(down.body, ">keep me</textarea>"));
    world.changes.start_error = Error{ErrorCode::kOutcomeUnknown, "Being checked.", "", 0};
    CHECK(save("&mode=generate").status == 303);  // the employee's page shows how it goes on
  }
  SECTION("a damaged form") {
    CHECK(world.Send(world.Post(target, base + "&mode=other")).status == 400);
    CHECK(world
              .Send(world.Post(target,
                               std::string("csrf=") + World::kCsrf + "&once=short&mode=generate"))
              .status == 400);
    CHECK(save("&mode=generate&reason=" + std::string(600, 'r')).status == 422);
    CHECK(world.changes.started.empty());
  }
}

TEST_CASE("the activation code is in the one answer that made it") {
  World world(KEYFERRY_WEB_DIR);
  fake::Populate(world);
  const std::string form = std::string("csrf=") + World::kCsrf + "&device=" + std::string(32, 'd') +
                           "&workstation=" + std::string(32, 'e');
  const Response begun = world.Send(world.Post(PageOf(5) + "/key", form));
  CHECK(begun.status == 200);
  CHECK(
      Contains(begun.body, "<span>7KQM</span><span>2XWD</span><span>94TB</span><span>ZR6H</span>"));
  const Response later = world.Send(world.Get("/enrolments/" + world.keys.enrolment.id.Hex()));
  CHECK(later.status == 200);
  CHECK_FALSE(Contains(later.body, "7KQM"));
}

TEST_CASE("an enrolment is cleared from the employee's page, with a reason") {
  World world(KEYFERRY_WEB_DIR);
  fake::Populate(world);
  KeyView& key = world.keys.keys[0];
  key.enrolment = world.keys.enrolment.id;
  key.state = KeyState::kActive;
  const std::string link = "/enrolments/" + key.enrolment.Hex() + "/clear";
  const std::string person = "/employees/" + key.account.Hex();
  const auto offered = [&] { return Contains(world.Send(world.Get(person)).body, link); };
  CHECK(offered());
  key.state = KeyState::kReserved;
  CHECK(offered());
  key.state = KeyState::kDeactivated;
  CHECK_FALSE(offered());
  key.state = KeyState::kActive;
  Request desk = world.Get(person);
  desk.headers["cookie"] = std::string(kSessionCookie) + "=" + World::kHelpDeskToken;
  CHECK_FALSE(Contains(world.Send(std::move(desk)).body, link));

  // Who may reset a second factor as well finds the way to that of the same person, if there is
  // one.
  const std::string factor =
      "href=\"/sessions?person=somebody#factor-" + world.keys.enrolment.account.Hex() + "\"";
  world.factors.factors.clear();
  CHECK_FALSE(Contains(world.Send(world.Get(link)).body, "#factor-"));
  world.factors.factors = {{world.keys.enrolment.account, "somebody", 1, 10, true, 0}};
  CHECK(Contains(world.Send(world.Get(link)).body, factor));
  CHECK(Contains(world.Send(world.Get("/sessions")).body,
                 "id=\"factor-" + world.keys.enrolment.account.Hex() + "\""));
  Session officer = world.sessions.sessions.at(World::kToken);
  officer.actor.roles = Role::kKeyOfficer;
  world.sessions.sessions["officer"] = officer;
  Request by_officer = world.Get(link);
  by_officer.headers["cookie"] = std::string(kSessionCookie) + "=officer";
  CHECK_FALSE(Contains(world.Send(std::move(by_officer)).body, "#factor-"));

  world.keys.enrolment.state = EnrolmentState::kWaiting;
  CHECK(Contains(world.Send(world.Get(link)).body, "activation code is void"));
  CHECK(Contains(world.Send(world.Get("/enrolments/" + key.enrolment.Hex())).body, link));
  world.keys.enrolment.state = EnrolmentState::kDone;
  CHECK(Contains(world.Send(world.Get(link)).body, "is wiped at its next contact"));
  CHECK_FALSE(Contains(world.Send(world.Get("/enrolments/" + key.enrolment.Hex())).body, link));

  const std::string csrf = std::string("csrf=") + World::kCsrf;
  for (const std::string& reason : {std::string(), std::string(201, 'x')}) {
    const Response missing = world.Send(world.Post(link, csrf + "&reason=" + reason));
    CHECK(missing.status == 422);
    CHECK(Contains(missing.body, "id=\"reason-problem\""));
  }
  CHECK(world.keys.calls.empty());
  const Response done = world.Send(world.Post(link, csrf + "&reason=left+us"));
  CHECK(done.status == 303);
  CHECK(done.headers[0].second == "/employees/" + world.keys.enrolment.account.Hex());
  REQUIRE(world.keys.calls.size() == 1);
  CHECK(world.keys.calls[0] == "clear alice.admin " + key.enrolment.Hex() + " left us");
  world.keys.clear_error = Error{ErrorCode::kConflict, "The key answers <b>now</b>.", {}, 0};
  const Response refused = world.Send(world.Post(link, csrf + "&reason=left"));
  CHECK(refused.status == 409);
  CHECK(Contains(refused.body, "The key answers &lt;b&gt;now"));
  CHECK(Contains(refused.body, "value=\"left\""));
}

TEST_CASE("the list of employees: search, pages, directory down") {
  World world(KEYFERRY_WEB_DIR);
  fake::Populate(world);
  const Response first = world.Send(world.Get("/employees?query=."));
  CHECK(Contains(first.body, "href=\"/employees?query=%2E&amp;cursor=cursor%262\""));
  CHECK(Contains(world.Send(world.Get("/employees?cursor=x")).body,
                 "href=\"/employees\">First page"));
  CHECK(Contains(world.Send(world.Get("/employees?query=nobody-at-all")).body, "Nobody found"));
  world.directory.down = Error{ErrorCode::kUnavailable, "No controller answers.", "", 0};
  const Response down = world.Send(world.Get("/employees"));
  CHECK(down.status == 503);
  CHECK(Contains(down.body, "No controller answers."));
}

TEST_CASE("initials, groups, times") {
  CHECK(Initials("Anna Kovalenko") == "AK");
  CHECK(Initials("\xD0\x9E\xD0\xBB\xD0\xB5\xD0\xBD\xD0\xB0 \xD0\x91") == "\xD0\x9E\xD0\x91");
  CHECK(Initials("anna maria de la cruz") == "AC");
  CHECK(Initials("<script> \"x") == "");
  CHECK(Initials("") == "");
  CHECK(Grouped("a1b2c3d4e5") == "a1b2 c3d4 e5");
  CHECK(TimeWords(1795243680000) == "21 Nov 2026, 06:48:00 UTC");
}
