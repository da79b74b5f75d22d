#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace keyferry::server {

// One thing that was looked at. `cause` and `fix` are sentences; a fix may hold a command to copy,
// on lines of its own. Both are empty when all is well.
struct Finding {
  enum class Status { kOk, kWarning, kProblem };
  Status status = Status::kOk;
  std::string what;
  std::string cause;
  std::string fix;
};

using Findings = std::vector<Finding>;

// Looks at everything that the server stands on, for the page of administrators. Thread-safe.
class CheckUp {
 public:
  struct Report {
    Findings findings;
    std::int64_t at = 0;  // Unix milliseconds; 0 = nobody has looked yet
  };
  virtual ~CheckUp() = default;
  // What was found last. Never waits for a run.
  virtual Report Latest() = 0;
  // Looks again. Blocks for some round trips to each controller; one at a time runs, and one that
  // is only seconds old is not repeated.
  virtual void Run() = 0;
};

}  // namespace keyferry::server
