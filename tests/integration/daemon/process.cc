#include "tests/integration/daemon/process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <stdexcept>

namespace keyferry::test {
namespace {

pid_t Spawn(std::vector<std::string>& arguments, int& out_fd, bool with_errors) {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) throw std::runtime_error("pipe");
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid == 0) {
    // Nothing may outlive the test, however it ends.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(126);
    dup2(fds[1], STDOUT_FILENO);
    if (with_errors) dup2(fds[1], STDERR_FILENO);
    execv(argv[0], argv.data());
    _exit(127);
  }
  close(fds[1]);
  out_fd = fds[0];
  return pid;
}

}  // namespace

Process::Process(std::vector<std::string> arguments) { pid_ = Spawn(arguments, out_fd_, false); }

Process::~Process() {
  if (pid_ > 0) Stop(SIGKILL);
  close(out_fd_);
}

bool Process::WaitForLine(const std::string& text) {
  std::string line;
  char c = 0;
  while (true) {
    const ssize_t n = read(out_fd_, &c, 1);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    output_ += c;
    if (c != '\n') {
      line += c;
      continue;
    }
    if (line.find(text) != std::string::npos) return true;
    line.clear();
  }
}

int Process::Wait() {
  if (pid_ <= 0) return exit_code_;
  char buffer[4096];
  while (true) {
    const ssize_t n = read(out_fd_, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    output_.append(buffer, static_cast<std::size_t>(n));
  }
  int status = 0;
  waitpid(pid_, &status, 0);
  pid_ = -1;
  exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return exit_code_;
}

int Process::Stop(int signal) {
  if (pid_ > 0) kill(pid_, signal);
  return Wait();
}

Outcome RunProgram(std::vector<std::string> arguments) {
  int fd = -1;
  const pid_t pid = Spawn(arguments, fd, true);
  Outcome out;
  char buffer[4096];
  ssize_t n = 0;
  while ((n = read(fd, buffer, sizeof buffer)) > 0 || (n < 0 && errno == EINTR)) {
    if (n > 0) out.output.append(buffer, static_cast<std::size_t>(n));
  }
  close(fd);
  int status = 0;
  waitpid(pid, &status, 0);
  out.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return out;
}

}  // namespace keyferry::test
