#pragma once

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

}  // namespace keyferry::server
