// Pages for a person with several keys.
#include <catch2/catch.hpp>

#include "fake_services.h"
#include "response_text.h"
#include "server/pages/models.h"

using namespace keyferry;
using namespace keyferry::server;
using fake::World;

namespace {

// The person with number 2, whose change is on its way to three keys.
struct Keyholder {
  Keyholder() : world(KEYFERRY_WEB_DIR) {
    fake::Populate(world);
    change().last_error.clear();
    AddKey(world.keys.keys[1], JobState::kDelivered, KeyPassword::kNewest);
    for (const int number : {0x71, 0x72}) {
      KeyView key = world.keys.keys[1];
      key.device = fake::MakeId<DeviceId>(static_cast<std::uint8_t>(number));
      key.password.reset();
      world.keys.keys.push_back(key);
      AddKey(world.keys.keys.back(), JobState::kReady, KeyPassword::kWaiting);
    }
  }
  ChangeView& change() { return world.changes.history.at(id).front(); }
  KeyView& Key(std::size_t number) {
    const DeviceId device = change().keys[number].device;
    for (KeyView& key : world.keys.keys) {
      if (key.device == device) return key;
    }
    throw std::runtime_error("no such key");
  }
  void AddKey(KeyView& key, JobState state, KeyPassword password) {
    key.password = password;
    KeyDelivery of;
    of.device = key.device;
    of.state = state;
    of.queued = change().queued;
    if (of.has()) {
      of.delivered = change().queued + 10;
      of.receipt_hash = std::string(64, 'a');
    }
    change().keys.push_back(of);
  }
  std::string Show() { return world.Send(world.Get("/employees/" + id.Hex())).body; }
  std::string Short(std::size_t number) { return ShortKey(change().keys[number].device); }

  World world;
  AccountId id = fake::MakeId<AccountId>(2);
};

}  // namespace

TEST_CASE("each key has a road of its own, and the whole says how many have the password") {
  Keyholder p;
  std::string page = p.Show();
  CHECK(Contains(page, "1 of 3 keys have it"));
  CHECK(Contains(page, "1 of 3 keys have the new password"));
  CHECK(Count(page, "<ol class=\"road\"") == 3);
  CHECK(Count(page, "<div class=\"receipt\">") == 1);
  CHECK(Contains(page, "Key " + p.Short(1) + ": connect it to an approved workstation"));
  CHECK(Contains(page, "Key " + p.Short(2) + ": connect it"));
  CHECK_FALSE(Contains(page, "Key " + p.Short(0) + ":"));
  CHECK(Count(page, "The newest waits for it") == 2);

  p.Key(1).seen_at = "ward-3";
  p.change().keys[2].last_error = "It was pulled out.";
  page = p.Show();
  CHECK(Contains(page, "Key " + p.Short(1) + " is connected at ward-3"));
  CHECK(Contains(page, "Key " + p.Short(2) + ", last attempt: It was pulled out."));

  // One goes out of use: it is not counted.
  p.change().keys[2].in_use = false;
  p.change().keys[2].state = JobState::kCancelled;
  page = p.Show();
  CHECK(Contains(page, "1 of 2 keys have it"));
  CHECK_FALSE(Contains(page, p.Short(2) + ": connect"));

  p.change().keys[1].state = JobState::kDelivered;
  p.change().state = ChangeState::kDone;
  page = p.Show();
  CHECK(Contains(page, "2 of 2 keys have it"));
  CHECK_FALSE(Contains(page, "have the new password"));
  CHECK(Contains(p.world.Send(p.world.Get("/employees")).body, "2 of 2 keys have it"));
  CHECK(Contains(p.world.Send(p.world.Get("/employees")).body, "3 keys"));
}

TEST_CASE("a key that the newest password will not reach is named, with the next step") {
  Keyholder p;
  p.change().state = ChangeState::kConfirmed;
  p.change().keys[1].state = JobState::kRefused;
  p.change().keys[1].last_error = "The key could not open it.";
  p.change().keys[2].state = JobState::kDelivered;
  p.Key(1).password = KeyPassword::kMissing;
  p.Key(2).password = KeyPassword::kNewest;
  std::string page = p.Show();
  CHECK(Contains(page, "2 of 3 keys have it"));
  CHECK(Contains(page, "Key " + p.Short(1) + " does not have the newest password"));
  CHECK(Contains(page, "The key could not open it."));
  CHECK(Contains(page, "Next: set a new password; every key"));
  CHECK_FALSE(Contains(page, "The key refused the new password"));

  // Enrolled since, and one under suspicion, of which the alarm speaks.
  p.Key(1).password = KeyPassword::kNone;
  p.Key(1).alarm.clear();
  p.change().keys.erase(p.change().keys.begin() + 1);
  p.change().state = ChangeState::kDone;
  page = p.Show();
  CHECK(Contains(page, "has no password yet."));
  CHECK(Contains(page, "2 of 2 keys have it"));
}

TEST_CASE("add a key: another one, or in place of one, and the choice is clear") {
  Keyholder p;
  const std::string picker = "/employees/" + p.id.Hex() + "/key";
  const auto show = [&] { return p.world.Send(p.world.Get(picker)).body; };
  std::string page = show();
  CHECK(Contains(page, "<option value=\"\" selected>another key</option>"));
  CHECK(Count(page, "replacement of") == 3);
  CHECK(Count(page, " selected") == 1);
  // None works: the first in use is to be replaced.
  for (std::size_t i = 0; i < 3; ++i) p.Key(i).alarm = "It was cloned.";
  p.Key(2).state = KeyState::kCompromised;
  page = show();
  CHECK(Contains(page, "<option value=\"\">another key</option>"));
  CHECK(Count(page, "replacement of") == 2);
  CHECK(Contains(page, p.Key(0).device.Hex() + "\" selected>"));
  // No key in use: nothing to choose.
  for (std::size_t i = 0; i < 3; ++i) p.Key(i).state = KeyState::kDeactivated;
  page = show();
  CHECK_FALSE(Contains(page, "name=\"replace\""));

  const std::string form = std::string("csrf=") + World::kCsrf + "&device=" + std::string(32, 'd') +
                           "&workstation=" + std::string(32, 'e');
  page = p.world.Send(p.world.Post(picker, form)).body;
  CHECK(Contains(page, "It does not replace any other key."));
  page = p.world.Send(p.world.Post(picker, form + "&replace=" + p.Key(0).device.Hex())).body;
  CHECK(Contains(page, "It replaces key " + p.Short(0)));
  CHECK(Contains(p.world.keys.calls.back(), " for " + p.Key(0).device.Hex()));
  CHECK(p.world.Send(p.world.Post(picker, form + "&replace=nonsense")).status == 404);
}

TEST_CASE("edit password says that all keys get it") {
  Keyholder p;
  const std::string form = "/employees/" + p.id.Hex() + "/password";
  CHECK_FALSE(Contains(p.world.Send(p.world.Get(form)).body, "this person&apos;s"));
  p.world.changes.preflight.keys = 3;
  CHECK(Contains(p.world.Send(p.world.Get(form)).body, "each of this person&apos;s 3 keys"));
}
