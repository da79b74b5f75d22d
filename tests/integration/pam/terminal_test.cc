// `keyferry pin` at a terminal: nothing that is typed is shown, and Ctrl-C leaves the terminal as
// it was.
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "tests/integration/pam/fake_agent.h"
#include "tests/integration/pam/pam_stack.h"

using namespace keyferry::tests;
using login::Type;

namespace {

// A program with a terminal of its own and a person in front of it.
class Terminal {
 public:
  explicit Terminal(std::vector<std::string> words) {
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    child_ = forkpty(&fd_, nullptr, nullptr, nullptr);
    if (child_ == 0) {
      execv(argv[0], argv.data());
      _exit(127);
    }
  }
  ~Terminal() {
    if (child_ > 0) {
      kill(child_, SIGKILL);
      waitpid(child_, nullptr, 0);
    }
    close(fd_);
  }

  // Reads until `text` was shown since the last call; false when the program ends, or keeps silent
  // for 30 s.
  bool Shows(const std::string& text) {
    std::string since;
    while (since.find(text) == std::string::npos) {
      if (!ReadSome(since)) return false;
    }
    return true;
  }
  void Type(const std::string& keys) {
    [[maybe_unused]] const ssize_t n = write(fd_, keys.data(), keys.size());
  }
  bool Echoes() const {
    termios now{};
    return tcgetattr(fd_, &now) == 0 && (now.c_lflag & ECHO) != 0 && (now.c_lflag & ISIG) != 0;
  }
  int Wait() {
    std::string rest;
    while (ReadSome(rest)) {
    }
    int status = 0;
    waitpid(child_, &status, 0);
    child_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  const std::string& shown() const { return shown_; }

 private:
  bool ReadSome(std::string& since) {
    pollfd waiting{fd_, POLLIN, 0};
    std::array<char, 1024> chunk;
    if (poll(&waiting, 1, 30000) <= 0) return false;
    const ssize_t size = read(fd_, chunk.data(), chunk.size());
    if (size <= 0) return false;
    since.append(chunk.data(), static_cast<std::size_t>(size));
    shown_.append(chunk.data(), static_cast<std::size_t>(size));
    return true;
  }

  int fd_ = -1;
  pid_t child_ = -1;
  std::string shown_;
};

void TakesPins(FakeAgent::Peer& peer) {
  peer.Receive();
  peer.Send(ReadyMessage());
  const Datagram request = peer.Receive();
  if (login::ParsePinSet(request) || login::ParsePinChange(request)) peer.Send(Bare(Type::kDone));
  peer.UntilClosed();
}

}  // namespace

TEST_CASE("a PIN is set at a terminal without being shown") {
  PamStack stack;
  FakeAgent agent(stack.AgentSocket(), TakesPins);
  Terminal terminal({KEYFERRY, "pin", "set", "--user", "alice", "--socket", stack.AgentSocket()});
  REQUIRE(terminal.Shows("Activation code: "));
  CHECK_FALSE(terminal.Echoes());
  terminal.Type("ACTIVATE-ME\r");
  REQUIRE(terminal.Shows("New PIN: "));
  terminal.Type(
      "99\x15"
      "24681x\x7F"
      "3\r");  // Ctrl-U begins anew, Backspace takes one back
  REQUIRE(terminal.Shows("once more: "));
  terminal.Type("246813\r");
  REQUIRE(terminal.Shows("The PIN is set."));
  CHECK(terminal.Wait() == 0);
  CHECK(terminal.shown().find("ACTIVATE-ME") == std::string::npos);
  CHECK(terminal.shown().find("2468") == std::string::npos);
  const auto received = agent.Received();
  REQUIRE(received.size() >= 2);
  const auto request = login::ParsePinSet(received[1]);
  REQUIRE(request);
  CHECK(request->code == "ACTIVATE-ME");
  CHECK(request->pin == "246813");
}

TEST_CASE("two PINs that differ, or a person who gives up, change nothing") {
  PamStack stack;
  FakeAgent agent(stack.AgentSocket(), TakesPins);
  Terminal terminal(
      {KEYFERRY, "pin", "change", "--user", "alice", "--socket", stack.AgentSocket()});
  REQUIRE(terminal.Shows("Present PIN: "));
  SECTION("differ") {
    terminal.Type("246813\r");
    REQUIRE(terminal.Shows("New PIN: "));
    terminal.Type("111222\r");
    REQUIRE(terminal.Shows("once more: "));
    terminal.Type("111223\r");
    REQUIRE(terminal.Shows("differ"));
  }
  SECTION("Ctrl-C") {
    terminal.Type("24\x03");
    REQUIRE(terminal.Shows("Nothing was changed."));
    CHECK(terminal.Echoes());
  }
  SECTION("Ctrl-D") {
    terminal.Type("\x04");
    REQUIRE(terminal.Shows("Nothing was changed."));
  }
  CHECK(terminal.Wait() == 1);
  CHECK(agent.Count(Type::kPinChange) == 0);
}
