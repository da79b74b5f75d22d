// The page of webhooks.
#include <catch2/catch.hpp>

#include "fake_services.h"
#include "response_text.h"

using namespace keyferry;
using namespace keyferry::server;
using fake::World;

namespace {

const std::string kWebhookForm = std::string("csrf=") + World::kCsrf;

struct Hooks : World {
  Hooks() : World(KEYFERRY_WEB_DIR) { fake::Populate(*this); }
  std::string Page(const std::string& target = "/webhooks") { return Send(Get(target)).body; }
};

}  // namespace

TEST_CASE("the page of webhooks says what was taken, what waits and what was given up") {
  Hooks world;
  const std::string page = world.Page();
  for (const char* text : {"INC-1", "INC-2", "INC-3", "Taken", "Is tried again", "Given up",
                           "https://itsm.corp.example", "The receiver does not answer.",
                           "The receiver answered with status 503.", "Tries: 51"}) {
    INFO(text);
    CHECK(Contains(page, text));
  }
  // What was taken is not sent again.
  CHECK(Contains(page, "/webhooks/" + world.webhooks.rows[0].id.Hex() + "/retry"));
  CHECK(Contains(page, "/webhooks/" + world.webhooks.rows[1].id.Hex() + "/retry"));
  CHECK_FALSE(Contains(page, "/webhooks/" + world.webhooks.rows[2].id.Hex() + "/retry"));
  CHECK(Contains(world.Page("/check-up"), "href=\"/webhooks\""));
  world.webhooks.rows.clear();
  CHECK(Contains(world.Page(), "Nothing yet"));
}

TEST_CASE("the page of webhooks: one is sent at once; what cannot be is said") {
  Hooks world;
  const std::string address = "/webhooks/" + world.webhooks.rows[0].id.Hex() + "/retry";
  const Response done = world.Send(world.Post(address, kWebhookForm));
  CHECK(done.status == 303);
  CHECK(world.webhooks.calls == std::vector<std::string>{"retry by alice.admin"});
  world.webhooks.error =
      Error{ErrorCode::kConflict, "The receiver has this message already.", {}, 0};
  const Response late = world.Send(world.Post(address, kWebhookForm));
  CHECK(late.status == 409);
  CHECK(Contains(late.body, "The receiver has this message already."));
}

TEST_CASE("what receivers and tickets are called stays text on the page of webhooks") {
  Hooks world;
  const std::string hostile = "<script>alert(1)</script>{{csrf}}";
  world.webhooks.rows[0].place = world.webhooks.rows[0].ticket = world.webhooks.rows[0].last_error =
      hostile;
  const std::string page = world.Page();
  CHECK_FALSE(Contains(page, "<script>alert"));
  CHECK(Contains(page, "&lt;script&gt;alert(1)&lt;/script&gt;{{csrf}}"));
}
