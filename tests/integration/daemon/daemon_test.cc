// Real keyferryd and real keyferry-sim against a small TLS server: the whole road of the
// workstation.
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <fstream>

#include "tests/integration/daemon/rig.h"

using namespace keyferry;
using test::Rig;
namespace fs = std::filesystem;

TEST_CASE(
    "a workstation registers, is approved, enrols a key, delivers a job and returns its receipt") {
  Rig rig;
  CHECK(rig.StatusHas("\"state\":\"pending\""));
  const daemon::Id device = rig.Enrol();
  daemon::Id job;
  {
    const auto lock = rig.server.Lock();
    job = rig.server.QueueJob(device);
  }
  REQUIRE(rig.server.Wait([&] { return rig.server.job(job).result.has_value(); }));
  const auto lock = rig.server.Lock();
  CHECK(rig.server.job(job).result == protocol::Status::kOk);
  CHECK(rig.server.job(job).spooled);
  CHECK(rig.server.keys[device].receipts.size() == 2);
  CHECK(rig.server.refused_receipts == 0);
  CHECK(rig.server.registrations == 1);
}

TEST_CASE("many jobs arrive once each and in order") {
  Rig rig;
  const daemon::Id device = rig.Enrol();
  for (std::size_t i = 0; i < 30; ++i) {
    daemon::Id job;
    {
      const auto lock = rig.server.Lock();
      job = rig.server.QueueJob(device);
      if (i % 7 == 3) rig.server.fail_posts = 2;
      if (i % 10 == 9) rig.server.CutStreams();
    }
    REQUIRE(rig.server.Wait([&] { return rig.server.job(job).result.has_value(); }));
  }
  const auto lock = rig.server.Lock();
  const auto& receipts = rig.server.keys[device].receipts;
  REQUIRE(receipts.size() == 31);
  for (std::size_t i = 1; i < receipts.size(); ++i) {
    CHECK(receipts[i].receipt_ctr == i + 1);
    CHECK(receipts[i].previous_hash == protocol::ReceiptHash(receipts[i - 1].Encode()));
  }
}

TEST_CASE("a job waits while the key is unplugged and goes to it when it is plugged in") {
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
  CHECK(rig.StatusHas("\"jobs\":1"));
  rig.Control("plug");
  REQUIRE(rig.server.Wait([&] { return rig.server.job(job).result.has_value(); }));
  CHECK(rig.StatusHas("\"jobs\":0,\"receipts\":0"));
}

TEST_CASE("SIGKILL between spool and delivery loses nothing") {
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
  rig.server.Stop();  // what was spooled must be enough
  rig.StartDaemon();
  rig.Control("plug");
  // Delivered without the server; the receipt waits on the disk.
  CHECK(rig.StatusHas("\"jobs\":0,\"receipts\":1"));
  rig.daemon_process->Stop(SIGKILL);
  rig.StartDaemon();
  rig.server.Start();
  REQUIRE(rig.server.Wait([&] { return rig.server.job(job).result.has_value(); }));
  const auto lock = rig.server.Lock();
  CHECK(rig.server.job(job).result == protocol::Status::kOk);
  CHECK(rig.server.keys[device].receipts.size() == 2);
}

TEST_CASE("SIGKILL again and again while jobs flow: each is stored once") {
  Rig rig;
  const daemon::Id device = rig.Enrol();
  std::vector<daemon::Id> jobs;
  for (int round = 0; round < 8; ++round) {
    daemon::Id job;
    {
      const auto lock = rig.server.Lock();
      job = rig.server.QueueJob(device);
    }
    // Kill at a different place each time: right away, once spooled, once the receipt is there.
    if (round % 4 == 1) REQUIRE(rig.server.Wait([&] { return rig.server.job(job).spooled; }));
    if (round % 4 == 2)
      REQUIRE(rig.server.Wait([&] { return rig.server.job(job).result.has_value(); }));
    rig.daemon_process->Stop(SIGKILL);
    rig.StartDaemon();
    REQUIRE(rig.server.Wait([&] { return rig.server.job(job).result.has_value(); }));
    jobs.push_back(job);
  }
  const auto lock = rig.server.Lock();
  for (const daemon::Id& job : jobs) CHECK(rig.server.job(job).result == protocol::Status::kOk);
  CHECK(rig.server.keys[device].receipts.size() == jobs.size() + 1);
  CHECK(rig.server.refused_receipts == 0);
}

TEST_CASE("a key that restarts at once, and a simulator killed without removing its socket") {
  Rig rig;
  const daemon::Id device = rig.Enrol();
  rig.key->Stop(SIGKILL);
  REQUIRE(rig.server.Wait([&] { return rig.server.seen_keys.empty(); }));
  daemon::Id job;
  {
    const auto lock = rig.server.Lock();
    job = rig.server.QueueJob(device);
  }
  rig.StartKey();
  REQUIRE(rig.server.Wait([&] { return rig.server.job(job).result.has_value(); }));
}

TEST_CASE("a voided job is not delivered") {
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
  {
    const auto lock = rig.server.Lock();
    rig.server.VoidJob(job);
  }
  CHECK(rig.StatusHas("\"jobs\":0"));
  rig.Control("plug");
  REQUIRE(rig.server.Wait([&] { return !rig.server.seen_keys.empty(); }));
  const auto lock = rig.server.Lock();
  CHECK_FALSE(rig.server.job(job).result);
}

