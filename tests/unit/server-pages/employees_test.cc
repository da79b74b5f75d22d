// The list of employees narrowed and ordered, and what administrators and agents do on one's page.
#include <catch2/catch.hpp>

#include "fake_services.h"
#include "response_text.h"

using namespace keyferry;
using namespace keyferry::server;
using fake::MakeId;
using fake::World;

namespace {

std::size_t Rows(const std::string& page) {
  std::size_t count = 0;
  for (std::size_t at = 0; (at = page.find("class=\"row-link\"", at)) != std::string::npos; ++at) {
    ++count;
  }
  return count;
}

struct Floor : World {
  Floor() : World(KEYFERRY_WEB_DIR) { fake::Populate(*this); }
  std::string Page(const std::string& address, int status = 200) {
    const Response response = Send(Get(address));
    CHECK(response.status == status);
    CHECK(response.body.size() < 100'000);
    return response.body;
  }
};

}  // namespace

TEST_CASE("the list asks the directory for the state and order that its address names") {
  Floor floor;
  floor.Page("/employees?show=locked&order=login_down&query=");
  CHECK(floor.directory.state == PeopleState::kLocked);
  CHECK(floor.directory.order == PeopleOrder::kLoginDown);
  const std::string page = floor.Page("/employees?show=must_change");
  CHECK(floor.directory.state == PeopleState::kMustChange);
  CHECK(floor.directory.order == PeopleOrder::kName);
  CHECK(Contains(page, "<option value=\"must_change\" selected>"));
  CHECK_FALSE(Contains(page, ">employees."));  // every choice has its text
  // Turning a page keeps both.
  CHECK(Contains(page, "href=\"/employees?show=must_change&amp;cursor=cursor%262\""));
  floor.Page("/employees");
  CHECK(floor.directory.state == PeopleState::kAny);
  for (const char* bad : {"/employees?show=everybody", "/employees?order=up"}) {
    CHECK(floor.Send(floor.Get(bad)).status == 404);
  }
}

TEST_CASE("people with keys in a state are listed without the directory, each once, in pages") {
  Floor floor;
  floor.directory.down = Error{ErrorCode::kUnavailable, "Active Directory does not answer.", {}, 0};
  CHECK(Rows(floor.Page("/employees?show=key_suspended")) == 1);
  CHECK(Rows(floor.Page("/employees?show=key_alarm")) == 1);
  CHECK(Rows(floor.Page("/employees?show=key_compromised")) == 0);
  const KeyView sample = floor.keys.keys[0];
  floor.keys.keys.clear();
  for (int i = 0; i < 60; ++i) {
    KeyView key = sample;
    key.device.bytes[0] = static_cast<std::uint8_t>(i);
    key.account.bytes[0] = static_cast<std::uint8_t>(i / 2);  // two keys each
    floor.keys.keys.push_back(key);
  }
  std::string address = "/employees?show=key_active";
  std::size_t rows = 0, pages = 0;
  for (; !address.empty() && pages < 9; ++pages) {
    const std::string page = floor.Page(address);
    rows += Rows(page);
    address.clear();
    const std::size_t at = page.find("href=\"/employees?show=key_active&amp;cursor=");
    if (at != std::string::npos) {
      address = "/employees?show=key_active&cursor=" + page.substr(at + 44, 32);
    }
  }
  CHECK(pages == 3);
  // A person whose keys lie on two pages stands on both.
  CHECK(rows >= 30);
  CHECK(rows <= 32);
  const Response bad = floor.Send(floor.Get("/employees?show=key_active&cursor=zz"));
  CHECK(bad.status == 400);
  CHECK(Contains(bad.body, "This page link is not valid."));
}

TEST_CASE("people with a change under way are listed newest first, and narrowed by a search") {
  Floor floor;
  const std::string page = floor.Page("/employees?show=waiting");
  CHECK(Rows(page) == floor.reports.changes.size());
  ReportChange twice = floor.reports.changes.front();
  twice.number = 1;
  floor.reports.changes.push_back(twice);
  CHECK(Rows(floor.Page("/employees?show=waiting")) == floor.reports.changes.size() - 1);
  // With a text: of those whom the directory finds, whose newest change is not over.
  const auto& people = floor.directory.people;
  CHECK(Rows(floor.Page("/employees?show=waiting&query=" + people[1].person.login)) == 1);
  CHECK(Rows(floor.Page("/employees?show=waiting&query=" + people[0].person.login)) == 0);
  CHECK(Rows(floor.Page("/employees?show=key_suspended&query=" + people[3].person.login)) == 1);
  CHECK(Rows(floor.Page("/employees?show=key_suspended&query=" + people[0].person.login)) == 0);
}

TEST_CASE("attributes are shown to who may see them, once asked for") {
  Floor floor;
  const std::string id = MakeId<AccountId>(1).Hex(), address = "/employees/" + id;
  const std::string form = "action=\"" + address + "/attributes\"";
  const std::string csrf = std::string("csrf=") + World::kCsrf;
  const std::string before = floor.Page(address);
  CHECK(Contains(before, form));
  CHECK_FALSE(Contains(before, "physicalDeliveryOfficeName"));
  CHECK(floor.attributes.calls.empty());
  floor.attributes.attributes[0].values.push_back("<script>alert(1)</script>");
  const Response shown = floor.Send(floor.Post(address + "/attributes", csrf));
  CHECK(shown.status == 200);
  CHECK(Contains(shown.body, "<dt>physicalDeliveryOfficeName</dt><dd>4.12</dd><dd>4.13</dd>"));
  CHECK(Contains(shown.body, "&lt;script&gt;"));
  CHECK_FALSE(Contains(shown.body, form));
  CHECK(Contains(shown.body, "data-refresh=\"" + address + "\""));
  CHECK(floor.attributes.calls == std::vector<std::string>{"show " + id + " to alice.admin"});
  floor.sessions.sessions[World::kToken].actor.roles = Role::kAuditor;
  CHECK_FALSE(Contains(floor.Page(address), form));
  CHECK(floor.Send(floor.Post(address + "/attributes", csrf)).status == 403);
}

TEST_CASE("an administrator ends the sessions of a person on their page") {
  Floor floor;
  const AccountId id = MakeId<AccountId>(1);
  const std::string address = "/employees/" + id.Hex();
  const std::string form = "action=\"" + address + "/end-sessions\"";
  CHECK_FALSE(Contains(floor.Page(address), form));
  Session session;
  session.actor.id = id;
  floor.sessions.sessions["theirs"] = session;
  CHECK(Contains(floor.Page(address), "Sessions: 1"));
  CHECK(Contains(floor.Page(address), form));
  const Response ended =
      floor.Send(floor.Post(address + "/end-sessions", std::string("csrf=") + World::kCsrf));
  CHECK(ended.status == 303);
  CHECK(floor.sessions.calls.back() == "end those of " + id.Hex() + " by alice.admin");
  floor.sessions.sessions[World::kToken].actor.roles = Role::kHelpDesk;
  CHECK_FALSE(Contains(floor.Page(address), form));
}
