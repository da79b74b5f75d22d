#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace keyferry::testing {

struct ProcessResult {
  int status = -1;     // exit status, or 128 + signal
  std::string output;  // standard output and error together
};

// Runs a program (looked up in PATH and the sbin directories) to its end, with `input` on its
// standard input.
ProcessResult RunProcess(const std::vector<std::string>& argv, std::string_view input = {});

// Throws std::runtime_error with the program's output when it ended with another status than 0.
void Must(const ProcessResult& result, const std::string& what);

// The same with a descriptor of the caller's as standard input.
ProcessResult RunProcessOn(const std::vector<std::string>& argv, int standard_input);

}  // namespace keyferry::testing
