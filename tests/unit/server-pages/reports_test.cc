// The reports, and the lists that their numbers lead to.
#include <catch2/catch.hpp>
#include <regex>

#include "fake_services.h"
#include "response_text.h"
#include "server/pages/models.h"

using namespace keyferry;
using namespace keyferry::server;
using fake::MakeId;
using fake::World;

TEST_CASE("each number of the reports leads to a page that there is") {
  World world(KEYFERRY_WEB_DIR);
  fake::Populate(world);
  const Response page = world.Send(world.Get("/reports"));
  REQUIRE(page.status == 200);
  CHECK(page.body.size() < 100'000);
  const std::size_t main = page.body.find("<main");
  static const std::regex kLink("<a href=\"(/[^\"]*)\"");
  std::size_t links = 0;
  for (std::sregex_iterator
           it(page.body.begin() + static_cast<std::ptrdiff_t>(main), page.body.end(), kLink),
       end;
       it != end; ++it) {
    std::string link = (*it)[1];
    for (std::size_t at; (at = link.find("&amp;")) != std::string::npos;) link.erase(at + 1, 4);
    INFO(link);
    const Response target = world.Send(world.Get(link));
    CHECK(target.status == 200);
    CHECK(target.body.size() < 100'000);
    ++links;
  }
  CHECK(links > 30);
}

TEST_CASE("behind a chart stands a table with the same numbers") {
  World world(KEYFERRY_WEB_DIR);
  fake::Populate(world);
  ReportFigures& figures = world.reports.figures;
  for (DayCount& day : figures.set) day.count = 0;
  figures.set[10].count = 200;
  figures.set[11].count = 50;
  const std::string page = world.Send(world.Get("/reports")).body;
  CHECK(Contains(page, "<rect x=\"1\" y=\"0\" width=\"8\" height=\"100\"/></svg>"));
  CHECK(Contains(page, "<rect x=\"1\" y=\"75\" width=\"8\" height=\"25\"/></svg>"));
  CHECK(Count(page, "height=\"0\"/></svg>") == 28);
  CHECK(Contains(page, "day=" + DayWords(figures.set[10].day) + "\">200<"));
  CHECK(Contains(page, "Last 30 days: 250 in all, at most 200 on a day."));
  CHECK(Count(page, "<th scope=\"row\">20") == 30);
  CHECK(Contains(page, "31 (84 %)"));
  // Nothing at all is a chart too.
  for (DayCount& day : figures.set) day.count = 0;
  figures.keys = {};
  figures.processes.clear();
  const Response empty = world.Send(world.Get("/reports"));
  CHECK(empty.status == 200);
  CHECK(Contains(empty.body, "No request was closed in the last 30 days"));
}

TEST_CASE("each number of a process leads to the requests that it counts") {
  World world(KEYFERRY_WEB_DIR);
  fake::Populate(world);
  ProcessScore score;
  score.process = HelpDeskProcess::kUnlock;
  score.completed = 3;
  score.blocked = 1;
  world.reports.figures.processes = {score};
  const std::string page = world.Send(world.Get("/reports")).body;
  const std::string to = "href=\"/reports/requests?process=unlock";
  CHECK(Contains(page, to + "\">4<"));
  CHECK(Contains(page, to + "&amp;end=completed\">3 (75 %)<"));
  CHECK(Contains(page, to + "&amp;end=blocked\">1 (25 %)<"));
  CHECK_FALSE(Contains(page, "end=failed"));  // nothing to see behind a nought

  ReportRequest one;
  one.account = world.directory.people[0].person.id;
  one.agent_login = "henry.desk";
  one.reason = "locked <out>";
  one.state = HelpDeskState::kBlocked;
  one.error = "The manager says that they know nothing of this call.";
  for (std::uint64_t number = 60; number > 0; --number) {
    one.number = number;
    one.ticket = "INC-" + std::to_string(number);
    world.reports.requests.push_back(one);
  }
  const Response list = world.Send(world.Get("/reports/requests?process=unlock&end=blocked"));
  CHECK(list.status == 200);
  CHECK(list.body.size() < 100'000);
  CHECK(world.reports.asked == std::vector<std::string>{"unlock blocked"});
  CHECK(Contains(list.body, "INC-11<"));
  CHECK_FALSE(Contains(list.body, "INC-10<"));
  CHECK(Contains(list.body, "locked &lt;out&gt;"));
  CHECK(Contains(list.body, "know nothing of this call"));
  CHECK(Contains(list.body, "process=unlock&amp;end=blocked&amp;before=11\""));
  const Response rest = world.Send(world.Get("/reports/requests?process=unlock&before=11"));
  CHECK(Contains(rest.body, "INC-10<"));
  CHECK_FALSE(Contains(rest.body, "rel=\"next\""));
  for (const char* nothing : {"", "?process=none", "?process=unlock&end=well",
                              "?process=unlock&before=x", "?end=blocked"}) {
    INFO(nothing);
    CHECK(world.Send(world.Get(std::string("/reports/requests") + nothing)).status == 404);
  }
}

TEST_CASE("the reports follow what happens, but are not counted anew all the time") {
  World world(KEYFERRY_WEB_DIR);
  fake::Populate(world);
  const std::string page = world.Send(world.Get("/reports")).body;
  CHECK(Contains(page, "data-stream=\"/events/reports\""));
  CHECK(Contains(page, "data-pace=\"1000\""));
  for (const char* part : {"at", "warnings", "tiles", "days", "days-summary", "days-table", "keys",
                           "workstations", "processes"}) {
    INFO(part);
    CHECK(Count(page, std::string("data-part=\"") + part + "\"") == 1);
  }
  CHECK_FALSE(Contains(world.Send(world.Get("/keys")).body, "data-pace"));
}

TEST_CASE("a list of changes is a page long and goes on where it ended") {
  World world(KEYFERRY_WEB_DIR);
  fake::Populate(world);
  ReportChange sample = world.reports.changes.front();
  world.reports.changes.clear();
  for (std::uint64_t number = 120; number > 0; --number) {
    sample.number = number;
    sample.reason = std::string(500, 'r');
    sample.login = "person-" + std::to_string(number);
    world.reports.changes.push_back(sample);
  }
  const Response first = world.Send(world.Get("/reports/changes?list=pending"));
  CHECK(first.status == 200);
  CHECK(first.body.size() < 100'000);
  CHECK(Contains(first.body, "person-71<"));
  CHECK_FALSE(Contains(first.body, "person-70<"));
  CHECK(Contains(first.body, "/reports/changes?list=pending&amp;before=71"));
  const Response last = world.Send(world.Get("/reports/changes?list=pending&before=21"));
  CHECK(Contains(last.body, "person-20<"));
  CHECK(Contains(last.body, "person-1<"));
  CHECK_FALSE(Contains(last.body, "rel=\"next\""));
  CHECK(world.Send(world.Get("/reports/changes?list=set&day=2026-02-28")).status == 200);
  for (const char* bad :
       {"", "?list=all", "?list=set", "?list=set&day=2026-02-30", "?list=set&day=2026-2-3",
        "?list=set&day=20260203xx", "?list=pending&day=2026-02-28", "?list=pending&before=-1",
        "?list=pending&before=x", "?list=set&day=0000-01-01"}) {
    INFO(bad);
    CHECK(world.Send(world.Get(std::string("/reports/changes") + bad)).status == 404);
  }
}

TEST_CASE(
    "whom a scope hides is in no list of the reports, and no page of keys lacks its next one") {
  PeopleScope scope;
  scope.role = Role::kAdministrator;
  {
    World all(KEYFERRY_WEB_DIR);
    fake::Populate(all);
    scope.exclude.users = {all.directory.people[0].person.login};
  }
  PeopleConfig config;
  config.scopes = {scope};
  World world(KEYFERRY_WEB_DIR, config);
  fake::Populate(world);
  const std::string hidden = world.directory.people[0].person.login;
  const std::string list = world.Send(world.Get("/reports/changes?list=pending")).body;
  CHECK_FALSE(Contains(list, hidden));
  CHECK(Contains(list, world.directory.people[1].person.login));
  const KeyView theirs = world.keys.keys[0];
  world.keys.keys.clear();
  for (int i = 0; i < 60; ++i) {
    world.keys.keys.push_back(theirs);
    world.keys.keys.back().device.bytes[0] = static_cast<std::uint8_t>(i);
  }
  const std::string keys = world.Send(world.Get("/keys")).body;
  CHECK_FALSE(Contains(keys, "row-link"));
  CHECK(Contains(keys, "rel=\"next\""));
}

TEST_CASE("lists of keys and workstations are filtered by state and stay a page long") {
  World world(KEYFERRY_WEB_DIR);
  fake::Populate(world);
  const auto sample = world.keys.keys[0];
  for (int i = 0; i < 120; ++i) {
    KeyView key = sample;
    key.device.bytes[0] = static_cast<std::uint8_t>(i);
    key.device.bytes[1] = 0x77;
    world.keys.keys.push_back(key);
  }
  std::string link = "/keys?state=active";
  std::size_t rows = 0, pages = 0;
  static const std::regex kNext("href=\"(/keys\\?[^\"]*)\" rel=\"next\"");
  while (!link.empty() && pages < 10) {
    const Response page = world.Send(world.Get(link));
    REQUIRE(page.status == 200);
    CHECK(page.body.size() < 100'000);
    CHECK(Contains(page.body, "<a href=\"/keys?state=active\" aria-current=\"true\">"));
    rows += Count(page.body, "class=\"row-link\"");
    ++pages;
    std::smatch match;
    link = std::regex_search(page.body, match, kNext) ? match[1].str() : "";
    for (std::size_t at; (at = link.find("&amp;")) != std::string::npos;) link.erase(at + 1, 4);
  }
  CHECK(pages == 3);
  CHECK(rows == 125);
  CHECK(Count(world.Send(world.Get("/keys?state=suspended")).body, "class=\"row-link\"") == 1);
  CHECK(Count(world.Send(world.Get("/keys?state=alarm")).body, "class=\"row-link\"") == 1);
  CHECK(Contains(world.Send(world.Get("/keys?state=revoked")).body, "There is none"));

  const auto desk = world.workstations.workstations[0];
  for (int i = 0; i < 70; ++i) {
    WorkstationView one = desk;
    one.id.bytes[0] = static_cast<std::uint8_t>(i);
    one.id.bytes[1] = 0x77;
    one.state = WorkstationState::kPending;
    world.workstations.workstations.push_back(one);
  }
  const Response first = world.Send(world.Get("/workstations?state=pending"));
  CHECK(first.body.size() < 100'000);
  CHECK(Contains(first.body, "href=\"/workstations?state=pending&amp;after="));
  for (const char* bad : {"/keys?state=lost", "/keys?after=1", "/workstations?state=lost",
                          "/workstations?after=zz"}) {
    CHECK(world.Send(world.Get(bad)).status == 404);
  }
}
