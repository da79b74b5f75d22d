// keyferryd itself at a key of the guest's kernel: two of them at one key, and a key that is put in
// and pulled a hundred times. Behind tests/vm/roads:
//   vm_daemons -r lines
#include <sys/prctl.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <thread>

#include "firmware-sim/endpoint/control_client.h"
#include "tests/integration/daemon/process.h"
#include "tests/integration/daemon/test_server.h"
#include "tests/unit/client-daemon/temp_dir.h"
#include "tests/vm/presence.h"
#include "tests/vm/waiting.h"

using namespace keyferry;
using Clock = std::chrono::steady_clock;
namespace fs = std::filesystem;

namespace {

constexpr int kPlugs = 100;
constexpr int kWarmUp = 20;
// What a hundred plugs may leave behind that is not a leak: the allocator's own slack.
constexpr long kSlackKib = 2048;

// Until `done`; what is looked at belongs to another process, which tells nobody.
bool Eventually(const std::string& words, const std::function<bool()>& done) {
  const test::Waiting step(words);
  const auto until = Clock::now() + 2 * test::kGuestPatience;
  while (!done()) {
    if (Clock::now() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return true;
}

// Its power comes by the socket, where nobody asks for it, so that a plug costs no boot: the kernel
// makes and removes the HID device as fast as it is told to.
class Key {
 public:
  Key()
      : process_({KEYFERRY_BIN "/keyferry-sim", "--state", dir_ / "flash", "--control",
                  dir_ / "control", "--touch", "auto", "--socket", dir_ / "power", "--uhid"}) {
    REQUIRE(process_.WaitForLine("ready"));
    const std::string start = "\"device_id\":\"";
    const std::string& ready = process_.output();
    device_ = ready.substr(ready.find(start) + start.size(), 32);
  }
  const std::string& device() const { return device_; }  // hex
  void Control(const std::string& command) {
    const auto answer = sim::SendControl(dir_ / "control", command);
    REQUIRE(answer);
    REQUIRE(answer->rfind(R"({"ok":true)", 0) == 0);
  }

 private:
  test::TempDir dir_;
  test::Process process_;
  std::string device_;
};

class Daemon {
 public:
  explicit Daemon(const test::TestServer& server) {
    std::ofstream(dir_ / "ca.pem") << server.pki.ca_pem();
    std::ofstream(dir_ / "keyferryd.toml")
        << "server_url = \"" << server.url() << "\"\nserver_ca = \"" << (dir_ / "ca.pem")
        << "\"\nstate_dir = \"" << (dir_ / "state") << "\"\nsocket = \"" << (dir_ / "socket")
        << "\"\nname = \"desk\"\nagent_wait = 0\nlog_file = \"" << (dir_ / "log")
        << "\"\n[keys]\nusb = \"hidraw\"\nbluetooth = false\n";
    fs::permissions(dir_ / "keyferryd.toml", fs::perms::owner_read | fs::perms::owner_write);
    process_ = std::make_unique<test::Process>(
        std::vector<std::string>{KEYFERRY_BIN "/keyferryd", "--config", dir_ / "keyferryd.toml"});
  }

  ~Daemon() {
    if (std::uncaught_exceptions() > 0) std::fprintf(stderr, "%s\n", Log().c_str());
  }
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  std::string Pid() const { return std::to_string(process_->pid()); }
  int Stop() { return process_->Stop(SIGTERM); }

  std::string Log() const {
    std::ifstream file(dir_ / "log");
    return {std::istreambuf_iterator<char>(file), {}};
  }
  bool Says(const std::string& words) const {
    return Eventually("keyferryd to say: " + words,
                      [&] { return Log().find(words) != std::string::npos; });
  }
  int Attached() const { return Count(" attached at "); }
  int Attached(const Key& key) const {
    return Count("key " + key.device() + " attached at /dev/hidraw");
  }
  bool HasNoKey() const {
    return Eventually("keyferryd to let go of the key",
                      [&] { return Count(" gone from ") == Attached(); });
  }
  int Came() const { return Count("A security key came: /dev/hidraw"); }
  bool SeesOneAfter(int count) const {
    return Eventually("keyferryd to see the key", [&] { return Came() > count; });
  }
  bool AttachesAfter(int count) const {
    return Eventually("keyferryd to attach the key", [&] { return Attached() > count; });
  }

  std::size_t OpenFiles() const {
    std::error_code gone;
    const fs::directory_iterator files("/proc/" + Pid() + "/fd", gone);
    return static_cast<std::size_t>(std::distance(begin(files), end(files)));
  }
  long MemoryKib() const {
    std::ifstream file("/proc/" + Pid() + "/status");
    std::string line;
    while (std::getline(file, line)) {
      if (line.rfind("VmRSS:", 0) == 0) return std::stol(line.substr(6));
    }
    return 0;
  }

 private:
  int Count(const std::string& words) const {
    const std::string log = Log();
    int count = 0;
    for (auto at = log.find(words); at != std::string::npos; at = log.find(words, at + 1)) ++count;
    return count;
  }

  test::TempDir dir_;
  std::unique_ptr<test::Process> process_;
};

}  // namespace

TEST_CASE("two keyferryds at one key: one works, the other says which process has it") {
  const test::TestServer server;  // neither of them is approved
  const Key key;
  Daemon first(server);
  REQUIRE(first.AttachesAfter(0));
  Daemon second(server);
  CHECK(second.Says("in use by process " + first.Pid() + ";"));
  CHECK(second.Attached() == 0);
  // It gets its turn when the other one lets go.
  CHECK(first.Stop() == 0);
  CHECK(second.AttachesAfter(0));
  CHECK(second.Stop() == 0);
}

// keyferryd may skip what is gone before it has looked: most of the hundred keys live for a few
// milliseconds, and udevd is done with some of them only when they are gone. It may not take one
// for another, keep anything of them, or miss the one that stays.
TEST_CASE("a hundred plugs and pulls leave keyferryd as it was, and the key that stays delivers") {
  // Freed memory goes back at once, or it would look like a leak.
  setenv("ASAN_OPTIONS", "detect_leaks=1:quarantine_size_mb=0:thread_local_quarantine_size_kb=0",
         1);
  // So would pages that the kernel joins to huge ones, some time after they were touched: ten MiB
  // after a minute in which nothing happened. keyferryd inherits this.
  REQUIRE(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0);
  test::TestServer server;
  const auto at_server = [&](const std::string& words, const std::function<bool()>& done) {
    const test::Waiting step(words);
    for (int i = 0; i < 4; ++i) {
      if (server.Wait(done)) return true;
    }
    return false;
  };
  {
    const auto lock = server.Lock();
    server.Approve();
  }
  Key key;
  Daemon daemon(server);
  const auto device = *daemon::ParseId(key.device());
  REQUIRE(at_server("the key is known", [&] { return server.seen_keys.count(key.device()) == 1; }));
  {
    const auto lock = server.Lock();
    server.Enrol(device);
  }
  REQUIRE(at_server("the key is enrolled", [&] {
    return server.keys.count(device) == 1 && !server.keys[device].receipts.empty();
  }));
  const auto delivers = [&] {
    daemon::Id job;
    {
      const auto lock = server.Lock();
      job = server.QueueJob(device);
    }
    REQUIRE(at_server("the job's receipt", [&] { return server.job(job).result.has_value(); }));
    const auto lock = server.Lock();
    CHECK(server.job(job).result == protocol::Status::kOk);
  };
  delivers();

  // Pulled as soon as keyferryd has seen it, wherever it is then. This makes what is made once,
  // too.
  for (int i = 0; i < kWarmUp; ++i) {
    const int came = daemon.Came();
    key.Control("unplug uhid");
    key.Control("plug uhid");
    REQUIRE(daemon.SeesOneAfter(came));
  }
  const auto rest = [&] {
    key.Control("unplug uhid");
    REQUIRE(daemon.HasNoKey());
    const int attached = daemon.Attached();
    key.Control("plug uhid");
    REQUIRE(daemon.AttachesAfter(attached));
    delivers();
  };
  rest();
  const std::size_t files = daemon.OpenFiles();
  const long memory = daemon.MemoryKib();
  const int came = daemon.Came();
  const int attached = daemon.Attached();

  const auto began = Clock::now();
  for (int i = 0; i < kPlugs; ++i) {
    key.Control("unplug uhid");
    key.Control("plug uhid");
  }
  const std::chrono::duration<double> took = Clock::now() - began;
  rest();
  CHECK(Eventually("keyferryd's files", [&] { return daemon.OpenFiles() <= files; }));
  CHECK(daemon.MemoryKib() <= memory + kSlackKib);
  // Each that came is told with its place, each that was spoken to with its number.
  CHECK(daemon.Attached(key) == daemon.Attached());
  std::printf(
      "  %d plugs and pulls in %.1f s; seen %d times, attached %d times; %zu files, %+ld KiB\n",
      kPlugs, took.count(), daemon.Came() - came, daemon.Attached() - attached, daemon.OpenFiles(),
      daemon.MemoryKib() - memory);
  {
    const auto lock = server.Lock();
    CHECK(server.refused_receipts == 0);
    CHECK(server.duplicates == 0);
    CHECK(server.keys[device].receipts.size() == 4);  // enrolment and three deliveries
  }
  // Nothing is leaked, says the sanitizer.
  CHECK(daemon.Stop() == 0);
  server.Stop();
}
