// The alarm's page, its banner, and the fresh proof that its end wants.
#include <catch2/catch.hpp>

#include "fake_services.h"
#include "response_text.h"

using namespace keyferry;
using namespace keyferry::server;
using fake::MakeId;
using fake::World;

namespace {

constexpr std::int64_t kNoon = 1'800'000'000'000;
const std::string kAlarmForm = std::string("csrf=") + World::kCsrf;

struct Watch : World {
  Watch() : World(KEYFERRY_WEB_DIR) { fake::Populate(*this); }
  void Stand() {
    AlarmRecord& alarm_now = alarm.view.alarm;
    alarm_now.number = 7;
    alarm_now.version = 3;
    alarm_now.raised = kNoon;
    alarm_now.raised_login = "carol.case";
    alarm_now.reason = "A key <b>was</b> stolen.";
  }
  void AgreedBy(const AccountId& id, const std::string& login) {
    alarm.view.agreed = true;
    alarm.view.alarm.agreed = kNoon;
    alarm.view.alarm.agreed_by = id;
    alarm.view.alarm.agreed_login = login;
  }
  std::string Page(const std::string& target, const char* token = kToken) {
    Request request = Get(target);
    request.headers["cookie"] = std::string(kSessionCookie) + "=" + token;
    return Send(std::move(request)).body;
  }
};

const std::string kBanner =
    "role=\"alert\"><svg class=\"icon\" aria-hidden=\"true\"><use "
    "href=\"#i-alert\"/></svg><div><h2>The alarm has been raised</h2>";

}  // namespace

TEST_CASE("the alarm's banner stands on every page of who is signed in, and on no other") {
  Watch world;
  const std::vector<std::string> pages = {"/employees", "/keys",     "/workstations", "/policies",
                                          "/audit",     "/check-up", "/tokens",       "/help-desk",
                                          "/sessions",  "/alarm",    "/nothing-here"};
  for (const std::string& page : pages) {
    INFO(page);
    CHECK_FALSE(Contains(world.Page(page), kBanner));
  }
  world.Stand();
  for (const std::string& page : pages) {
    INFO(page);
    // What is not found is said to nobody in particular.
    CHECK(Contains(world.Page(page), kBanner) == (page != "/nothing-here"));
  }
  CHECK(Contains(world.Page("/employees", World::kHelpDeskToken), kBanner));
  CHECK_FALSE(Contains(world.Page("/sign-in", "nobody"), kBanner));
}

TEST_CASE("the alarm's page: one action raises it") {
  Watch world;
  const std::string quiet = world.Page("/alarm");
  CHECK(Contains(quiet, "action=\"/alarm/raise\""));
  CHECK_FALSE(Contains(quiet, "action=\"/alarm/end\""));
  CHECK_FALSE(Contains(world.Page("/alarm", World::kHelpDeskToken), "action=\"/alarm/raise\""));
  // No proof is asked for: what stops things is not slowed down.
  world.factors.stale = true;
  CHECK(world.Send(world.Post("/alarm/raise", kAlarmForm + "&reason=theft")).status == 303);
  CHECK(world.alarm.calls == std::vector<std::string>{"raise theft by alice.admin"});
  world.alarm.error = Error{ErrorCode::kInvalidArgument, "No such reason.", {}, 0};
  const Response refused = world.Send(world.Post("/alarm/raise", kAlarmForm + "&reason=theft"));
  CHECK(refused.status == 400);
  CHECK(Contains(refused.body, "No such reason."));
  CHECK(Contains(refused.body, "value=\"theft\""));
}

TEST_CASE("the alarm's page: its end wants a fresh proof and says what was seen") {
  Watch world;
  world.Stand();
  std::string page = world.Page("/alarm");
  CHECK(Contains(page, "Agree that it may end"));
  CHECK(Contains(page, "A key &lt;b&gt;was&lt;/b&gt; stolen."));
  CHECK(Contains(page, "name=\"number\" value=\"7\""));
  CHECK(Contains(page, "name=\"step\" value=\"3\""));
  CHECK_FALSE(Contains(page, "action=\"/alarm/raise\""));
  CHECK_FALSE(Contains(page, "action=\"/alarm/keep\""));
  CHECK_FALSE(Contains(world.Page("/alarm", World::kHelpDeskToken), "action=\"/alarm/end\""));

  world.factors.stale = true;
  CHECK(world.Send(world.Post("/alarm/end", kAlarmForm + "&number=7&step=3")).status == 403);
  CHECK(world.Send(world.Post("/alarm/keep", kAlarmForm + "&number=7&step=3")).status == 403);
  CHECK(world.alarm.calls.empty());
  world.factors.stale = false;
  CHECK(world.Send(world.Post("/alarm/end", kAlarmForm + "&number=7&step=3")).status == 303);
  CHECK(world.Send(world.Post("/alarm/keep", kAlarmForm + "&number=-7&step=3x")).status == 303);
  CHECK(world.alarm.calls ==
        std::vector<std::string>{"end 7/3 by alice.admin", "keep 0/0 by alice.admin"});

  // Somebody else agreed: this person may end it; who agreed may only take that back.
  world.AgreedBy(MakeId<AccountId>(0x77), "dora.deputy");
  page = world.Page("/alarm");
  CHECK(Contains(page, "Agree and end the alarm"));
  CHECK(Contains(page, "dora.deputy agrees."));
  CHECK(Contains(page, "action=\"/alarm/keep\""));
  world.AgreedBy(MakeId<AccountId>(0xAA), "alice.admin");
  page = world.Page("/alarm");
  CHECK_FALSE(Contains(page, "action=\"/alarm/end\""));
  CHECK(Contains(page, "This is your own agreement"));
  world.alarm.error = Error{ErrorCode::kConflict, "It has moved on.", {}, 0};
  const Response late = world.Send(world.Post("/alarm/end", kAlarmForm + "&number=7&step=3"));
  CHECK(late.status == 409);
  CHECK(Contains(late.body, "It has moved on."));
}

TEST_CASE("the alarm's page says whom it did not reach") {
  Watch world;
  world.Stand();
  for (WorkstationView& one : world.workstations.workstations) {
    one.state = WorkstationState::kRevoked;
  }
  auto& stations = world.workstations.workstations;
  stations.resize(5);
  const auto set = [&](std::size_t i, bool connected, int protocol, const char* name) {
    stations[i].state = WorkstationState::kApproved;
    stations[i].connected = connected;
    stations[i].protocol = protocol;
    stations[i].name = name;
  };
  set(0, true, 3, "new-1");
  set(1, true, 3, "new-2");
  set(2, false, 3, "away-1");
  set(3, false, 0, "never-here");
  set(4, true, 2, "old-1");
  const std::string page = world.Page("/alarm");
  CHECK(Contains(page, "Connected workstations that were told: 2."));
  CHECK(Contains(page, "Not connected now: 2."));
  CHECK(Contains(page, "go on releasing what they hold: old-1."));
}
