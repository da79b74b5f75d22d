#pragma once

#include <chrono>
#include <string>

namespace keyferry::test {

// Says what the scenario is busy with, for as long as this lives: each step has an end of its own,
// and one that has none after all is ended with these words by the reporter (line_reporter.cc).
// Made and destroyed on the scenario's thread.
class Waiting {
 public:
  explicit Waiting(std::string words);
  ~Waiting();
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;

  // Of any thread. The steps, the outer first: "delivery of job 12 > PUT_JOB"; empty outside of
  // all.
  static std::string Words();
  // How long ago the last step began or ended; zero outside of all.
  static std::chrono::steady_clock::duration Stuck();
};

}  // namespace keyferry::test
