// Many at one key, and keys that come and go without end.
#include <catch2/catch.hpp>
#include <filesystem>
#include <thread>

#include "tests/unit/client-daemon/workstation_rig.h"

using namespace keyferry;
using namespace keyferry::daemon;
using test::FakeKey;
using test::kInfo;
using test::WorkstationRig;

namespace {

const std::string kNode = "/dev/hidraw0";

std::size_t Entries(const char* folder) {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder)) ++count;
  return count;
}

bool Active(const KeyReport& report) { return report.standing == "active"; }

}  // namespace

TEST_CASE("deliveries and local programs share the key: neither waits for the other's end") {
  constexpr std::uint64_t kJobs = 60;
  constexpr int kPrograms = 3;
  FakeKey key;
  WorkstationRig rig;
  rig.workstation->OnKey(rig.KeyEventOf(key));
  rig.Attach(kNode, key);
  REQUIRE(rig.Until(kNode, Active));
  std::atomic<bool> ended = false;
  std::atomic<int> served[kPrograms] = {};
  std::vector<std::thread> programs;
  for (int i = 0; i < kPrograms; ++i) {
    auto grant = rig.workstation->OpenRelayFor("alice", {"tester", i});
    REQUIRE(grant);
    programs.emplace_back([&, i, link = std::shared_ptr(std::move(grant->link))] {
      while (!ended) {
        if (link->Transact(kInfo, {}, {}, {})) ++served[i];
      }
    });
  }
  // Programs that never pause do not keep the jobs away …
  for (std::uint64_t seq = 1; seq <= kJobs; ++seq) rig.workstation->OnJob(rig.Job(key, seq));
  int before[kPrograms];
  for (int i = 0; i < kPrograms; ++i) before[i] = served[i];
  for (std::uint64_t i = 0; i < kJobs; ++i) rig.NextPost(Post::kReceipt);
  // … nor do the jobs keep a program away: each had turns while they were delivered.
  for (int i = 0; i < kPrograms; ++i) CHECK(served[i] - before[i] >= 5);
  ended = true;
  for (std::thread& program : programs) program.join();
  CHECK(key.stored.size() == kJobs);
}

TEST_CASE("who asks while all channels are in use waits a moment for one that comes free") {
  FakeKey key;
  WorkstationRig rig;
  rig.workstation->OnKey(rig.KeyEventOf(key));
  rig.Attach(kNode, key);
  REQUIRE(rig.Until(kNode, Active));
  std::vector<RelayGrant> grants;
  for (int i = 0; i < 3; ++i) {
    auto grant = rig.workstation->OpenRelayFor("alice", {"tester", i});
    REQUIRE(grant);
    grants.push_back(*std::move(grant));
  }
  CHECK(rig.workstation->OpenRelayFor("alice", {"late", 4}).error().code ==
        ErrorCode::kRateLimited);
  std::thread leaving([&] { grants.pop_back(); });
  CHECK(rig.workstation->OpenRelayFor("alice", {"in time", 5}));
  leaving.join();
}

TEST_CASE("a hundred plugs and pulls leave no descriptor and no thread behind") {
  FakeKey keys[4];
  FakeKey last;
  WorkstationRig rig;
  for (FakeKey& key : keys) rig.workstation->OnKey(rig.KeyEventOf(key));
  const auto round = [&](int i) {
    FakeKey& key = keys[i % 4];
    const std::string path = "/dev/hidraw" + std::to_string(i % 4);
    key.PlugIn();
    rig.Attach(path, key);
    // Some are pulled at once, some in the middle of what they do, some when they are at rest.
    if (i % 3 == 1) rig.workstation->OnJob(rig.Job(key, static_cast<std::uint64_t>(i) + 1));
    if (i % 3 == 2) REQUIRE(rig.Until(path, Active));
    key.Unplug();
    rig.Remove(path);
  };
  const auto at_rest = [&] {
    rig.Attach("/last", last);
    REQUIRE(rig.Until("/last", [](const KeyReport& report) { return report.seen.has_value(); }));
    rig.Remove("/last");
    // Events are handled in order: this one comes when all brokers before it have ended.
    rig.Attach("/end", last);
    REQUIRE(rig.Until("/end", [](const KeyReport& report) { return report.seen.has_value(); }));
  };
  for (int i = 0; i < 8; ++i) round(i);
  at_rest();
  rig.Remove("/end");
  at_rest();
  const std::size_t descriptors = Entries("/proc/self/fd");
  const std::size_t threads = Entries("/proc/self/task");
  rig.Remove("/end");
  for (int i = 8; i < 108; ++i) round(i);
  at_rest();
  CHECK(Entries("/proc/self/fd") == descriptors);
  CHECK(Entries("/proc/self/task") == threads);
}

TEST_CASE("a device that floods is given up again and again, and another one is served") {
  FakeKey bad;
  FakeKey good;
  WorkstationRig rig;
  rig.workstation->OnKey(rig.KeyEventOf(good));
  rig.workstation->OnKey(rig.KeyEventOf(bad));
  rig.Attach("/bad", bad);
  REQUIRE(rig.Until("/bad", Active));
  rig.Attach(kNode, good);
  REQUIRE(rig.Until(kNode, Active));
  protocol::Report noise{};
  noise.fill(0xEE);
  for (std::uint64_t seq = 1; seq <= 3; ++seq) {
    for (int i = 0; i < 5000; ++i) bad.Spill(noise);
    rig.workstation->OnJob(rig.Job(good, seq));
    CHECK(rig.NextPost(Post::kReceipt).device == good.info.device_id);
  }
}
