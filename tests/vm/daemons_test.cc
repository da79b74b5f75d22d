// keyferryd itself at a key of the guest's kernel: two of them at one key, and a key that is put in
// and pulled a hundred times. Behind tests/vm/roads:
//   vm_daemons -r lines
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
#include "tests/integration/daemon/pki.h"
#include "tests/integration/daemon/process.h"
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

class Key {
 public:
  Key()
      : process_({KEYFERRY_BIN "/keyferry-sim", "--state", dir_ / "flash", "--control",
                  dir_ / "control", "--touch", "auto", "--uhid"}) {
    REQUIRE(process_.WaitForLine("ready"));
  }
  void Control(const std::string& command) {
    const auto answer = sim::SendControl(dir_ / "control", command);
    REQUIRE(answer);
    REQUIRE(answer->rfind(R"({"ok":true)", 0) == 0);
  }

 private:
  test::TempDir dir_;
  test::Process process_;
};

// Its server is never there; all it has to do is to look after the key.
class Daemon {
 public:
  Daemon() {
    std::ofstream(dir_ / "ca.pem") << pki_.ca_pem();
    std::ofstream(dir_ / "keyferryd.toml")
        << "server_url = \"https://localhost:1\"\nserver_ca = \"" << (dir_ / "ca.pem")
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
  bool HasNoKey() const {
    return Eventually("keyferryd to let go of the key",
                      [&] { return Count(" gone from ") == Attached(); });
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
  test::Pki pki_;
  std::unique_ptr<test::Process> process_;
};

}  // namespace

TEST_CASE("two keyferryds at one key: one works, the other says which process has it") {
  const Key key;
  Daemon first;
  REQUIRE(first.AttachesAfter(0));
  Daemon second;
  CHECK(second.Says("in use by process " + first.Pid() + ";"));
  CHECK(second.Attached() == 0);
  // It gets its turn when the other one lets go.
  CHECK(first.Stop() == 0);
  CHECK(second.AttachesAfter(0));
  CHECK(second.Stop() == 0);
}

TEST_CASE("a hundred plugs and pulls leave keyferryd as it was") {
  // Freed memory goes back at once, or it would look like a leak.
  setenv("ASAN_OPTIONS", "detect_leaks=1:quarantine_size_mb=0:thread_local_quarantine_size_kb=0",
         1);
  Key key;
  Daemon daemon;
  REQUIRE(daemon.AttachesAfter(0));
  std::size_t files = 0;
  long memory = 0;
  // The first round is to make what is made once.
  for (const int plugs : {kWarmUp, kPlugs}) {
    const auto began = Clock::now();
    for (int i = 0; i < plugs; ++i) {
      key.Control("unplug");
      key.Control("plug");
    }
    const std::chrono::duration<double> took = Clock::now() - began;
    // With one more, of which it is known that it was seen, all is at rest again.
    key.Control("unplug");
    REQUIRE(daemon.HasNoKey());
    const int attached = daemon.Attached();
    key.Control("plug");
    REQUIRE(daemon.AttachesAfter(attached));
    if (plugs == kPlugs) {
      CHECK(Eventually("keyferryd's files", [&] { return daemon.OpenFiles() <= files; }));
      CHECK(daemon.MemoryKib() <= memory + kSlackKib);
      std::printf("  %d plugs and pulls in %.1f s; attached %d times; %zu files, %+ld KiB\n",
                  kPlugs, took.count(), attached, files, daemon.MemoryKib() - memory);
    }
    files = daemon.OpenFiles();
    memory = daemon.MemoryKib();
  }
  // Nothing is leaked, says the sanitizer.
  CHECK(daemon.Stop() == 0);
}