TEST_CASE("a second daemon says who has the state and the key") {
  Rig rig;
  rig.Enrol();
  const auto pid = std::to_string(rig.daemon_process->pid());
  const auto second = test::RunProgram({KEYFERRYD, "--config", rig.config.string()});
  CHECK(second.exit_code == 1);
  CHECK(second.output.find("process " + pid) != std::string::npos);

  // Another state folder and socket, the same key.
  const fs::path other = rig.dir / "other.toml";
  const std::string socket = (rig.dir / "other.sock").string();
  std::ofstream(other) << "server_url = \"" << rig.server.url() << "\"\nserver_ca = \""
                       << (rig.dir / "ca.pem").string() << "\"\nstate_dir = \""
                       << (rig.dir / "other").string() << "\"\nsocket = \"" << socket
                       << "\"\nagent_wait = 600\nlog_file = \"" << (rig.dir / "other.log").string()
                       << "\"\n[keys]\nusb = \"off\"\nbluetooth = false\nsockets = [\""
                       << rig.key_socket.string() << "\"]\n";
  fs::permissions(other, fs::perms::owner_read | fs::perms::owner_write);
  test::Process third({KEYFERRYD, "--config", other.string()});
  REQUIRE(third.WaitForLine("ready"));
  std::string status;
  for (int i = 0; i < 500 && status.find(pid) == std::string::npos; ++i) {
    status = test::RunProgram({KEYFERRY, "status", "--socket", socket}).output;
  }
  INFO(status);
  CHECK(status.find("is in use by process " + pid) != std::string::npos);
  CHECK(third.Stop(SIGTERM) == 0);
}

TEST_CASE("keyferry status speaks in words, before and after") {
  Rig rig;
  CHECK(rig.StatusHas("\"state\":\"pending\""));
  const auto before =
      test::RunProgram({KEYFERRY, "status", "--socket", rig.daemon_socket.string()});
  CHECK(before.exit_code == 0);
  INFO(before.output);
  CHECK(before.output.find("approve this workstation") != std::string::npos);
  rig.Enrol();
  CHECK(rig.StatusHas("\"known\":true"));
  const auto after = test::RunProgram({KEYFERRY, "status", "--socket", rig.daemon_socket.string()});
  INFO(after.output);
  CHECK(after.output.find("connected to " + rig.server.url()) != std::string::npos);
  CHECK(after.output.find("belongs to alice") != std::string::npos);
  CHECK(rig.daemon_process->Stop(SIGTERM) == 0);
  const auto none = test::RunProgram({KEYFERRY, "status", "--socket", rig.daemon_socket.string()});
  CHECK(none.exit_code == 1);
  CHECK(none.output.find("start it") != std::string::npos);
}

TEST_CASE("files are closed to others and hold no clear text of a job") {
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
  std::size_t files = 0;
  for (const auto& entry : fs::recursive_directory_iterator(rig.state)) {
    struct stat info {};
    REQUIRE(lstat(entry.path().c_str(), &info) == 0);
    INFO(entry.path().string());
    CHECK((info.st_mode & 077) == 0);
    if (!S_ISREG(info.st_mode)) continue;
    ++files;
    std::ifstream in(entry.path(), std::ios::binary);
    const std::string content((std::istreambuf_iterator<char>(in)), {});
    CHECK(content.find(test::kJobPassword) == std::string::npos);
  }
  CHECK(files >= 6);
  const fs::path spooled = rig.state / "spool" / "jobs" / (daemon::Hex(job) + ".job");
  const auto shown = test::RunProgram({KEYFERRY, "job", "show", spooled.string()});
  CHECK(shown.exit_code == 0);
  CHECK(shown.output.find("SET_PASSWORD") != std::string::npos);
  CHECK(shown.output.find(daemon::Hex(device)) != std::string::npos);
}

TEST_CASE("keyferry doctor finds the running daemon, its server and the missing approval") {
  Rig rig;
  CHECK(rig.StatusHas("\"state\":\"pending\""));
  const std::vector<std::string> ask{KEYFERRY,
                                     "doctor",
                                     "--json",
                                     "--config",
                                     rig.config.string(),
                                     "--agent-socket",
                                     (rig.dir / "none.sock").string()};
  const auto before = test::RunProgram(ask);
  INFO(before.output);
  CHECK(before.exit_code == 2);
  CHECK(before.output.find("keyferryd runs and answers") != std::string::npos);
  CHECK(before.output.find("its certificate is good") != std::string::npos);
  CHECK(before.output.find("The state folder is the daemon's alone") != std::string::npos);
  CHECK(before.output.find("is not approved") != std::string::npos);
  rig.Enrol();
  const auto after = test::RunProgram(ask);
  INFO(after.output);
  CHECK(after.output.find("This workstation is approved.") != std::string::npos);
  CHECK(rig.daemon_process->Stop(SIGTERM) == 0);
  const auto stopped = test::RunProgram(ask);
  INFO(stopped.output);
  CHECK(stopped.exit_code == 2);
  CHECK(stopped.output.find("start keyferryd") != std::string::npos);
}
