// Catch2's results as scripts/test shows them: '✓ name (seconds)' or '✗ name: reason', then
// 'N passed, N failed'. Choose it with `-r lines`.
#define CATCH_CONFIG_EXTERNAL_INTERFACES
#include <catch2/catch.hpp>
#include <chrono>
#include <iomanip>
#include <sstream>

namespace {

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
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began_;
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
};
CATCH_REGISTER_REPORTER("lines", LineReporter)

}  // namespace
