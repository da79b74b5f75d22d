#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

// A private folder with service files that pamtester reads through libpam-wrapper: /etc/pam.d is
// not touched.
namespace keyferry::tests {

struct PamRun {
  int status = -1;     // pamtester's exit status; -1: it had to be killed (a hang)
  std::string output;  // both streams, what people and syslog were told
  bool Says(const std::string& text) const { return output.find(text) != std::string::npos; }
  bool ok() const { return status == 0; }
};

// Runs a program with `typed` on its standard input. Killed when it takes 30 s: the guard against a
// hang, not a measurement. `environment` is all that it gets; `uid` is who runs it.
PamRun RunTyped(std::vector<std::string> words, const std::string& typed,
                const std::vector<std::string>& environment, uid_t uid = 0);

class PamStack {
 public:
  PamStack();
  ~PamStack();
  PamStack(const PamStack&) = delete;
  PamStack& operator=(const PamStack&) = delete;

  std::string Path(const std::string& name) const { return (directory_ / name).string(); }
  std::string AgentSocket() const { return Path("agent.sock"); }

  // Writes the service file; "$MODULE" stands for pam_keyferry.so and its socket option, "$MATRIX"
  // for pam_matrix (alice's password is "from-the-person"), "$SINK" for a module that keeps
  // PAM_AUTHTOK, if it is set, for TakePassword.
  void Service(const std::string& name, std::string lines);

  // Runs `pamtester SERVICE USER OPERATIONS`, typing `typed` (a line each), as RunTyped.
  PamRun Run(const std::string& service, const std::string& user,
             const std::vector<std::string>& operations, const std::string& typed, uid_t uid = 0);

  // What the sink saw, "" when nothing; forgets it.
  std::string TakePassword();

 private:
  std::filesystem::path directory_;
};

}  // namespace keyferry::tests
