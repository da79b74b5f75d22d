#include "tests/support/dc/process.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <stdexcept>

namespace keyferry::testing {
namespace {

std::vector<std::string> Environment() {
  std::vector<std::string> out{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"};
  for (char** at = environ; *at != nullptr; ++at) {
    if (std::string_view(*at).substr(0, 5) != "PATH=") out.emplace_back(*at);
  }
  return out;
}

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> out;
  for (std::string& text : strings) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

}  // namespace

// Output goes to a memory file, not a pipe: a daemon that keeps the descriptor does not keep us.
ProcessResult RunProcessOn(const std::vector<std::string>& argv, int standard_input) {
  const int output = memfd_create("output", MFD_CLOEXEC);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, standard_input, 0);
  posix_spawn_file_actions_adddup2(&actions, output, 1);
  posix_spawn_file_actions_adddup2(&actions, output, 2);
  std::vector<std::string> arguments = argv;
  std::vector<std::string> environment = Environment();
  pid_t pid = 0;
  const int error = posix_spawnp(&pid, argv[0].c_str(), &actions, nullptr,
                                 Pointers(arguments).data(), Pointers(environment).data());
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) throw std::runtime_error("cannot run " + argv[0]);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  ProcessResult result;
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  std::array<char, 4096> buffer{};
  off_t at = 0;
  for (ssize_t n = 0; (n = pread(output, buffer.data(), buffer.size(), at)) > 0; at += n) {
    result.output.append(buffer.data(), static_cast<std::size_t>(n));
  }
  close(output);
  return result;
}

ProcessResult RunProcess(const std::vector<std::string>& argv, std::string_view input) {
  const int file = memfd_create("input", MFD_CLOEXEC);
  if (write(file, input.data(), input.size()) != static_cast<ssize_t>(input.size())) {
    throw std::runtime_error("cannot write the input of " + argv[0]);
  }
  lseek(file, 0, SEEK_SET);
  ProcessResult result = RunProcessOn(argv, file);
  close(file);
  return result;
}

void Must(const ProcessResult& result, const std::string& what) {
  if (result.status == 0) return;
  throw std::runtime_error(what + " failed (" + std::to_string(result.status) +
                           "): " + result.output);
}

}  // namespace keyferry::testing
