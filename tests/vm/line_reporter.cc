// Catch2's results as scripts/test shows them: '✓ name (seconds)' or '✗ name: reason', then
// 'N passed, N failed'. Choose it with `-r lines`. A scenario that comes no further ends the
// program with the words of what it waits for, as a failure like any other.
#define CATCH_CONFIG_EXTERNAL_INTERFACES
#include <catch2/catch.hpp>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iomanip>
#include <iostream>
#include <memory>
#include <mutex>
#include <sstream>
#include <thread>

#include "tests/vm/waiting.h"

namespace {

using keyferry::test::Waiting;

// Longer than any one step may take that has an end of its own.
constexpr std::chrono::seconds kStuck{180};

// Where each thread of ours is in the kernel, for the log.
std::string Threads() {
  std::ostringstream out;
  std::error_code error;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task", error)) {
    out << "thread " << task.path().filename().string() << ": ";
    for (const char* file : {"comm", "wchan", "stack"}) {
      std::ifstream in(task.path() / file);
      std::string line;
      while (std::getline(in, line)) out << line << ' ';
    }
    out << '\n';
  }
  return out.str();
}

// Calls `stuck` on a thread of its own once a step has gone on for too long.
class Watchdog {
 public:
  explicit Watchdog(std::function<void()> stuck)
      : stuck_(std::move(stuck)), thread_([this] { Watch(); }) {}
  ~Watchdog() {
    {
      const std::scoped_lock lock(mutex_);
      stop_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

 private:
  void Watch() {
    std::unique_lock lock(mutex_);
    while (!changed_.wait_for(lock, std::chrono::seconds(1), [this] { return stop_; })) {
      if (Waiting::Stuck() > kStuck) return stuck_();
    }
  }

  const std::function<void()> stuck_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stop_ = false;
  std::thread thread_;
};

class LineReporter final : public Catch::StreamingReporterBase<LineReporter> {
 public:
  explicit LineReporter(const Catch::ReporterConfig& config) : StreamingReporterBase(config) {
    m_reporterPrefs.shouldRedirectStdOut = false;
  }
  static std::string getDescription() { return "one line a scenario"; }

  void testCaseStarting(const Catch::TestCaseInfo& info) override {
    StreamingReporterBase::testCaseStarting(info);
    began_ = std::chrono::steady_clock::now();
    reason_.clear();
    watchdog_ = std::make_unique<Watchdog>([this, name = info.name] {
      stream << "✗ " << name << ": no end of: " << Waiting::Words() << std::endl
             << passed_ << " passed, " << failed_ + 1 << " failed" << std::endl;
      std::cerr << Threads() << std::flush;
      std::_Exit(3);
    });
  }
  void assertionStarting(const Catch::AssertionInfo&) override {}
  bool assertionEnded(const Catch::AssertionStats& stats) override {
    const Catch::AssertionResult& result = stats.assertionResult;
    if (result.isOk() || !reason_.empty()) return true;
    std::ostringstream text;
    if (result.hasExpression()) text << result.getExpandedExpression();
    if (result.hasMessage()) text << (result.hasExpression() ? " " : "") << result.getMessage();
    for (const Catch::MessageInfo& info : stats.infoMessages) {
      if (info.type == Catch::ResultWas::Info) text << "; " << info.message;
    }
    text << " [" << result.getSourceInfo() << ']';
    reason_ = text.str();
    for (char& c : reason_) {
      if (c == '\n') c = ' ';
    }
    return true;
  }
  void testCaseEnded(const Catch::TestCaseStats& stats) override {
    watchdog_.reset();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began_;
    ++(stats.totals.assertions.failed == 0 ? passed_ : failed_);
    if (stats.totals.assertions.failed == 0) {
      stream << "✓ " << stats.testInfo.name << " (" << std::fixed << std::setprecision(1)
             << took.count() << " s)" << std::endl;
    } else {
      stream << "✗ " << stats.testInfo.name << ": " << reason_ << std::endl;
    }
    StreamingReporterBase::testCaseEnded(stats);
  }
  void testRunEnded(const Catch::TestRunStats& stats) override {
    stream << stats.totals.testCases.passed << " passed, " << stats.totals.testCases.failed
           << " failed" << std::endl;
    StreamingReporterBase::testRunEnded(stats);
  }

 private:
  std::chrono::steady_clock::time_point began_;
  std::string reason_;
  int passed_ = 0, failed_ = 0;
  std::unique_ptr<Watchdog> watchdog_;
};
CATCH_REGISTER_REPORTER("lines", LineReporter)

}  // namespace
