#include <cstdio>
#include <memory>
#include <string>

#include "client-daemon/agent/agent_client.h"
#include "client-daemon/agent/own_name.h"
#include "client-daemon/agent/pin_command.h"
#include "client-daemon/agent/terminal.h"

namespace keyferry::daemon::cli {
namespace {

using login::AgentClient;
using login::SecretLine;
using login::Type;

constexpr int kAnswered = 0;
constexpr int kUnanswered = 1;
// Daemon, key and server together.
constexpr int kCallerWaitMs = 8000;

struct CallerOptions {
  std::string user;
  std::string socket = "/run/keyferry-agent/agent.sock";
  bool from_stdin = false;
};

int Say(const std::string& sentence) {
  std::fprintf(stderr, "%s\n", sentence.c_str());
  return kUnanswered;
}

// One attempt: what the help desk asks, then one answer.
class CallerConversation {
 public:
  explicit CallerConversation(const CallerOptions& options) : options_(options) {}

  // Shows what is asked; else it has been said why there is nothing.
  bool Begin() {
    if (!client_.Connect(options_.socket.c_str())) {
      Say("The login agent is not running: nobody answers at " + options_.socket + ".");
      return false;
    }
    const login::Hello hello{login::Purpose::kCaller, options_.user, "keyferry", ""};
    const std::size_t size = login::Write(hello, buffer_.span());
    if (size == 0) {
      Say("This is no login name; give one with --user.");
      return false;
    }
    const auto answer = client_.Ask(buffer_, size, nullptr, nullptr);
    const auto question = answer.outcome == AgentClient::Outcome::kAnswer
                              ? login::ParseQuestion(buffer_.first(answer.size))
                              : std::nullopt;
    if (!question) {
      Explain(answer);
      return false;
    }
    std::printf("HELP DESK: %s asks, for ticket %s:\n  %s\n", Text(question->asker).c_str(),
                Text(question->ticket).c_str(), Text(question->reason).c_str());
    std::fflush(stdout);
    return true;
  }

  int Deny() {
    return Finish(login::WriteBare(Type::kDeny, buffer_.span()),
                  "The help desk knows now that it is not you. Tell your security team.");
  }

  int Prove(std::string_view number, std::string_view pin) {
    const std::size_t size = login::Write(login::Prove{number, pin}, buffer_.span());
    if (size == 0) return Say("The number has three digits, a PIN 4 to 63 characters.");
    return Finish(size, "The help desk knows now that it is you.");
  }

 private:
  static std::string Text(std::string_view text) { return std::string(text); }

  int Finish(std::size_t size, const char* good) {
    const auto answer = client_.Ask(
        buffer_, size, [](void*) { std::fputs("Touch your security key.\n", stderr); }, nullptr);
    if (answer.outcome == AgentClient::Outcome::kAnswer && answer.type == Type::kDone) {
      std::puts(good);
      return kAnswered;
    }
    return Explain(answer);
  }

  int Explain(const AgentClient::Answer& answer) {
    switch (answer.outcome) {
      case AgentClient::Outcome::kDown:
        return Say("The login agent stopped answering.");
      case AgentClient::Outcome::kTimeout:
        return Say("The login agent, the security key or the server did not answer in time.");
      case AgentClient::Outcome::kGarbage:
        break;
      case AgentClient::Outcome::kAnswer:
        if (const auto refusal = login::ParseRefusal(buffer_.first(answer.size))) {
          return Say(std::string(refusal->sentence));
        }
    }
    return Say("The login agent gave an answer that makes no sense; do the versions differ?");
  }

  const CallerOptions& options_;
  AgentClient client_{kCallerWaitMs};
  login::Buffer buffer_;
};

int AnswerCaller(const CallerOptions& options) {
  CallerConversation agent(options);
  SecretLine number;
  SecretLine pin;
  if (!agent.Begin()) return kUnanswered;
  if (options.from_stdin) {
    if (!number.ReadFromStdin() || !pin.ReadFromStdin()) {
      return Say("Standard input ended early, or a line is too long.");
    }
    return agent.Prove(number.text(), pin.text());
  }
  std::puts(
      "Go on only if you called the help desk and speak with them now. If you did not, press\n"
      "Ctrl-C and run: keyferry help-desk deny");
  std::fflush(stdout);
  if (!number.Ask("Number that the help desk reads out: ") ||
      !pin.Ask("PIN of your security key: ")) {
    return Say("Nothing was answered. (Scripts use --stdin.)");
  }
  return agent.Prove(number.text(), pin.text());
}

int DenyCaller(const CallerOptions& options) {
  CallerConversation agent(options);
  return agent.Begin() ? agent.Deny() : kUnanswered;
}

}  // namespace

void AddHelpDesk(CLI::App& app, int& exit_code) {
  CLI::App* group = app.add_subcommand("help-desk", "Answer the help desk while you speak with it");
  group->require_subcommand(1);
  const auto options = std::make_shared<CallerOptions>();
  CLI::App* answer = group->add_subcommand(
      "answer", "Prove with your key that you are on the telephone with the help desk");
  CLI::App* deny = group->add_subcommand("deny", "Tell the help desk that its caller is not you");
  answer->add_flag("--stdin", options->from_stdin,
                   "Read the number and the PIN from standard input, a line each");
  const auto add = [&](CLI::App& leaf, int (*run)(const CallerOptions&)) {
    leaf.add_option("--user", options->user, "Whose key (root only; default: your own)");
    leaf.add_option("--socket", options->socket, "Socket of the login agent")
        ->capture_default_str();
    leaf.callback([options, &exit_code, run] {
      if (options->user.empty()) options->user = OwnName();
      exit_code = run(*options);
    });
  };
  add(*answer, AnswerCaller);
  add(*deny, DenyCaller);
}

}  // namespace keyferry::daemon::cli
