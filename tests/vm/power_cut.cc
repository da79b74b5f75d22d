// The power of a whole workstation fails twenty times while jobs are on their way to its key. The
// server runs here, on the machine that hosts the guest; keyferryd and the key run in the guest and
// lose everything but what they had made durable.
#include "tests/vm/power_cut.h"

#include <catch2/catch.hpp>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <thread>

#include "tests/integration/daemon/process.h"
#include "tests/integration/daemon/test_server.h"
#include "tests/unit/client-daemon/temp_dir.h"
#include "tests/vm/waiting.h"

using namespace keyferry;
namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

namespace {

int Cuts() {
  const char* text = std::getenv("KEYFERRY_VM_CUTS");
  return text ? std::atoi(text) : 20;
}

// What the server knew of a job when the power went.
struct Job {
  std::uint64_t seq = 0;
  bool spooled = false, home = false;
};

// Where the guest's programs come from.
struct Programs {
  std::string bin, tests;
};

// Those of this build, under the sanitizers; and as they ship, which are faster, so that the cuts
// fall elsewhere: the build in KEYFERRY_VM_SHIPPED, if there is one.
Programs Sanitized() { return {KEYFERRY_BIN, KEYFERRY_TESTS}; }
Programs Shipped() {
  const char* build = std::getenv("KEYFERRY_VM_SHIPPED");
  if (build == nullptr) return Sanitized();
  return {std::string(build) + "/bin", std::string(build) + "/tests"};
}

// How long a delivery takes to the spool, and from there until its receipt is home.
struct Moments {
  Clock::duration to_spool{}, to_home{};
};

// How far the jobs had come.
struct Places {
  int server = 0, spooled = 0, key = 0, home = 0;
};

struct Workstation {
  test::TempDir dir;
  test::TestServer server{"host"};
  std::unique_ptr<test::Process> guest;
  const fs::path out = dir / "out", disk = dir / "disk", flash = dir / "flash";

  Workstation() {
    server.password = test::PowerCutPassword;
    fs::create_directories(out);
    for (const fs::path& file : {disk, flash}) {
      std::ofstream(file).close();
      fs::resize_file(file, 64 << 20);
      REQUIRE(test::RunProgram({"/sbin/mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", file})
                  .exit_code == 0);
    }
    std::ofstream(out / "ca.pem") << server.pki.ca_pem();
    std::ofstream(out / "keyferryd.toml")
        << "server_url = \"" << server.url() << "\"\nserver_ca = \"/mnt/out/ca.pem\"\n"
        << "state_dir = \"/mnt/disk/state\"\nsocket = \"/run/daemon.sock\"\n"
        << "name = \"outage\"\nlog_level = \"debug\"\n"
        << "agent_wait = 0\nlog_file = \"/mnt/out/keyferryd.log\"\n"
        << "[keys]\nusb = \"off\"\nbluetooth = false\nsockets = [\"/run/key.sock\"]\n";
    fs::permissions(out / "keyferryd.toml", fs::perms::owner_read | fs::perms::owner_write);
    const auto host = server.organisation.Host(protocol::kRoleLogin | protocol::kRoleDeliver);
    std::ofstream identity(out / "identity", std::ios::binary);
    identity.write(reinterpret_cast<const char*>(host.noise_key.bytes.data()),
                   static_cast<std::streamsize>(host.noise_key.bytes.size()));
    identity.write(reinterpret_cast<const char*>(host.certificate.data()),
                   static_cast<std::streamsize>(host.certificate.size()));
  }
  ~Workstation() {
    if (std::uncaught_exceptions() > 0) {
      for (const char* log : {"out/keyferryd.log", "out/kernel.log", "vm.log"}) {
        std::cout << log << ":\n" << std::ifstream(dir / log).rdbuf() << std::endl;
      }
    }
    // Else it would run until its time is up, and we would wait for it.
    if (guest) Kill();
    server.Stop();
  }

  // Four times the server's patience: the guest's processor is emulated, and shared.
  void WaitFor(const std::string& words, const std::function<bool()>& done) {
    const test::Waiting step(words);
    for (int i = 0; i < 4; ++i) {
      if (server.Wait(done)) return;
    }
    FAIL("It never came to this: " << words);
  }

  // Boots; returns what the key said of itself before the daemon came to it.
  std::string Boot(const Programs& programs) {
    const test::Waiting step("the guest to boot and its key to be ready");
    fs::remove(out / "qemu.pid");
    guest = std::make_unique<test::Process>(std::vector<std::string>{
        "/bin/bash", "-c", "exec \"$0\" \"$@\" 2>>" + (dir / "vm.log"), KEYFERRY_ROOT "/scripts/vm",
        "run", "--out", out, "--disk", disk, "--flash", flash, "--forward",
        std::to_string(server.port()), "--timeout", "300", "--",
        KEYFERRY_ROOT "/tests/vm/workstation", programs.bin, programs.tests});
    const bool up = guest->WaitForLine("ready");
    const std::string& text = guest->output();
    INFO(text);
    REQUIRE(up);
    REQUIRE(text.find("spool: 0 damaged files") != std::string::npos);
    const auto begin = text.find("key: ");
    REQUIRE(begin != std::string::npos);
    return text.substr(begin + 5, text.find('\n', begin) - begin - 5);
  }

