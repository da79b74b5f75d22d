#include "client-daemon/agent/pin_command.h"

#include <pwd.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "client-daemon/agent/agent_client.h"
#include "client-daemon/agent/own_name.h"
#include "client-daemon/agent/terminal.h"

namespace keyferry::daemon::cli {
namespace {

using login::AgentClient;
using login::Purpose;
using login::SecretLine;
using login::Type;

constexpr int kGood = 0;
constexpr int kNo = 1;
constexpr int kWaitMs = 3000;

struct Options {
  std::string user;
  std::string socket = "/run/keyferry-agent/agent.sock";
  bool from_stdin = false;
};

int Complain(const std::string& sentence) {
  std::fprintf(stderr, "%s\n", sentence.c_str());
  return kNo;
}

// One attempt at the agent: Begin, then one question.
class Conversation {
 public:
  Conversation(const Options& options, Purpose purpose) : options_(options), purpose_(purpose) {}

  // True when the key is ready; else it has been said why not.
  bool Begin() {
    if (!client_.Connect(options_.socket.c_str())) {
      Complain("The login agent is not running: nobody answers at " + options_.socket + ".");
      return false;
    }
    const login::Hello hello{purpose_, options_.user, "keyferry", ""};
    const std::size_t size = login::Write(hello, buffer_.span());
    if (size == 0) {
      Complain("This is no login name; give one with --user.");
      return false;
    }
    const auto answer = client_.Ask(buffer_, size, nullptr, nullptr);
    if (answer.outcome != AgentClient::Outcome::kAnswer || answer.type != Type::kReady) {
      Explain(answer);
      return false;
    }
    return true;
  }

  // Sends what `write` wrote; the exit code. `good` is said when the answer is `expected`.
  int Finish(const std::function<std::size_t(std::span<std::uint8_t>)>& write, Type expected,
             const char* good) {
    buffer_.Wipe();
    const std::size_t size = write(buffer_.span());
    if (size == 0) return Complain("A PIN has 4 to 63 characters, an activation code 8 to 31.");
    const auto answer = client_.Ask(
        buffer_, size, [](void*) { std::fputs("Touch your security key.\n", stderr); }, nullptr);
    if (answer.outcome == AgentClient::Outcome::kAnswer && answer.type == expected) {
      std::puts(good);
      return kGood;
    }
    return Explain(answer);
  }

 private:
  int Explain(const AgentClient::Answer& answer) {
    switch (answer.outcome) {
      case AgentClient::Outcome::kDown:
        return Complain("The login agent stopped answering.");
      case AgentClient::Outcome::kTimeout:
        return Complain("The login agent or the security key did not answer in time.");
      case AgentClient::Outcome::kGarbage:
        break;
      case AgentClient::Outcome::kAnswer:
        if (const auto refusal = login::ParseRefusal(buffer_.first(answer.size))) {
          return Complain(std::string(refusal->sentence));
        }
    }
    return Complain("The login agent gave an answer that makes no sense; do the versions differ?");
  }

  const Options& options_;
  const Purpose purpose_;
  AgentClient client_{kWaitMs};
  login::Buffer buffer_;
};

bool Take(const Options& options, SecretLine& line, const char* prompt) {
  if (options.from_stdin ? line.ReadFromStdin() : line.Ask(prompt)) return true;
  Complain(options.from_stdin ? "Standard input ended early, or a line is too long."
                              : "Nothing was changed. (Scripts use --stdin.)");
  return false;
}

// A new PIN, from a person twice.
bool TakeNewPin(const Options& options, SecretLine& pin) {
  if (!Take(options, pin, "New PIN: ")) return false;
  if (options.from_stdin) return true;
  SecretLine again;
  if (!Take(options, again, "New PIN once more: ")) return false;
  if (again.text() == pin.text()) return true;
  Complain("The two PINs differ; nothing was changed.");
  return false;
}

int SetPin(const Options& options) {
  Conversation agent(options, Purpose::kPinSet);
  SecretLine code;
  SecretLine pin;
  if (!agent.Begin() || !Take(options, code, "Activation code: ") || !TakeNewPin(options, pin)) {
    return kNo;
  }
  return agent.Finish(
      [&](auto out) {
        return login::Write(login::PinSet{code.text(), pin.text()}, out);
      },
      Type::kDone, "The PIN is set.");
}

int ChangePin(const Options& options) {
  Conversation agent(options, Purpose::kPinChange);
  SecretLine old_pin;
  SecretLine pin;
  if (!agent.Begin() || !Take(options, old_pin, "Present PIN: ") || !TakeNewPin(options, pin)) {
    return kNo;
  }
  return agent.Finish(
      [&](auto out) {
        return login::Write(login::PinChange{old_pin.text(), pin.text()}, out);
      },
      Type::kDone, "The PIN is changed.");
}

int TestLogin(const Options& options) {
  const bool root = geteuid() == 0;
  Conversation agent(options, root ? Purpose::kLogin : Purpose::kUnlock);
  SecretLine pin;
  if (!agent.Begin() || !Take(options, pin, "PIN of the security key: ")) return kNo;
  return agent.Finish([&](auto out) { return login::WritePin(pin.text(), out); },
                      root ? Type::kReleased : Type::kYes,
                      root ? "The security key released a password for this login. It was not "
                             "shown, tried or confirmed."
                           : "The security key proved its owner.");
}

// One leaf command: its options, and what runs when it was chosen.
void AddLeaf(CLI::App& leaf, const std::shared_ptr<Options>& options, int& exit_code,
             int (*run)(const Options&)) {
  leaf.add_option("--socket", options->socket, "Socket of the login agent")->capture_default_str();
  leaf.add_flag("--stdin", options->from_stdin,
                "Read codes and PINs from standard input, a line each, instead of asking");
  leaf.callback([options, &exit_code, run] {
    if (options->user.empty()) options->user = OwnName();
    exit_code = run(*options);
  });
}

}  // namespace

std::string OwnName() {
  std::array<char, 16384> buffer;
  passwd entry{};
  passwd* found = nullptr;
  if (getpwuid_r(getuid(), &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr) {
    return {};
  }
  return found->pw_name;
}

void AddPin(CLI::App& app, int& exit_code) {
  CLI::App* pin = app.add_subcommand("pin", "Set or change the PIN of your security key");
  pin->require_subcommand(1);
  const auto options = std::make_shared<Options>();
  CLI::App* set = pin->add_subcommand("set", "Set the first PIN, with the activation code");
  CLI::App* change = pin->add_subcommand("change", "Change the PIN");
  for (CLI::App* leaf : {set, change}) {
    leaf->add_option("--user", options->user, "Whose key (root only; default: your own)");
  }
  AddLeaf(*set, options, exit_code, SetPin);
  AddLeaf(*change, options, exit_code, ChangePin);
}

void AddLogin(CLI::App& app, int& exit_code) {
  CLI::App* group = app.add_subcommand("login", "Try the login with a security key");
  group->require_subcommand(1);
  const auto options = std::make_shared<Options>();
  CLI::App* test = group->add_subcommand(
      "test", "Go the whole way, PIN and touch, without logging in or showing anything");
  test->add_option("USER", options->user, "Whose key")->required();
  AddLeaf(*test, options, exit_code, TestLogin);
}

}  // namespace keyferry::daemon::cli
