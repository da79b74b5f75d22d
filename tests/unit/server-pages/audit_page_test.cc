// The page of the audit log: filters, those that are kept, export; and the warning on the reports.
#include <catch2/catch.hpp>

#include "fake_services.h"
#include "response_text.h"
#include "server/http/target.h"

using namespace keyferry;
using namespace keyferry::server;
using fake::MakeId;
using fake::World;

TEST_CASE("the audit page asks for what its address says, and keeps it on the way") {
  World world(KEYFERRY_WEB_DIR);
  fake::Populate(world);
  const AuditView row = world.audit.rows.front();
  world.audit.rows.clear();
  for (std::uint64_t number = 120; number > 0; --number) {
    world.audit.rows.push_back(row);
    world.audit.rows.back().number = number;
    world.audit.rows.back().action = number % 2 == 0 ? "password.set" : "signin";
    world.audit.rows.back().detail = std::string(300, 'd');
  }
  const Response page = world.Send(world.Get(
      "/audit?action=password.set&actor=a%2A&outcome=other&ticket=INC-1&target=%3Cb%3E&from="
      "2026-01-02&until=2026-01-03&period="));
  CHECK(page.status == 200);
  CHECK(page.body.size() < 100'000);
  const AuditFilter& asked = world.audit.filter;
  CHECK(asked.actor == "a*");
  CHECK(asked.action == "password.set");
  CHECK(asked.outcome == "other");
  CHECK(asked.ticket == "INC-1");
  CHECK(asked.target == "<b>");
  CHECK(asked.from == 1767312000000);
  CHECK(asked.until == 1767312000000 + 2 * kDayMillis);
  CHECK(Contains(page.body, "name=\"target\" value=\"&lt;b&gt;\""));
  std::string link = "href=\"/audit?";
  for (const auto& [name, value] :
       {std::pair("from", "2026-01-02"), std::pair("until", "2026-01-03"), std::pair("actor", "a*"),
        std::pair("action", "password.set"), std::pair("target", "<b>"),
        std::pair("outcome", "other"), std::pair("ticket", "INC-1")}) {
    link += std::string(name) + "=" + QueryText(value) + "&amp;";
  }
  CHECK(Contains(page.body, link + "before=22\""));
  CHECK(Contains(page.body, "<option value=\"other\" selected>"));
  // The first of sixty that fit are on this page, the others on the next.
  CHECK(Contains(page.body, "Entry 22<"));
  CHECK_FALSE(Contains(page.body, "Entry 20<"));
  CHECK(Contains(world.Send(world.Get("/audit?action=password.set&before=22")).body, "Entry 20<"));

  const std::int64_t now = world.clock.UnixMillis();
  world.Send(world.Get("/audit?period=day"));
  CHECK(world.audit.filter.from >= now - kDayMillis);
  world.Send(world.Get("/audit?period=month"));
  CHECK(world.audit.filter.from % kDayMillis == 0);
  CHECK(world.audit.filter.until == 0);
}

TEST_CASE("an audit filter that is none is said beside the form, and nothing is searched") {
  World world(KEYFERRY_WEB_DIR);
  fake::Populate(world);
  for (const std::string& bad : {std::string("from=2026-02-30"), std::string("until=x"),
                                 std::string("period=year"), "actor=" + std::string(129, 'a')}) {
    INFO(bad);
    const Response page = world.Send(world.Get("/audit?" + bad));
    CHECK(page.status == 400);
    CHECK(Contains(page.body, "role=\"alert\""));
    CHECK_FALSE(Contains(page.body, "<tbody>"));
  }
  CHECK(world.Send(world.Get("/audit?before=x")).status == 404);
}

TEST_CASE("a filter is kept with what the page shows, and forgotten") {
  World world(KEYFERRY_WEB_DIR);
  fake::Populate(world);
  CHECK(Contains(world.Send(world.Get("/audit")).body,
                 "<a href=\"/audit?period=day&amp;action=help_desk.%2A\">Help desk today</a>"));
  const std::string csrf = std::string("csrf=") + World::kCsrf;
  const Response kept = world.Send(world.Post(
      "/audit/filters", csrf + "&filter_name=My+own&period=week&action=key.%2A&from=&actor="));
  CHECK(kept.status == 303);
  CHECK(kept.headers[0].second == "/audit?period=week&action=key%2E%2A");
  REQUIRE(world.audit_filters.calls.size() == 1);
  CHECK(world.audit_filters.calls[0] == "save My own period=week&action=key%2E%2A by alice.admin");
  world.audit_filters.error = Error{ErrorCode::kConflict, "Too many.", {}, 0};
  const Response full = world.Send(world.Post("/audit/filters", csrf + "&filter_name=n"));
  CHECK(full.status == 409);
  CHECK(Contains(full.body, "Too many."));
  const std::string id = MakeId<AuditFilterId>(0xF1).Hex();
  CHECK(world.Send(world.Post("/audit/filters/" + id + "/remove", csrf)).status == 303);
  CHECK(world.audit_filters.calls.back() == "forget " + id + " by alice.admin");
}

TEST_CASE("the export holds what the filter shows, as a file, behind a fresh proof") {
  World world(KEYFERRY_WEB_DIR);
  fake::Populate(world);
  const std::string form =
      std::string("csrf=") + World::kCsrf + "&format=jsonl&action=signin&period=week";
  const Response file = world.Send(world.Post("/audit/export", form));
  CHECK(file.status == 200);
  CHECK(file.content_type == "application/x-ndjson; charset=utf-8");
  CHECK(file.headers[0].second == "attachment; filename=\"keyferry-audit.jsonl\"");
  CHECK(world.audit.filter.action == "signin");
  CHECK(world.audit.filter.from != 0);
  CHECK(world.Send(world.Post("/audit/export", std::string("csrf=") + World::kCsrf + "&format=exe"))
            .status == 400);
  world.factors.stale = true;
  const Response asked = world.Send(world.Post("/audit/export", form));
  CHECK(asked.status == 403);
  CHECK(Contains(asked.body, "name=\"action\" value=\"signin\""));
  CHECK(world.Send(world.Post("/audit/export", form + "&step_up_code=135790")).status == 200);
}

TEST_CASE("the warning stands on the reports until an administrator has acknowledged it") {
  World world(KEYFERRY_WEB_DIR);
  fake::Populate(world);
  const std::string id = MakeId<WarningId>(0xF2).Hex();
  const std::string action = "action=\"/reports/warnings/" + id + "/acknowledge\"";
  const Response page = world.Send(world.Get("/reports"));
  CHECK(Contains(page.body, "Within an hour 12 people were blocked"));
  CHECK(Contains(page.body, action));
  world.sessions.sessions[World::kToken].actor.roles = Role::kAuditor;
  const Response auditor = world.Send(world.Get("/reports"));
  CHECK(Contains(auditor.body, "Within an hour 12 people were blocked"));
  CHECK_FALSE(Contains(auditor.body, action));
  world.sessions.sessions[World::kToken].actor.roles = Role::kAdministrator;
  CHECK(world
            .Send(world.Post("/reports/warnings/" + id + "/acknowledge",
                             std::string("csrf=") + World::kCsrf))
            .status == 303);
  CHECK(world.warnings.calls == std::vector<std::string>{"acknowledge " + id + " by alice.admin"});
  world.warnings.warning.reset();
  CHECK_FALSE(Contains(world.Send(world.Get("/reports")).body, "people were blocked"));
}