  void CutPower() { REQUIRE(Kill()); }

  // False when it has not begun to run.
  bool Kill() {
    pid_t pid = 0;
    std::ifstream(out / "qemu.pid") >> pid;
    if (pid > 1) kill(pid, SIGKILL);
    const test::Waiting step("the killed guest to end");
    guest.reset();
    return pid > 1;
  }

  Job Known(const daemon::Id& job) {
    const auto lock = server.Lock();
    const auto& known = server.job(job);
    return {known.seq, known.spooled, known.result.has_value()};
  }

  daemon::Id Queue(const daemon::Id& device) {
    const auto lock = server.Lock();
    return server.QueueJob(device);
  }

  // One delivery without a cut says how long the moments to choose from are.
  Moments Deliver(const daemon::Id& device, daemon::Id& job) {
    const auto queued = Clock::now();
    job = Queue(device);
    WaitFor("the job is spooled", [&] { return server.job(job).spooled; });
    const auto spooled = Clock::now();
    WaitFor("the receipt is home", [&] { return server.job(job).result.has_value(); });
    return {spooled - queued, Clock::now() - spooled};
  }
};

// The seq that the key releases, from its own words; 0 while it has no password.
std::uint64_t Released(const std::string& words) {
  if (words == "no password") return 0;
  const std::string start = "releases ";
  INFO(words);
  REQUIRE(words.rfind(start, 0) == 0);
  return std::stoull(words.substr(start.size()));
}

void CheckChain(const std::vector<protocol::Receipt>& receipts) {
  for (std::size_t i = 1; i < receipts.size(); ++i) {
    INFO("receipt " << i + 1);
    CHECK(receipts[i].receipt_ctr == i + 1);
    CHECK(receipts[i].seq == i);
    CHECK(receipts[i].previous_hash == protocol::ReceiptHash(receipts[i - 1].Encode()));
  }
}

}  // namespace

TEST_CASE("power cut of the whole workstation during delivery, again and again") {
  Workstation desk;
  test::TestServer& server = desk.server;
  {
    const auto lock = server.Lock();
    server.Approve();
  }
  CHECK(desk.Boot(Sanitized()) == "empty");
  desk.WaitFor("the key is known", [&] { return server.seen_keys.size() == 1; });
  daemon::Id device;
  {
    const auto lock = server.Lock();
    device = *daemon::ParseId(*server.seen_keys.begin());
    server.Enrol(device);
  }
  desk.WaitFor("the key is enrolled",
               [&] { return server.keys.count(device) && !server.keys[device].receipts.empty(); });
  daemon::Id job{};
  const Moments sanitized = desk.Deliver(device, job);
  desk.CutPower();
  CHECK(Released(desk.Boot(Shipped())) == desk.Known(job).seq);
  const Moments shipped = desk.Deliver(device, job);
  desk.CutPower();

  const int cuts = Cuts();
  Places places;
  Job cut_off = desk.Known(job);
  for (int cut = 0; cut < cuts; ++cut) {
    INFO("cut " << cut);
    // Every third one under the sanitizers, and among them each kind of moment.
    const bool plain = cut % 3 != 0;
    const Moments& moments = plain ? shipped : sanitized;
    const std::uint64_t released = Released(desk.Boot(plain ? Shipped() : Sanitized()));
    // The old password or the new one; once the receipt is home, the new one.
    CHECK((released == cut_off.seq || released + 1 == cut_off.seq));
    if (cut_off.home) CHECK(released == cut_off.seq);
    if (released == cut_off.seq) {
      ++(cut_off.home ? places.home : places.key);
    } else {
      ++(cut_off.spooled ? places.spooled : places.server);
    }
    desk.WaitFor("the receipt is home", [&] { return server.job(job).result.has_value(); });
    {
      const auto lock = server.Lock();
      CHECK(server.job(job).result == protocol::Status::kOk);
    }
    job = desk.Queue(device);
    // Not a wait for anything: the moment of the cut, another one each time. One in four before the
    // job is spooled, the others spread over its way to the key and back.
    if (cut % 4 == 0) {
      std::this_thread::sleep_for(moments.to_spool * cut / cuts);
    } else {
      desk.WaitFor("the job is spooled", [&] { return server.job(job).spooled; });
      std::this_thread::sleep_for(moments.to_home * cut / cuts);
    }
    desk.CutPower();
    cut_off = desk.Known(job);
  }
  desk.Boot(Sanitized());
  desk.WaitFor("the receipt is home", [&] { return server.job(job).result.has_value(); });
  const auto lock = server.Lock();
  const auto& receipts = server.keys[device].receipts;
  // Enrolment, two deliveries before, and each of the cut ones, exactly once.
  CHECK(receipts.size() == static_cast<std::size_t>(cuts) + 3);
  CheckChain(receipts);
  CHECK(server.refused_receipts == 0);
  std::cout << "  " << cuts << " cuts: before the spool " << places.server << ", spooled "
            << places.spooled << ", on the key " << places.key << ", receipt home " << places.home
            << std::endl;
}
