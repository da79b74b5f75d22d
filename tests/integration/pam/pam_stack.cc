#include "tests/integration/pam/pam_stack.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <stdexcept>

namespace keyferry::tests {
namespace fs = std::filesystem;
namespace {

constexpr const char* kMatrix = "/usr/lib/x86_64-linux-gnu/pam_wrapper/pam_matrix.so";

void Replace(std::string& text, const std::string& what, const std::string& with) {
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += with.size()) {
    text.replace(at, what.size(), with);
  }
}

}  // namespace

PamStack::PamStack() {
  signal(SIGPIPE, SIG_IGN);
  std::string name = (fs::temp_directory_path() / "keyferry-pam-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
  directory_ = name;
  // The unprivileged caller of some tests reads service files and connects here.
  chmod(name.c_str(), 0755);
  fs::create_directory(directory_ / "services");
  std::ofstream(Path("passdb")) << "alice:from-the-person:matrix\n";
  std::ofstream(Path("services/other")) << "auth required pam_deny.so\n";
}

PamStack::~PamStack() {
  std::error_code ignored;
  fs::remove_all(directory_, ignored);
}

void PamStack::Service(const std::string& name, std::string lines) {
  Replace(lines, "$MODULE", std::string(KEYFERRY_PAM_MODULE) + " socket=" + AgentSocket());
  Replace(lines, "$MATRIX", std::string(kMatrix) + " passdb=" + Path("passdb"));
  Replace(lines, "$SINK", std::string(KEYFERRY_PAM_SINK) + " " + Path("password"));
  std::ofstream(Path("services/" + name)) << lines;
}

PamRun RunTyped(std::vector<std::string> words, const std::string& typed,
                const std::vector<std::string>& environment, uid_t uid) {
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  std::vector<std::string> variables = environment;
  std::vector<char*> envp;
  for (std::string& variable : variables) envp.push_back(variable.data());
  envp.push_back(nullptr);
  int in[2];
  int out[2];
  if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0) throw std::runtime_error("pipe2");
  const pid_t child = fork();
  if (child == 0) {
    signal(SIGPIPE, SIG_DFL);
    dup2(in[0], 0);
    dup2(out[1], 1);
    dup2(out[1], 2);
    if (uid != 0 && (setgid(uid) != 0 || setuid(uid) != 0)) _exit(126);
    execvpe(argv[0], argv.data(), envp.data());
    _exit(127);
  }
  close(in[0]);
  close(out[1]);
  // Small enough for a pipe: never blocks. A pamtester that ended before it asked is told by its
  // status.
  [[maybe_unused]] const ssize_t n = write(in[1], typed.data(), typed.size());
  close(in[1]);

  PamRun run;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  bool hung = false;
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        end - std::chrono::steady_clock::now());
    pollfd fd{out[0], POLLIN, 0};
    if (left.count() <= 0 || poll(&fd, 1, static_cast<int>(left.count())) <= 0) {
      hung = true;
      kill(child, SIGKILL);
      break;
    }
    std::array<char, 4096> chunk;
    const ssize_t size = read(out[0], chunk.data(), chunk.size());
    if (size <= 0) break;
    run.output.append(chunk.data(), static_cast<std::size_t>(size));
  }
  close(out[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (!hung) run.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return run;
}

PamRun PamStack::Run(const std::string& service, const std::string& user,
                     const std::vector<std::string>& operations, const std::string& typed,
                     uid_t uid) {
  std::vector<std::string> words = {"pamtester", service, user};
  words.insert(words.end(), operations.begin(), operations.end());
  return RunTyped(std::move(words), typed,
                  {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LD_PRELOAD=libpam_wrapper.so",
                   "PAM_WRAPPER=1", "PAM_WRAPPER_SERVICE_DIR=" + Path("services"), "LC_ALL=C"},
                  uid);
}

std::string PamStack::TakePassword() {
  std::ifstream in(Path("password"), std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(in)), {});
  fs::remove(Path("password"));
  return text;
}

}  // namespace keyferry::tests
