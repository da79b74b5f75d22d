#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace keyferry::test {

// A program under test. Its standard output is read line by line; standard error goes to ours.
class Process {
 public:
  explicit Process(std::vector<std::string> arguments);
  ~Process();  // SIGKILL when it still runs
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  // Reads standard output until a line contains `text`; false when it ends first.
  bool WaitForLine(const std::string& text);
  // Reads all that is left and waits: the exit code, 128 + n when signal n ended it.
  int Wait();
  int Stop(int signal);
  const std::string& output() const { return output_; }

 private:
  pid_t pid_ = -1;
  int out_fd_ = -1;
  int exit_code_ = -1;
  std::string output_;
};

// Runs to the end; standard output and error together.
struct Outcome {
  int exit_code = -1;
  std::string output;
};
Outcome RunProgram(std::vector<std::string> arguments);

}  // namespace keyferry::test
