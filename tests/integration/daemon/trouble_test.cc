// What goes wrong around the daemon: servers that lie, disks that rot, keys that misbehave.
#include <catch2/catch.hpp>
#include <csignal>
#include <fstream>

#include "tests/integration/daemon/rig.h"

using namespace keyferry;
using test::Rig;
namespace fs = std::filesystem;

TEST_CASE("a server with a certificate of another authority is not talked to") {
  Rig rig(false);
  rig.daemon_process->Stop(SIGTERM);
  std::ofstream(rig.dir / "ca.pem") << test::Pki().ca_pem();
  fs::remove_all(rig.state);
  {
    const auto lock = rig.server.Lock();
    rig.server.registrations = 0;
  }
  rig.StartDaemon();
  CHECK(rig.StatusHas("check server_ca"));
  const auto lock = rig.server.Lock();
  CHECK(rig.server.registrations == 0);
}

TEST_CASE("certificates of another organisation are refused after the approval") {
  Rig rig;
  rig.Enrol();
  {
    const auto lock = rig.server.Lock();
    rig.server.forge_hello = true;
    rig.server.CutStreams();
  }
  CHECK(rig.StatusHas("not of the organisation"));
  {
    const auto lock = rig.server.Lock();
    rig.server.forge_hello = false;
    rig.server.CutStreams();
  }
  CHECK(rig.StatusHas("\"state\":\"connected\""));
}

TEST_CASE("nonsense in the event stream is survived") {
  Rig rig;
  const daemon::Id device = rig.Enrol();
  daemon::Id job;
  {
    const auto lock = rig.server.Lock();
    rig.server.SendRaw("event: job\ndata: {\"job_id\":\"zz\"}\n\n");
    rig.server.SendRaw("event: key\ndata: [[[[[[[[[[[[\n\n");
    rig.server.SendRaw("event: void\ndata: {\"job_id\":null}\n\n");
    rig.server.SendRaw("event: enrol\ndata:\n\n");
    rig.server.SendRaw("event: later\ndata: {\"new\":1}\n\n");
    job = rig.server.QueueJob(device);
  }
  REQUIRE(rig.server.Wait([&] { return rig.server.job(job).result.has_value(); }));
  int hellos = 0;
  {
    const auto lock = rig.server.Lock();
    hellos = rig.server.hellos;
    rig.server.SendRaw("data: " + std::string(200'000, 'x'));  // longer than any event
  }
  CHECK(rig.server.Wait([&] { return rig.server.hellos > hellos; }));
}

TEST_CASE("a revoked workstation says so") {
  Rig rig;
  rig.Enrol();
  {
    const auto lock = rig.server.Lock();
    rig.server.Revoke();
    rig.server.CutStreams();
  }
  CHECK(rig.StatusHas("\"state\":\"revoked\""));
}

TEST_CASE("a damaged spool file is set aside and everything else goes on") {
  Rig rig;
  const daemon::Id device = rig.Enrol();
  rig.Control("unplug");
  REQUIRE(rig.server.Wait([&] { return rig.server.seen_keys.empty(); }));
  daemon::Id job;
  {
    const auto lock = rig.server.Lock();
    job = rig.server.QueueJob(device);
  }
  REQUIRE(rig.server.Wait([&] { return rig.server.job(job).spooled; }));
  rig.daemon_process->Stop(SIGKILL);
  const fs::path file = rig.state / "spool" / "jobs" / (daemon::Hex(job) + ".job");
  {
    std::fstream damage(file, std::ios::in | std::ios::out | std::ios::binary);
    damage.seekp(100);
    damage.put('!');
  }
  rig.StartDaemon();
  CHECK(rig.StatusHas("\"damaged\":1"));
  CHECK(fs::exists(rig.state / "spool" / "bad" / file.filename()));
  rig.Control("plug");
  REQUIRE(rig.server.Wait([&] { return rig.server.job(job).result.has_value(); }));  // sent again
}

TEST_CASE("an enrolment that the server will not grant is told and leaves the key as it was") {
  Rig rig;
  {
    const auto lock = rig.server.Lock();
    rig.server.Approve();
    rig.server.refuse_grants = true;
  }
  REQUIRE(rig.server.Wait([&] { return rig.server.seen_keys.size() == 1; }));
  std::string device;
  {
    const auto lock = rig.server.Lock();
    device = *rig.server.seen_keys.begin();
    rig.server.Enrol(*daemon::ParseId(device));
  }
  REQUIRE(rig.server.Wait([&] { return !rig.server.enrolment_problem.empty(); }));
  const auto lock = rig.server.Lock();
  CHECK(rig.server.seen_states[device] == 0);
}

TEST_CASE("a job for another organisation's key is refused by the key, with its signature") {
  Rig rig;
  const daemon::Id device = rig.Enrol();
  daemon::Id job;
  {
    const auto lock = rig.server.Lock();
    rig.server.keys[device].account[0] ^= 1;  // sealed for somebody else
    job = rig.server.QueueJob(device);
  }
  REQUIRE(rig.server.Wait([&] { return rig.server.job(job).result.has_value(); }));
  const auto lock = rig.server.Lock();
  CHECK(rig.server.job(job).result == protocol::Status::kWrongAccount);
  CHECK(rig.server.refused_receipts == 0);
}

TEST_CASE("a wrong configuration is refused with file, line and remedy") {
  Rig rig(false);
  const auto refuse = [&](const std::string& text, const std::string& words) {
    const fs::path bad = rig.dir / "bad.toml";
    std::ofstream(bad) << text;
    fs::permissions(bad, fs::perms::owner_read | fs::perms::owner_write);
    const auto outcome = test::RunProgram({KEYFERRYD, "--config", bad.string()});
    INFO(outcome.output);
    CHECK(outcome.exit_code == 2);
    CHECK(outcome.output.find(words) != std::string::npos);
  };
  refuse("server_url = \"https://a\"\nsoket = \"/x\"\n", "missing");
  refuse("server_url = 3\n", "bad.toml:1: `server_url`");
  refuse("x = [\n", "bad.toml:");
  const auto good =
      test::RunProgram({KEYFERRYD, "--config", rig.config.string(), "--check-config"});
  CHECK(good.exit_code == 0);
  fs::permissions(rig.config, fs::perms::all);
  const auto wide = test::RunProgram({KEYFERRYD, "--config", rig.config.string()});
  CHECK(wide.exit_code == 2);
  CHECK(wide.output.find("chmod go-w") != std::string::npos);
}
